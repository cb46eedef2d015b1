// The packets of docs/PROTOCOL.md, with their ack blocks.

import { text } from "./bytes";
import {
  controlClose,
  controlExtension,
  controlPadding,
  controlPing,
  frameBare,
  frameControl,
  frameFragment,
  maxCloseText,
  pieceSize,
  pieces,
} from "./frame";
import { maxMessage } from "./table";
import { must, Reader, type Writer } from "./varint";

/** The size of the largest packet; a link may carry less. */
export const maxPacket = 1150;

// A packet is flags, a truncated number, maybe an ack block, then frames.
//
//   flags   1 byte
//   number  1 to 4 bytes, big endian: the lowest bytes of the packet's number
//   ack     if flagAck
//   frames  to the end
export const wireVersion = 1;
export const versionShift = 4; // the version is the upper half of flags
export const flagNumber = 3; // length of number, less one
export const flagAck = 1 << 2; // an ack block follows
export const flagGaps = 1 << 3; // of more than one range

// An ack block says which packets have arrived.
//
//   largest  2 bytes: the lowest bytes of the largest number that has arrived
//   delay    varint: how long ago, in units of 256 µs
//   first    varint: how many packets directly before largest have arrived, too
//   count    1 byte, if flagGaps: further ranges, 1 to 31
//            count times:
//   gap      varint: how many packets are missing before the last range, less one
//   length   varint: how many packets before those have arrived, less one
export const maxRanges = 32;
export const delayUnit = 0.256; // ms
const maxRange = 4; // bytes: gaps and lengths are less than receivedWindow
export const maxDelay = 1 << 14; // units, about 4.2 s; parse refuses more

/** Packet is a parsed packet, and the frame of it that next has read last. */
export class Packet extends Reader {
  number = 0; // truncated
  numberLen = 0;
  frames = 0;
  eliciting = false; // it must be acknowledged

  // The ack block.
  hasAck = false;
  largest = 0;
  delay = 0;
  ranges: number[] = []; // first, then gap and length alternately

  // The frame.
  kind = 0;
  chan = 0; // or the control kind
  id = 0;
  index = 0;
  fullSize = 0;
  code = 0;
  private len = 0; // size of the payload, which ends at at; padding and pings have none

  /** The payload of the frame: a view of the datagram. */
  get payload(): Uint8Array {
    return this.b.subarray(this.at - this.len, this.at);
  }

  /**
   * Parses all of b, and returns false if b is malformed. Afterwards next reads one frame after the other; if there is
   * only one, it has been read already.
   */
  parse(b: Uint8Array): boolean {
    this.b = b;
    this.at = 0;
    try {
      const flags = this.byte();
      must(flags >> versionShift === wireVersion);
      this.number = this.uint((this.numberLen = (flags & flagNumber) + 1));
      this.hasAck = (flags & flagAck) > 0;
      if (this.hasAck) this.ack(flags & flagGaps);
      else must(!(flags & flagGaps) && this.more());
      const start = this.at;
      this.eliciting = false;
      for (this.frames = 0; this.more(); this.frames++) {
        this.next();
        this.eliciting ||= this.kind !== frameControl || this.chan !== controlPadding;
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
    this.chan = head & 63;
    if (this.kind === frameControl) return this.control();
    if (this.kind !== frameBare) this.id = this.varint();
    const fragment = this.kind === frameFragment;
    this.index = fragment ? this.varint() : 0;
    this.fullSize = this.varint();
    // A message that fits one piece is never a fragment.
    must(
      fragment
        ? this.fullSize > pieceSize && this.fullSize <= maxMessage && this.index < pieces(this.fullSize)
        : this.fullSize <= pieceSize,
    );
    this.skip((this.len = Math.min(pieceSize, this.fullSize - this.index * pieceSize)));
  }

  private control(): void {
    const close = this.chan === controlClose;
    if (this.chan <= controlPing) return;
    must(close || this.chan >= controlExtension);
    if (close) this.code = this.varint();
    this.skip((this.len = this.varint()));
    if (close) must(this.len <= maxCloseText && text(this.payload) >= "");
  }
}

/**
 * Appends flags and number. The number has two bytes while it is less than 2^15, then three: a packet that is late by
 * minutes must not be taken for a new one.
 */
export function appendHeader(w: Writer, number: number): void {
  const n = number < 1 << 15 ? 2 : 3;
  w.byte((wireVersion << versionShift) + n - 1);
  w.uint(number, n);
}

/**
 * Appends an ack block, whose fields Packet has, to a packet that has only a header. Ranges that could exceed end are
 * left out, the oldest first.
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
 * Returns the full number that is nearest to expected among those that end in the n bytes of truncated.
 * https://www.rfc-editor.org/rfc/rfc9000.html#section-a.3
 */
export function expand(truncated: number, n: number, expected: number): number {
  const win = 256 ** n;
  const v = expected - (expected % win) + truncated;
  if (v + win / 2 <= expected) return v + win;
  return v > expected + win / 2 && v >= win ? v - win : v;
}
