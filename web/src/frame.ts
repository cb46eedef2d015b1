// The frames of docs/PROTOCOL.md: their numbers, and functions that append them. Packet reads frames.

import { type Writer } from "./varint";

// A frame begins with a byte: its kind in the upper two bits, and in the lower six the channel or, of a control frame,
// the control kind.
export const frameControl = 0;
export const frameMessage = 1; // id varint, length varint, bytes
export const frameFragment = 2; // id varint, index varint, total varint, bytes
export const frameBare = 3; // length varint, bytes: a whole unreliable message

// Control kinds. From 32 on, a length as varint and as many bytes follow: a receiver skips a kind that it does not
// know.
export const controlPadding = 0; // nothing follows
export const controlPing = 1; // nothing follows; the packet must be acknowledged
export const controlClose = 2; // code varint, length varint, text
export const controlExtension = 32;
export const controlGivenUp = 32; // an extension: bytes varint; more is ignored. Just before a close frame

/** The length of each fragment but the last, on all links: so the number of a fragment never changes its meaning. */
export const pieceSize = 1024;
/** The longest header of a fragment: kind, an id of 8 bytes, index and total. */
export const maxFragmentHeader = 1 + 8 + 2 + 4;
export const maxCloseText = 256;

/** Returns the number of pieces of a message of n bytes. */
export const pieces = (n: number): number => Math.max(1, Math.ceil(n / pieceSize));

/** Returns the largest number of bytes of a packet that piece i of a message of size bytes takes. */
export const pieceCost = (size: number, i: number): number => Math.min(pieceSize, size - i * pieceSize) + maxFragmentHeader;

/** Body has the bytes of a message: len bytes of b from start on. */
export interface Body {
  id: number; // number on the wire; has no meaning before the first piece is sent
  b: Uint8Array;
  start: number;
  len: number;
}

/** Appends piece i of a message on channel ch. bare says that a whole message has no id. */
export function appendPiece(w: Writer, ch: number, bare: boolean, { id, b, start, len: size }: Body, i: number): void {
  const kind = size > pieceSize ? frameFragment : bare ? frameBare : frameMessage;
  w.byte((kind << 6) + ch);
  if (kind !== frameBare) w.varint(id);
  if (kind === frameFragment) w.varint(i);
  w.varint(size);
  w.bytes(b, start + i * pieceSize, start + Math.min(size, (i + 1) * pieceSize));
}

/** Appends, before a close frame, the number of bytes of messages that this end gives up. */
export function appendGivenUp(w: Writer, n: number): void {
  w.byte(controlGivenUp);
  w.byte(1);
  const at = w.n;
  w.varint(n);
  w.b[at - 1] = w.n - at;
}

export function appendClose(w: Writer, code: number, reason: Uint8Array): void {
  w.byte(controlClose);
  w.varint(code);
  w.varint(reason.length);
  w.bytes(reason);
}
