import { text as fromUTF8 } from "./wire";

// Control messages, docs/SESSION.md section 3. Each is one message on channel 0: a type, then fields, big endian.
const typeHello = 1; // length 2, connect message
const typeWelcome = 2; // session 8, token 16, grace in ms 4, silence in ms 4
export const typeRequest = 3; // id 4, length of name 1, name, payload
export const typeReply = 4; // id 4, payload
export const typeAck = 5; // id 4
export const typeReject = 6; // id 4, text
export const typeHere = 7; // count 4
const typeExtension = 0x80; // from here on an unknown type is ignored

export const maxHello = 1024;
export const maxName = 64;
export const maxText = 256;
export const maxPayload = (64 << 10) - 1 - 4 - 1 - maxName;

const none: Uint8Array = new Uint8Array(0);

/** A control message. Fields that its type does not have are empty. */
export interface Control {
  type: number;
  id: number; // of a request; count of HERE
  name: string;
  text: string;
  payload: Uint8Array;
  session: bigint;
  token: Uint8Array;
  grace: number;
}

/** Reads a control message; null is one that breaks the protocol. */
export function parseControl(b: Uint8Array): Control | null {
  const type = b[0] ?? 0;
  const c: Control = { type, id: 0, name: "", text: "", payload: none, session: 0n, token: none, grace: 0 };
  const v = new DataView(b.buffer, b.byteOffset, b.length);
  if (type === typeHello) {
    if (b.length < 3) return null;
    const n = v.getUint16(1);
    c.payload = b.subarray(3, 3 + n);
    return n <= maxHello && c.payload.length === n ? c : null;
  }
  if (type === typeWelcome) {
    if (b.length < 33) return null;
    c.session = v.getBigUint64(1);
    c.token = b.slice(9, 25);
    c.grace = v.getUint32(25);
    return c;
  }
  if (type < typeRequest || type > typeHere) return type >= typeExtension ? c : null;
  if (b.length < 5) return null;
  c.id = v.getUint32(1);
  const rest = b.subarray(5);
  if (type === typeReply) c.payload = rest;
  if (type === typeRequest) {
    const n = rest[0] ?? 0;
    const name = rest.length > n ? fromUTF8(rest.subarray(1, 1 + n)) : null;
    if (n === 0 || n > maxName || name === null) return null;
    c.name = name;
    c.payload = rest.subarray(1 + n);
  }
  if (type === typeReject) {
    const text = rest.length <= maxText ? fromUTF8(rest) : null;
    if (text === null) return null;
    c.text = text;
  }
  return c.payload.length <= maxPayload ? c : null;
}

/** HELLO with a connect message. */
export function hello(message: Uint8Array): Uint8Array {
  return Uint8Array.of(typeHello, message.length >> 8, message.length & 0xff, ...message);
}

/** A message that begins with an id: all but HELLO and WELCOME. */
export function numbered(type: number, id: number, ...parts: Uint8Array[]): Uint8Array {
  const b = new Uint8Array(parts.reduce((n, p) => n + p.length, 5));
  b[0] = type;
  new DataView(b.buffer).setUint32(1, id);
  let at = 5;
  for (const p of parts) {
    b.set(p, at);
    at += p.length;
  }
  return b;
}
