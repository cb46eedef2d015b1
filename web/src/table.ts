import { bytesOf } from "./bytes";
import { firstByte } from "./deflate";
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
 * Channel is one line of the table. name, mode, direction, maxMessage, queueLimit, compress and schema must be the same
 * at both ends. The other fields say how this end sends.
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
   * Compresses messages of 512 bytes or more if that makes them smaller. maxMessage counts the bytes of the program. Only
   * for reliable channels.
   */
  readonly compress?: boolean;
  /** What the messages are, as godwit-gen writes it; "" for bytes. The server compares it with its own. */
  readonly schema?: string;
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
    compress: !!c.compress,
    schema: c.schema ?? "",
    maxMessage: largest,
    queueLimit: c.queueLimit || Math.max(reliable ? 1 << 20 : 64 << 10, largest + firstByte(c) + messageCost),
    weight: c.weight || 1,
  };
}

/**
 * Returns the table with all fields, and the control channel before it, whose schema is that of requests and the connect
 * message. Throws a ConnectError "table".
 */
export function fullTable(channels: readonly Channel[], schema = ""): FullChannel[] {
  if (!Array.isArray(channels)) throw new ConnectError("table", "channels is not an array");
  const table = [{ ...controlChannel, schema }, ...channels.map(full)];
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
  if (c.compress && !(isReliable(c.mode) && (c.direction === "to-server" || globalThis.DecompressionStream))) {
    return "compress needs a reliable channel and DecompressionStream";
  }
  const limits = [
    ["maxMessage", 1, maxMessage - firstByte(c)],
    ["queueLimit", c.maxMessage + firstByte(c) + messageCost, maxQueue],
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

/** Returns the line of a channel in the text of a table; sending are the values that only OPEN has. */
function lineOf(
  { name, mode, direction, maxMessage, queueLimit, compress, schema }: FullChannel,
  id: number,
  sending = "",
): string {
  const more = `${sending}${compress ? " deflate" : ""}${schema && ` =${schema}`}`;
  return `${id} ${name} ${mode} ${direction} ${maxMessage} ${queueLimit}${more}`;
}

/** Returns the text of a table, which is hashed: one channel a line; the control channel only if it has a schema. */
export const tableText = (table: readonly FullChannel[]): string =>
  table.map((c, i) => (i || c.schema ? `${lineOf(c, i)}\n` : "")).join("");

/** Returns the line of a channel in OPEN: the line of the text, with the values for sending. */
export function openLine(c: FullChannel, id: number): string {
  return lineOf(c, id, ` ${c.priority} ${Math.min(c.guarantee, 2 ** 31 - 1)} ${c.weight}`);
}

/** Returns the channel of a line of OPEN with a number. Throws if the line is malformed, or one of others has its name. */
export function parseLine(others: readonly FullChannel[], line: string, id: number): FullChannel {
  const compress = line.endsWith(" deflate");
  const fields = line.split(" ");
  if (compress) fields.pop();
  const [, name, mode, direction, maxMessage, queueLimit, priority, guarantee, weight] = fields;
  const sending = fields.length > 6 && { priority: Number(priority), guarantee: Number(guarantee), weight: Number(weight) };
  const c = {
    name,
    mode,
    direction,
    maxMessage: Number(maxMessage),
    queueLimit: Number(queueLimit),
    compress,
    ...sending,
  } as Channel;
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

/** Returns the first line in which two texts of tables differ, or the first entry of its schema, in words. */
export function firstDifference(ours: string, theirs: string): string {
  const [a, b] = [ours, theirs].map((t) => t.split(/\n| =|;(?=.)/)) as [string[], string[]];
  let i = 0;
  let name = "";
  for (; a[i] === b[i] && i < a.length; i++) name = a[i]!.split(" ")[1] ?? name;
  const x = a[i] || "nothing";
  const y = b[i] || "nothing";
  if ((x + y).includes(" ")) return `"${x}" here and "${y}" at the server`;
  const [path, mine] = x.split(":");
  const [other, yours] = y.split(":");
  return path === other ? `${name}.${path}: server ${yours}, client ${mine}` : `${name}: server ${y}, client ${x}`;
}
