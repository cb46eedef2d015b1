// The bit stream of typed messages: what the code that godwit-gen writes stands on. Package pack is the same in Go, and
// docs/messages.md has the format. Both classes throw an Error whose message is a Cause. Bits are kept in words of 32 bits,
// in the order of little-endian machines: no browser runs on another.

/** Why bytes are no message of the type, or why a value cannot be written. */
export type Cause = "truncated" | "trailing" | "range" | "length" | "utf8" | "form";

/** What godwit-gen writes for a message type. */
export interface Codec<T> {
  write(w: Writer, m: T): void;
  read(r: Reader): T;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const shortText = 24; // bytes below which a loop over ASCII is faster than a decoder

/** Throws cause unless ok. */
function must(ok: boolean, cause: Cause): void {
  if (!ok) throw new Error(cause);
}

/** What Writer and Reader have in common: a buffer, as words and as bytes, and an index of a bit. */
class Stream {
  protected words!: Int32Array;
  protected bytes!: Uint8Array;
  protected at!: number;

  constructor() {
    this.room(256);
  }

  /** Makes a buffer of n bytes or more. */
  protected room(n: number): void {
    this.words = new Int32Array(n);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  /** Goes to the next byte. */
  align(): void {
    this.at = (this.at + 7) & -8;
  }
}

export class Writer extends Stream {
  /** Returns m as bytes, which the next message overwrites. */
  encode<T>(codec: Codec<T>, m: T): Uint8Array {
    for (;;) {
      this.at = 0;
      codec.write(this, m);
      const n = (this.at + 7) >> 3;
      if (n <= this.bytes.length) return this.bytes.subarray(0, n);
      this.room(n); // what had no room is lost
    }
  }

  /** Writes the n lowest bits of v, at most 32. The others must be zero. */
  bits(v: number, n: number): void {
    const { words, at } = this;
    const i = at >> 5;
    words[i] = at & 31 ? words[i]! | (v << at) : v; // a shift is by the lowest five bits of at
    if ((at & 31) + n > 32) words[i + 1] = v >>> -at;
    this.at = at + n;
  }

  /** Writes v, which is not negative, as a varint of a type with n bits. */
  uint(v: number, n: number): void {
    for (; v > 127 && n > 7; n -= 7) {
      this.bits((v % 128) + 128, 8);
      v = (v - (v % 128)) / 128;
    }
    this.bits(v, n > 7 ? 8 : n);
  }

  /** Writes a number of bytes or elements. Throws if n is more than max. */
  count(n: number, max: number): void {
    must(n <= max, "length");
    if (max < 256) this.bits(n, 32 - Math.clz32(max));
    else this.uint(n, 32);
  }

  /** Writes b, bytes or ASCII: the length, and the bytes from the next whole byte on. Throws if b is longer than max. */
  data(b: Uint8Array | string, max: number): void {
    this.count(b.length, max);
    if (b.length) this.align();
    for (let i = 0; i < b.length; i++) this.bits(typeof b === "string" ? b.charCodeAt(i) : b[i]!, 8);
  }

  /** Writes s as data does, in UTF-8. */
  string(s: string, max: number): void {
    this.data(/[^\0-\x7f]/.test(s) ? encoder.encode(s) : s, max); // for ASCII a loop is faster than an encoder
  }
}

export class Reader extends Stream {
  private size!: number; // number of bits

  /** Returns the message of b. */
  decode<T>(codec: Codec<T>, b: Uint8Array): T {
    if (b.length > this.bytes.length) this.room(b.length);
    this.bytes.set(b);
    this.at = 0;
    this.size = b.length * 8;
    const m = codec.read(this);
    must(this.size - this.at < 8, "trailing");
    this.align();
    return m;
  }

  /** Returns the next n bits: negative, if they are 32 and the highest is set. */
  bits(n: number): number {
    const { words, at } = this;
    this.skip(n);
    let v = words[at >> 5]! >>> at; // a shift is by the lowest five bits of at
    if ((at & 31) + n > 32) v |= words[(at >> 5) + 1]! << -at;
    return v & (n < 32 ? (1 << n) - 1 : -1);
  }

  private skip(n: number): void {
    this.at += n;
    must(this.at <= this.size, "truncated");
  }

  /** Skips zero bits up to the next byte. */
  override align(): void {
    must(!this.bits(-this.at & 7), "form");
  }

  /** Whether another byte follows, after the zero bits up to it. */
  more(): boolean {
    this.align();
    return this.at < this.size;
  }

  /** Ignores what follows. */
  rest(): void {
    this.at = this.size;
  }

  /** Returns the next varint of a type with n bits. */
  uint(n: number): number {
    let v = 0;
    for (let unit = 1; ; unit *= 128, n -= 7) {
      const c = this.bits(n > 7 ? 8 : n);
      v += (c & 127) * unit;
      if (c > 127) continue; // the last part has at most seven bits
      must(c > 0 || unit < 2, "form");
      must(v < 2 ** 53, "range");
      return v;
    }
  }

  /**
   * Returns the next number of bytes or elements. Throws if it is more than max, and if so many elements, of at least the
   * given number of bits each, are more than what is left.
   */
  count(max: number, least: number): number {
    const n = max < 256 ? this.bits(32 - Math.clz32(max)) : this.uint(32);
    must(n <= max, "length");
    must(this.at + n * least <= this.size, "truncated");
    return n;
  }

  /** Goes behind the next bytes, which have their number in front. Returns the index of the first. */
  private past(max: number): number {
    const n = this.count(max, 8);
    if (n) this.align();
    this.skip(n * 8);
    return (this.at >> 3) - n;
  }

  /** Returns the next bytes. */
  data(max: number): Uint8Array {
    return this.bytes.slice(this.past(max), this.at >> 3);
  }

  /** Returns the next string. */
  string(max: number): string {
    const { bytes } = this;
    const first = this.past(max);
    const end = this.at >> 3;
    let s = "";
    if (end < first + shortText) for (let i = first; i < end && bytes[i]! < 128; i++) s += String.fromCharCode(bytes[i]!);
    try {
      return first + s.length < end ? decoder.decode(bytes.subarray(first, end)) : s;
    } catch {
      throw new Error("utf8");
    }
  }
}
