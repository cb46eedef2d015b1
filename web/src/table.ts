import { bytesOf } from "./bytes";
import { ConnectError } from "./error";
import { must } from "./varint";

/**
 * What a channel promises. unreliable: at most once, in any order. sequenced: at most once, and never after a newer
 * message. reliable-unordered: exactly once, in any order. reliable-ordered: exactly once, in the order in which they
 * were sent.
 */
export type Mode = "unreliable" | "sequenced" | "reliable-unordered" | "reliable-ordered";

/** Which end may send on a channel. */
export type Direction = "both" | "to-server" | "to-client";

/**
 * Channel is one line of the table. name, mode, direction, maxMessage and queueLimit must be the same at both ends. The
 * other fields say how this end sends.
 */
export interface Channel<Name extends string = string> {
  /**
   * 1 to 64 bytes of UTF-8 without spaces or control characters. The names in a table differ, and none is "control".
   */
  readonly name: Name;
  readonly mode: Mode;
  /** "both" unless set. */
  readonly direction?: Direction;
  /** Size of the largest message in bytes: 256 KiB if reliable, else 16 KiB, unless set; at most 8 MiB. */
  readonly maxMessage?: number;
  /**
   * Limit of the bytes of messages that wait to be sent or acknowledged. Each message counts as its length plus 32. 1
   * MiB if reliable, else 64 KiB, unless set, but always enough for one message; at most 64 MiB.
   */
  readonly queueLimit?: number;
  /**
   * From 0, sent first, to 7. It is strict: a channel waits as long as a channel with a lower number has something to
   * send. Set a guarantee if the channel must send nevertheless.
   */
  readonly priority?: number;
  /** Rate in bytes per second that the channel gets before channels without a guarantee, whatever their priorities. */
  readonly guarantee?: number;
  /**
   * The part of the channel of what the channels of one priority get: a channel with weight 2 sends twice as much as
   * one with weight 1. 1 unless set; at most 1000.
   */
  readonly weight?: number;
  /**
   * Limit of how often a reliable message of at most 512 bytes that is not acknowledged is sent again in the free space
   * of other packets, while the link loses more than 1 % of packets. 0 means 2 to 6, depending on the loss; negative
   * means none; at most 16.
   */
  readonly copies?: number;
}

export const messageCost = 32; // added to the length of a message where it counts against queueLimit
export const maxPriority = 7;
export const maxWeight = 1000;
export const modes: readonly string[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"] satisfies Mode[];
export const directions: readonly string[] = ["both", "to-server", "to-client"] satisfies Direction[];
export const maxMessage = 8 << 20;
export const maxChannels = 63;
export const maxQueue = 64 << 20;
export const maxName = 64;

/** A channel with all fields. */
export type FullChannel = Required<Channel>;

export const isReliable = (mode: Mode): boolean => `${mode}`.startsWith("r");

export const controlChannel: FullChannel = full({
  name: "control",
  mode: "reliable-ordered",
  maxMessage: 64 << 10,
  queueLimit: 256 << 10,
});

export function full(c: Channel): FullChannel {
  const reliable = isReliable(c.mode);
  const largest = c.maxMessage || (reliable ? 256 << 10 : 16 << 10);
  return {
    ...c,
    direction: c.direction ?? "both",
    priority: c.priority ?? 0,
    guarantee: c.guarantee ?? 0,
    copies: c.copies ?? 0,
    maxMessage: largest,
    queueLimit: c.queueLimit || Math.max(reliable ? 1 << 20 : 64 << 10, largest + messageCost),
    weight: c.weight || 1,
  };
}

/** Returns the table with all fields, and the control channel before it. Throws a ConnectError "table". */
export function fullTable(channels: readonly Channel[]): FullChannel[] {
  if (!Array.isArray(channels)) throw new ConnectError("table", "channels is not an array");
  const table = [controlChannel, ...channels.map(full)];
  if (table.length > maxChannels + 1) throw new ConnectError("table", `${channels.length} channels: at most ${maxChannels}`);
  table.forEach((c, i) => {
    const why = table.findIndex((o) => o.name === c.name) < i ? "the name is taken" : wrong(c);
    if (why) throw new ConnectError("table", `channel "${c.name}": ${why}`);
  });
  return table;
}

/** Returns a channel with all fields. Throws a ConnectError "table" if it cannot be in a table with others. */
export const nextChannel = (others: readonly FullChannel[], c: Channel): FullChannel => fullTable([...others, c]).at(-1)!;

/** Returns what is wrong with a channel, or undefined. */
function wrong(c: FullChannel): string | undefined {
  const name = bytesOf(c.name).length;
  if (name < 1 || name > maxName || /[\0- \x7f]/.test(c.name)) return `a name has 1 to ${maxName} bytes and no spaces`;
  for (const [field, values] of [
    ["mode", modes],
    ["direction", directions],
  ] as const) {
    if (!values.includes(c[field])) return `${field} is not ${values.join(" or ")}`;
  }
  const limits = [
    ["maxMessage", 1, maxMessage],
    ["queueLimit", c.maxMessage + messageCost, maxQueue],
    ["priority", 0, maxPriority],
    ["guarantee", 0, Number.MAX_SAFE_INTEGER],
    ["weight", 1, maxWeight],
    ["copies", -16, 16],
  ] as const;
  for (const [field, least, most] of limits) {
    if (!(Number.isInteger(c[field]) && c[field] >= least && c[field] <= most)) return `${field} is not ${least} to ${most}`;
  }
  return;
}

const lineOf = ({ name, mode, direction, maxMessage, queueLimit }: FullChannel, id: number): string =>
  `${id} ${name} ${mode} ${direction} ${maxMessage} ${queueLimit}`;

/** Returns the text of a table, which is hashed: one channel a line, without the control channel. */
export function tableText(table: readonly FullChannel[]): string {
  return table
    .slice(1)
    .map((c, i) => `${lineOf(c, i + 1)}\n`)
    .join("");
}

/** Returns the line of a channel in OPEN: the line of the text, and the values for sending. */
export function openLine(c: FullChannel, id: number): string {
  return `${lineOf(c, id)} ${c.priority} ${Math.min(c.guarantee, 2 ** 31 - 1)} ${c.weight}`;
}

/** Returns the channel of a line of OPEN with a number. Throws if the line is malformed, or one of others has its name. */
export function parseLine(others: readonly FullChannel[], line: string, id: number): FullChannel {
  const fields = line.split(" ");
  const [, name, mode, direction, maxMessage, queueLimit, priority, guarantee, weight] = fields;
  const sending = fields.length > 6 && { priority: Number(priority), guarantee: Number(guarantee), weight: Number(weight) };
  const c = { name, mode, direction, maxMessage: Number(maxMessage), queueLimit: Number(queueLimit), ...sending } as Channel;
  const next = nextChannel(others, c);
  must((sending ? openLine : lineOf)(next, id) === line);
  return next;
}

/** Returns the 64-bit FNV-1a hash in hexadecimal. https://datatracker.ietf.org/doc/html/draft-eastlake-fnv */
export function hash(text: string): string {
  let h = 0xcbf29ce484222325n;
  for (const c of bytesOf(text)) h = BigInt.asUintN(64, (h ^ BigInt(c)) * 0x100000001b3n);
  return h.toString(16).padStart(16, "0");
}

/** Returns the first line in which two texts of tables differ, in words. */
export function firstDifference(ours: string, theirs: string): string {
  const a = ours.split("\n");
  const b = theirs.split("\n");
  const i = a.findIndex((line, i) => line !== b[i]);
  return `"${a[i] || "nothing"}" here and "${b[i] || "nothing"}" at the server`;
}
