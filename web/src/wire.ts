// The bytes of docs/PROTOCOL.md: integers, packets, ack blocks, frames.

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

/** The length of each fragment but the last, on all links: a fragment has one name for good. */
export const pieceSize = 1024;
/** Kind, an id of 8 bytes, index and total. */
export const maxFragmentHeader = 1 + 8 + 2 + 4;
export const maxMessage = 8 << 20;
export const maxCloseText = 256;

const maxVarint = Number.MAX_SAFE_INTEGER;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const nothing: Uint8Array = new Uint8Array(0);

/** How many pieces a message of n bytes is sent in. */
export const pieces = (n: number): number => Math.max(1, Math.ceil(n / pieceSize));

export function varintLen(v: number): number {
  let n = 1;
  for (; v >= 0x80; n++) v = Math.floor(v / 128);
  return n;
}

/** Writer appends to a buffer that its user has made large enough. */
export class Writer {
  b: Uint8Array;
  n = 0;

  constructor(b: Uint8Array) {
    this.b = b;
  }

  byte(v: number): void {
    this.b[this.n++] = v;
  }

  varint(v: number): void {
    for (; v >= 0x80; v = Math.floor(v / 128)) this.b[this.n++] = (v % 128) | 0x80;
    this.b[this.n++] = v;
  }

  bytes(v: Uint8Array): void {
    this.b.set(v, this.n);
    this.n += v.length;
  }
}

/** Reader takes fields from a datagram; -1 is none. */
class Reader {
  b: Uint8Array = nothing;
  at = 0;

  byte(): number {
    return this.at < this.b.length ? this.b[this.at++]! : -1;
  }

  /** In the fewest bytes, and at most 2^53 - 1. */
  varint(): number {
    let v = 0;
    let unit = 1;
    for (let i = 0; i < 8; i++) {
      const c = this.byte();
      if (c < 0x80) return c < 0 || (c === 0 && i > 0) || v + c * unit > maxVarint ? -1 : v + c * unit;
      v += (c & 0x7f) * unit;
      unit *= 128;
    }
    return -1;
  }

  /** n bytes, or null. */
  take(n: number): Uint8Array | null {
    if (n < 0 || n > this.b.length - this.at) return null;
    this.at += n;
    return this.b.subarray(this.at - n, this.at);
  }
}

/** An ack block as on the wire. */
export class AckBlock {
  largest = 0;
  delay = 0;
  first = 0;
  ranges = 0;
  gaps = new Float64Array(maxRanges - 1);
  lengths = new Float64Array(maxRanges - 1);

  /** How far below largest the block reaches. */
  span(): number {
    let n = this.first;
    for (let i = 0; i < this.ranges; i++) n += this.gaps[i]! + this.lengths[i]! + 2;
    return n;
  }

  parse(r: Reader, gaps: boolean): boolean {
    const high = r.byte();
    const low = r.byte();
    if (low < 0) return false;
    this.largest = (high << 8) | low;
    this.delay = r.varint();
    this.first = r.varint();
    this.ranges = 0;
    if (this.delay < 0 || this.delay > maxDelay || this.first < 0) return false;
    if (!gaps) return true;
    const n = r.byte();
    if (n <= 0 || n >= maxRanges) return false;
    for (; this.ranges < n; this.ranges++) {
      const gap = r.varint();
      const length = r.varint();
      if (gap < 0 || length < 0) return false;
      this.gaps[this.ranges] = gap;
      this.lengths[this.ranges] = length;
    }
    return true;
  }

  /** Returns the flags that go with it. Ranges that would take it past end are left out, oldest first. */
  append(w: Writer, end: number): number {
    w.byte(this.largest >> 8);
    w.byte(this.largest & 0xff);
    w.varint(this.delay);
    w.varint(this.first);
    const count = w.n;
    let n = 0;
    for (w.n++; n < this.ranges; n++) {
      const gap = this.gaps[n]!;
      const length = this.lengths[n]!;
      if (w.n + varintLen(gap) + varintLen(length) > end) break;
      w.varint(gap);
      w.varint(length);
    }
    if (n === 0) {
      w.n = count;
      return flagAck;
    }
    w.b[count] = n;
    return flagAck | flagGaps;
  }
}

/** Packet is a parsed packet, and then the frame of it that next has read: views of the datagram. */
export class Packet extends Reader {
  number = 0; // truncated
  numberLen = 0;
  hasAck = false;
  readonly ack = new AckBlock();
  frames = 0; // where they begin

  // The frame.
  kind = 0;
  channel = 0; // or the control kind
  id = 0;
  index = 0;
  total = 0;
  code = 0;
  payload = nothing;

  /** Reads all but the frames, and reports whether b is well-formed so far. */
  parse(b: Uint8Array): boolean {
    this.b = b;
    this.at = 0;
    const flags = this.byte();
    if (flags < 0 || flags >> versionShift !== version) return false;
    this.numberLen = (flags & flagNumber) + 1;
    this.number = 0;
    for (let i = 0; i < this.numberLen; i++) {
      const c = this.byte();
      if (c < 0) return false;
      this.number = this.number * 256 + c;
    }
    this.hasAck = (flags & flagAck) !== 0;
    const gaps = (flags & flagGaps) !== 0;
    if (this.hasAck ? !this.ack.parse(this, gaps) : gaps) return false;
    this.frames = this.at;
    return this.hasAck || this.more();
  }

  more(): boolean {
    return this.at < this.b.length;
  }

  /** Back to the first frame. */
  rewind(): void {
    this.at = this.frames;
  }

  /** Reads the next frame, and reports whether it is well-formed. */
  next(): boolean {
    const head = this.byte();
    this.kind = head >> 6;
    this.channel = head & 63;
    if (this.kind === frameControl) return this.control();
    if (this.kind !== frameBare && (this.id = this.varint()) < 0) return false;
    if (this.kind === frameFragment) return this.fragment();
    const n = this.varint();
    return n <= pieceSize && this.body(n);
  }

  private body(n: number): boolean {
    const b = this.take(n);
    if (b) this.payload = b;
    return b !== null;
  }

  private fragment(): boolean {
    this.index = this.varint();
    this.total = this.varint();
    // A message that fits one piece is never a fragment.
    if (this.index < 0 || this.total <= pieceSize || this.total > maxMessage || this.index >= pieces(this.total)) {
      return false;
    }
    return this.body(Math.min(pieceSize, this.total - this.index * pieceSize));
  }

  private control(): boolean {
    const kind = this.channel;
    if (kind === controlPadding || kind === controlPing) return true;
    if (kind < controlExtension && (kind !== controlClose || (this.code = this.varint()) < 0)) return false;
    if (!this.body(this.varint())) return false;
    return kind !== controlClose || (this.payload.length <= maxCloseText && text(this.payload) !== null);
  }

  /** Whether the frame's packet wants an acknowledgement. */
  eliciting(): boolean {
    return this.kind !== frameControl || this.channel !== controlPadding;
  }
}

/** b as text, or null if it is not UTF-8. */
export function text(b: Uint8Array): string | null {
  try {
    return utf8.decode(b);
  } catch {
    return null;
  }
}

/**
 * Appends flags and number. The number is written in two bytes while that is all of it, then in three: a packet
 * that is late by minutes must not be taken for a new one.
 */
export function appendHeader(w: Writer, number: number): void {
  const n = number < 1 << 15 ? 2 : 3;
  w.byte((version << versionShift) | (n - 1));
  if (n === 3) w.byte((number >>> 16) & 0xff);
  w.byte((number >>> 8) & 0xff);
  w.byte(number & 0xff);
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

/** What piece i of a message takes in a packet. */
export function pieceLen(bare: boolean, id: number, size: number, i: number): number {
  if (size > pieceSize) {
    return 1 + varintLen(id) + varintLen(i) + varintLen(size) + Math.min(pieceSize, size - i * pieceSize);
  }
  return 1 + (bare ? 0 : varintLen(id)) + varintLen(size) + size;
}

/** Appends piece i of a message. */
export function appendPiece(w: Writer, ch: number, bare: boolean, id: number, body: Uint8Array, i: number): void {
  const size = body.length;
  if (size > pieceSize) {
    w.byte((frameFragment << 6) | ch);
    w.varint(id);
    w.varint(i);
    w.varint(size);
    w.bytes(body.subarray(i * pieceSize, (i + 1) * pieceSize));
    return;
  }
  w.byte(((bare ? frameBare : frameMessage) << 6) | ch);
  if (!bare) w.varint(id);
  w.varint(size);
  w.bytes(body);
}

export function appendClose(w: Writer, code: number, reason: Uint8Array): void {
  w.byte(controlClose);
  w.varint(code);
  w.varint(reason.length);
  w.bytes(reason);
}
