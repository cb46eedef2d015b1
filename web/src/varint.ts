// Integers on the wire: Writer and Reader.

import { nothing } from "./bytes";

const fewBytes = 1150; // up to so many bytes a loop is faster than a view and a call of set

/** Writer appends to b from n on. b must be large enough. */
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

  /** v from start up to end. */
  bytes(v: Uint8Array, start = 0, end = v.length): void {
    if (end - start > fewBytes) {
      this.b.set(v.subarray(start, end), this.n);
      this.n += end - start;
    } else while (start < end) this.b[this.n++] = v[start++]!;
  }
}

const malformed = new Error("malformed");

/** Throws unless ok: readers throw where bytes break the rules, and their caller catches. */
export function must(ok: boolean): void {
  if (!ok) throw malformed;
}

/** Reader reads fields from b at at, and throws where b ends too soon. */
export class Reader {
  at = 0;

  constructor(public b = nothing) {}

  more(): boolean {
    return this.at < this.b.length;
  }

  byte(): number {
    const v = this.b[this.at++];
    if (v === undefined) throw malformed; // a call of must for every byte would take more time
    return v;
  }

  /** n bytes, big endian. */
  uint(n: number): number {
    let v = 0;
    while (n--) v = v * 256 + this.byte();
    return v;
  }

  /** Reads a varint of at most 2^53 - 1. Throws if it could be shorter. */
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
