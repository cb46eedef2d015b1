// The bytes of docs/PROTOCOL.md: integers, packets, ack blocks, frames.

import { SendError } from "./errors";

/** The largest packet; what a link can carry may be less. */
export const maxPacket = 1150;

// A packet is flags, a truncated number, maybe an ack block, then frames.
//
//   flags   1 byte
//   number  1 to 4 bytes, big endian: the lowest bytes of the packet's number
//   ack     if flagAck
//   frames  to the end
const version = 1;
const versionShift = 4; // the version is the upper half of flags
const flagNumber = 3; // length of number, less one
const flagAck = 1 << 2; // an ack block follows
const flagGaps = 1 << 3; // of more than one range

// An ack block says which packets have come.
//
//   largest  2 bytes: the lowest bytes of the largest number that came
//   delay    varint: how long ago, in units of 256 µs
//   first    varint: how many packets directly before largest came too
//   count    1 byte, if flagGaps: further ranges, 1 to 31
//            count times:
//   gap      varint: how many packets are missing before the last range, less one
//   length   varint: how many packets before those came, less one
export const maxRanges = 32;
export const delayUnit = 0.256; // ms
const maxRange = 4; // bytes: gaps and lengths are below the 4096 numbers that are remembered
export const maxDelay = 1 << 14; // units; more than 4 s say nothing about the link

// A frame begins with a byte: its kind in the upper two bits, and a channel, or the
// control kind, in the lower six.
export const frameControl = 0;
export const frameMessage = 1; // id varint, length varint, bytes
export const frameFragment = 2; // id varint, index varint, total varint, bytes
export const frameBare = 3; // length varint, bytes: a whole unreliable message

// Control kinds. From 32 on a frame is a length varint and as many bytes, which who
// does not know the kind skips.
export const controlPadding = 0; // nothing follows
export const controlPing = 1; // nothing follows; the packet wants an acknowledgement
export const controlClose = 2; // code varint, length varint, text
export const controlExtension = 32;
export const controlGivenUp = 32; // an extension: bytes varint; more is ignored. Just before a close frame

/** The length of each fragment but the last, on all links: a fragment has one name for good. */
export const pieceSize = 1024;
/** Kind, an id of 8 bytes, index and total. */
export const maxFragmentHeader = 1 + 8 + 2 + 4;
export const maxMessage = 8 << 20;
export const maxCloseText = 256;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const nothing: Uint8Array = new Uint8Array(0);

/** How many pieces a message of n bytes is sent in. */
export const pieces = (n: number): number => Math.max(1, Math.ceil(n / pieceSize));

/** b as text. Throws if it is not UTF-8. */
export const text = (b: Uint8Array): string => utf8.decode(b);

/** What messages are made of. */
export type Bytes = ArrayBufferView | ArrayBuffer;

/** The bytes that a program gives. Throws a SendError if they are none. */
export function view(b: Bytes): Uint8Array {
  if (b instanceof Uint8Array) return b;
  if (b instanceof ArrayBuffer) return new Uint8Array(b);
  if (ArrayBuffer.isView(b)) return new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  throw new SendError("type", `${typeof b} is not bytes: new TextEncoder().encode(text)`);
}

/** s in UTF-8. */
export const bytesOf = (s: string): Uint8Array => new TextEncoder().encode(s);

/** Writer appends to a buffer that its user has made large enough. */
export class Writer {
  b = nothing;
  n = 0;

  byte(v: number): void {
    this.b[this.n++] = v;
  }

  /** n bytes, big endian. */
  uint(v: number, n: number): void {
    for (let unit = 256 ** (n - 1); unit >= 1; unit /= 256) this.byte(v / unit);
  }

  varint(v: number): void {
    for (; v >= 128; v = Math.floor(v / 128)) this.byte((v % 128) + 128);
    this.byte(v);
  }

  /** v from start up to end. A view and a call of set cost more than a loop for what fits a packet. */
  bytes(v: Uint8Array, start = 0, end = v.length): void {
    if (end - start > maxPacket) {
      this.b.set(v.subarray(start, end), this.n);
      this.n += end - start;
    } else while (start < end) this.b[this.n++] = v[start++]!;
  }
}

const malformed = new Error("malformed");

/** Ends the reading of bytes that break the rules: readers throw, and whoever gave them the bytes catches. */
export function must(ok: boolean): void {
  if (!ok) throw malformed;
}

/** Reader takes fields from bytes, and throws where they end too soon. */
export class Reader {
  at = 0;

  constructor(public b = nothing) {}

  more(): boolean {
    return this.at < this.b.length;
  }

  byte(): number {
    const v = this.b[this.at++];
    if (v === undefined) throw malformed; // must would be a call more for every byte
    return v;
  }

  /** n bytes, big endian. */
  uint(n: number): number {
    let v = 0;
    while (n--) v = v * 256 + this.byte();
    return v;
  }

  /** In the fewest bytes, and at most 2^53 - 1. */
  varint(): number {
    let v = 0;
    for (let unit = 1; ; unit *= 128) {
      const c = this.byte();
      v += (c & 127) * unit;
      must(v <= Number.MAX_SAFE_INTEGER && (c > 0 || unit === 1));
      if (c < 128) return v;
    }
  }

  skip(n: number): void {
    must(n <= this.b.length - this.at);
    this.at += n;
  }

  take(n: number): Uint8Array {
    this.skip(n);
    return this.b.subarray(this.at - n, this.at);
  }
}

/** Packet is a parsed packet, and then the frame of it that next has read. */
export class Packet extends Reader {
  number = 0; // truncated
  numberLen = 0;
  frames = 0;
  eliciting = false; // it wants an acknowledgement

  // The ack block.
  hasAck = false;
  largest = 0;
  delay = 0;
  ranges: number[] = []; // first, then gap and length in turns


  // The frame.
  kind = 0;
  channel = 0; // or the control kind
  id = 0;
  index = 0;
  total = 0;
  code = 0;
  private size = 0; // of the payload, which ends at at; padding and pings have none

  /** A view of the datagram. */
  get payload(): Uint8Array {
    return this.b.subarray(this.at - this.size, this.at);
  }

  /**
   * Reads all of b, and reports whether it is well-formed. Then next has its frames; but if there is only one, it has
   * been read.
   */
  parse(b: Uint8Array): boolean {
    this.b = b;
    this.at = 0;
    try {
      const flags = this.byte();
      must(flags >> versionShift === version);
      this.number = this.uint((this.numberLen = (flags & flagNumber) + 1));
      this.hasAck = (flags & flagAck) > 0;
      if (this.hasAck) this.ack(flags & flagGaps);
      else must(!(flags & flagGaps) && this.more());
      const start = this.at;
      this.eliciting = false;
      for (this.frames = 0; this.more(); this.frames++) {
        this.next();
        this.eliciting ||= this.kind !== frameControl || this.channel !== controlPadding;
      }
      if (this.frames > 1) this.at = start;
      return true;
    } catch {
      return false;
    }
  }

  private ack(gaps: number): void {
    this.largest = this.uint(2);
    this.delay = this.varint();
    must(this.delay <= maxDelay);
    this.ranges = [this.varint()];
    if (!gaps) return;
    let n = this.byte();
    must(n > 0 && n < maxRanges);
    for (n *= 2; n--; ) this.ranges.push(this.varint());
  }

  /** Reads the next frame. */
  next(): void {
    const head = this.byte();
    this.kind = head >> 6;
    this.channel = head & 63;
    if (this.kind === frameControl) return this.control();
    if (this.kind !== frameBare) this.id = this.varint();
    const fragment = this.kind === frameFragment;
    this.index = fragment ? this.varint() : 0;
    this.total = this.varint();
    // A message that fits one piece is never a fragment.
    must(fragment ? this.total > pieceSize && this.total <= maxMessage && this.index < pieces(this.total) : this.total <= pieceSize);
    this.skip((this.size = Math.min(pieceSize, this.total - this.index * pieceSize)));
  }

  private control(): void {
    const close = this.channel === controlClose;
    if (this.channel <= controlPing) return;
    must(close || this.channel >= controlExtension);
    if (close) this.code = this.varint();
    this.skip((this.size = this.varint()));
    if (close) must(this.size <= maxCloseText && text(this.payload) >= "");
  }
}

/**
 * Appends flags and number. The number is written in two bytes while that is all of it, then in three: a packet
 * that is late by minutes must not be taken for a new one.
 */
export function appendHeader(w: Writer, number: number): void {
  const n = number < 1 << 15 ? 2 : 3;
  w.byte((version << versionShift) + n - 1);
  w.uint(number, n);
}

/**
 * Appends an ack block, as Packet has it, to a packet that has only a header. Ranges that might take it past end are
 * left out, oldest first.
 */
export function appendAck(w: Writer, largest: number, delay: number, ranges: readonly number[], end: number): void {
  w.uint(largest, 2);
  w.varint(delay);
  w.varint(ranges[0]!);
  const count = w.n++;
  let n = 1;
  for (; n < ranges.length && w.n + maxRange <= end; n += 2) {
    w.varint(ranges[n]!);
    w.varint(ranges[n + 1]!);
  }
  w.b[0]! |= flagAck;
  w.b[count] = n >> 1;
  if (n > 1) w.b[0]! |= flagGaps;
  else w.n--;
}

/**
 * The full number that is nearest to expected among those that end in the n bytes of truncated.
 * https://www.rfc-editor.org/rfc/rfc9000.html#section-a.3
 */
export function expand(truncated: number, n: number, expected: number): number {
  const win = 256 ** n;
  const v = expected - (expected % win) + truncated;
  if (v + win / 2 <= expected) return v + win;
  return v > expected + win / 2 && v >= win ? v - win : v;
}

/** What piece i of a message of size bytes takes in a packet at most. */
export const pieceCost = (size: number, i: number): number => Math.min(pieceSize, size - i * pieceSize) + maxFragmentHeader;

/** A message of size bytes, which lie in b from start on. */
export interface Body {
  id: number; // on the wire; of no meaning until the first piece is sent
  b: Uint8Array;
  start: number;
  size: number;
}

/** Appends piece i of a message. */
export function appendPiece(w: Writer, ch: number, bare: boolean, { id, b, start, size }: Body, i: number): void {
  const kind = size > pieceSize ? frameFragment : bare ? frameBare : frameMessage;
  w.byte((kind << 6) + ch);
  if (kind !== frameBare) w.varint(id);
  if (kind === frameFragment) w.varint(i);
  w.varint(size);
  w.bytes(b, start + i * pieceSize, start + Math.min(size, (i + 1) * pieceSize));
}

/** Appends, before a close frame, how many bytes of messages it gives up. */
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
