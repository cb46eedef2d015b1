// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit

// src/typed.ts
import { Conn, connect as connectBytes, sessions as sessionsOfBytes } from "./godwit.js";

// src/pack.ts
var decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
var encoder = new TextEncoder();
var shortText = 24;
function must(ok, cause) {
  if (!ok) throw new Error(cause);
}
var Stream = class {
  constructor() {
    this.room(256);
  }
  /** Makes a buffer of n bytes or more. */
  room(n) {
    this.words = new Int32Array(n);
    this.bytes = new Uint8Array(this.words.buffer);
  }
  /** Goes to the next byte. */
  align() {
    this.at = this.at + 7 & -8;
  }
};
var Writer = class extends Stream {
  /** Returns m as bytes, which the next message overwrites. */
  encode(codec, m) {
    for (; ; ) {
      this.at = 0;
      codec.write(this, m);
      const n = this.at + 7 >> 3;
      if (n <= this.bytes.length) return this.bytes.subarray(0, n);
      this.room(n);
    }
  }
  /** Writes the n lowest bits of v, at most 32. The others must be zero. */
  bits(v, n) {
    const { words, at } = this;
    const i = at >> 5;
    words[i] = at & 31 ? words[i] | v << at : v;
    if ((at & 31) + n > 32) words[i + 1] = v >>> -at;
    this.at = at + n;
  }
  /** Writes v, which is not negative, as a varint of a type with n bits. */
  uint(v, n) {
    for (; v > 127 && n > 7; n -= 7) {
      this.bits(v % 128 + 128, 8);
      v = (v - v % 128) / 128;
    }
    this.bits(v, n > 7 ? 8 : n);
  }
  /** Writes a number of bytes or elements. Throws if n is more than max. */
  count(n, max) {
    must(n <= max, "length");
    if (max < 256) this.bits(n, 32 - Math.clz32(max));
    else this.uint(n, 32);
  }
  /** Writes b, bytes or ASCII: the length, and the bytes from the next whole byte on. Throws if b is longer than max. */
  data(b, max) {
    this.count(b.length, max);
    if (b.length) this.align();
    for (let i = 0; i < b.length; i++) this.bits(typeof b === "string" ? b.charCodeAt(i) : b[i], 8);
  }
  /** Writes s as data does, in UTF-8. */
  string(s, max) {
    this.data(/[^\0-\x7f]/.test(s) ? encoder.encode(s) : s, max);
  }
};
var Reader = class extends Stream {
  // number of bits
  /** Returns the message of b. */
  decode(codec, b) {
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
  bits(n) {
    const { words, at } = this;
    this.skip(n);
    let v = words[at >> 5] >>> at;
    if ((at & 31) + n > 32) v |= words[(at >> 5) + 1] << -at;
    return v & (n < 32 ? (1 << n) - 1 : -1);
  }
  skip(n) {
    this.at += n;
    must(this.at <= this.size, "truncated");
  }
  /** Skips zero bits up to the next byte. */
  align() {
    must(!this.bits(-this.at & 7), "form");
  }
  /** Whether another byte follows, after the zero bits up to it. */
  more() {
    this.align();
    return this.at < this.size;
  }
  /** Ignores what follows. */
  rest() {
    this.at = this.size;
  }
  /** Returns the next varint of a type with n bits. */
  uint(n) {
    let v = 0;
    for (let unit = 1; ; unit *= 128, n -= 7) {
      const c = this.bits(n > 7 ? 8 : n);
      v += (c & 127) * unit;
      if (c > 127) continue;
      must(c > 0 || unit < 2, "form");
      must(v < 2 ** 53, "range");
      return v;
    }
  }
  /**
   * Returns the next number of bytes or elements. Throws if it is more than max, and if so many elements, of at least the
   * given number of bits each, are more than what is left.
   */
  count(max, least) {
    const n = max < 256 ? this.bits(32 - Math.clz32(max)) : this.uint(32);
    must(n <= max, "length");
    must(this.at + n * least <= this.size, "truncated");
    return n;
  }
  /** Goes behind the next bytes, which have their number in front. Returns the index of the first. */
  past(max) {
    const n = this.count(max, 8);
    if (n) this.align();
    this.skip(n * 8);
    return (this.at >> 3) - n;
  }
  /** Returns the next bytes. */
  data(max) {
    return this.bytes.slice(this.past(max), this.at >> 3);
  }
  /** Returns the next string. */
  string(max) {
    const { bytes } = this;
    const first = this.past(max);
    const end = this.at >> 3;
    let s = "";
    if (end < first + shortText) for (let i = first; i < end && bytes[i] < 128; i++) s += String.fromCharCode(bytes[i]);
    try {
      return first + s.length < end ? decoder.decode(bytes.subarray(first, end)) : s;
    } catch {
      throw new Error("utf8");
    }
  }
};

// src/typed.ts
var writer = new Writer();
var reader = new Reader();
function encode(name, form, m) {
  try {
    return !form ? m : form.read ? writer.encode(form, m) : form.encode(m);
  } catch (e) {
    throw new Error(`${name}: ${e.message}`);
  }
}
var Typed = class extends Conn {
  /**
   * Returns the message of b in an array. If b is no message, counts that, and returns an empty array if name is a channel
   * that may lose messages; else ends the session and throws. Without b there are no bytes.
   */
  heard(name, form, b = new Uint8Array()) {
    try {
      return [!form ? b : form.read ? reader.decode(form, b) : form.decode(b)];
    } catch (e) {
      const why = `${name}: ${form.read ? e.message : "form"}`;
      this.bad.set(why, -~this.bad.get(why));
      if (this.game.channels.some((c) => c.name === name && c.mode > "s")) return [];
      void this.close(3, why, 0);
      throw new Error(why);
    }
  }
  send(channel, m, options) {
    return super.send(channel, encode(channel, this.game.messages[channel], m), options);
  }
  on(channel, f) {
    return super.on(channel, (b) => this.heard(channel, this.game.messages[channel], b).forEach((m) => f(m)));
  }
  async *messages(channel) {
    for await (const b of super.messages(channel)) yield* this.heard(channel, this.game.messages[channel], b);
  }
  async request(name, q, options) {
    const [question, reply] = this.game.requests?.[name] ?? [];
    return this.heard(`${name}()`, reply, await super.request(name, encode(name, question, q), options))[0];
  }
  handle(name, f) {
    const [question, reply] = this.game.requests?.[name] ?? [];
    super.handle(name, async (b) => encode(name, reply, await f(this.heard(`${name}()`, question, b)[0])));
  }
};
var typed = (conn, game) => Object.assign(Object.setPrototypeOf(conn, Typed.prototype), { game, bad: /* @__PURE__ */ new Map() });
var connect = (target, game, options) => via(game)(target, settings(game, options));
var sessions = (target, game, options) => sessionsOfBytes(target, settings(game, options), via(game));
var via = (game) => async (target, options) => typed(await connectBytes(target, options), game);
var settings = (game, options) => ({
  ...options,
  ...game,
  hello: options?.hello && new Uint8Array(encode("hello", game.hello, options.hello))
});
export {
  Reader,
  Writer,
  connect,
  sessions,
  typed
};
