import { nothing, text } from "./bytes";
import { SendError } from "./error";
import { must, Reader } from "./varint";

// Control messages, docs/SESSION.md section 3. Each is one message on channel 0: a type, then fields, big endian.
export const typeHello = 1; // length 2, connect message
export const typeWelcome = 2; // session 8, token 16, grace in ms 4, silence in ms 4, channels of the client 1, their queues 4, length of ufrag 1, ufrag, length of pwd 1, pwd
export const typeRequest = 3; // id 4, length of name 1, name, payload
export const typeReply = 4; // id 4, payload
export const typeAck = 5; // id 4
export const typeReject = 6; // id 4, text
export const typeHere = 7; // count 4
export const typeOpen = 8; // line of the table's text
export const typeOpened = 9; // channel 1
export const typeShut = 10; // channel 1
export const typeMove = 11; // a Seat as JSON
export const typeExtension = 0x80; // from here on an unknown type is ignored

export const maxName = 64;
export const maxText = 256;
export const maxHello = 1024;
export const maxMove = 4096;
export const maxPayload = (64 << 10) - 1 - 4 - 1 - maxName;

/** Control is a control message of a server. Fields that its type does not have are empty. */
export interface Control {
  type: number;
  id: number; // id of a request; grace time of WELCOME; number of a channel
  session: bigint;
  words: string; // text of REJECT, name of REQUEST, line of OPEN, JSON of MOVE
  payload: Uint8Array; // token of WELCOME
  most: number; // of WELCOME: channels that the client may open, or -1 if the server does not support SHUT
  maxQueue: number; // of WELCOME: the largest queueLimit of those
  next: [ufrag: string, pwd: string]; // of WELCOME: for the next link; empty texts if it needs a request
}

/** Parses a control message. Throws if it breaks the protocol. */
export function parseControl(b: Uint8Array): Control {
  const r = new Reader(b);
  const type = r.byte();
  const c: Control = { type, id: 0, session: 0n, words: "", payload: nothing, most: -1, maxQueue: 0, next: ["", ""] };
  if (type >= typeExtension) return c;
  must(type > typeHello && type <= typeMove && type !== typeHere);
  if (type === typeWelcome) {
    c.session = (BigInt(r.uint(4)) << 32n) + BigInt(r.uint(4));
    c.payload = r.take(16);
    c.id = r.uint(4);
    r.take(4);
    if (r.more()) c.most = r.byte();
    if (c.most > 0) c.maxQueue = r.uint(4);
    try {
      const [ufrag, pwd] = [text(r.take(r.byte())), text(r.take(r.byte()))];
      if (pwd) c.next = [ufrag, pwd];
    } catch {
      // An older server has none.
    }
    return c;
  }
  const line = type === typeOpen || type === typeMove;
  if (!line) c.id = r.uint(type < typeOpen ? 4 : 1);
  if (type === typeRequest) {
    const n = r.byte();
    must(n > 0 && n <= maxName);
    c.words = text(r.take(n));
  }
  c.payload = b.subarray(r.at);
  const said = line || type === typeReject;
  must(c.payload.length <= (type === typeMove ? maxMove : said ? maxText : maxPayload));
  if (said) c.words = text(c.payload);
  must(!line || c.words !== "");
  return c;
}

export const takesOpen = 1; // this end supports OPEN
export const takesSending = 2; // this end supports OPEN with the values for sending
export const takesShut = 4; // this end supports SHUT, and OPEN of any free number
export const takesOwn = 8; // this end supports what WELCOME says of channels that it opens
export const takesMove = 16; // this end supports MOVE

/** Returns HELLO with a connect message. */
export function hello(message: Uint8Array): Uint8Array {
  if (message.length > maxHello) throw new SendError("size", `hello has ${message.length} bytes: at most ${maxHello}`);
  return Uint8Array.of(
    typeHello,
    message.length >> 8,
    message.length,
    ...message,
    takesOpen + takesSending + takesShut + takesOwn + takesMove,
  );
}

/** Returns a message that begins with an id: all but HELLO, WELCOME, OPEN, OPENED, SHUT and MOVE. */
export const numbered = (type: number, id: number, rest: Iterable<number> = []): Uint8Array =>
  Uint8Array.from([type, id >>> 24, id >>> 16, id >>> 8, id, ...rest]);
