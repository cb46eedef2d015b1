package gen

import (
	"regexp"
	"strings"
)

// helper is a function that a module has if it needs the function. What few programs need is not a part of the client.
type helper struct {
	name  string
	needs []string
	body  string // in TypeScript
}

// text returns the helper in TypeScript, or without its types.
func (h helper) text(typed bool) string {
	if typed {
		return "\n" + h.body
	}
	var out []string
	for line := range strings.Lines(h.body) {
		if strings.HasPrefix(line, "function ") {
			line = annotation.ReplaceAllString(line, "$1")
		}
		out = append(out, strings.ReplaceAll(line, "]!", "]"))
	}
	return "\n" + strings.Join(out, "")
}

// annotation is the type of a parameter or result.
var annotation = regexp.MustCompile(`(\w|\)): \w+`)

// helpers are in the order in which modules have them. The arrays come first: functions need them.
var helpers = []helper{
	{name: "whole", body: `/** Returns v. Throws unless v is an integer of min..max. */
function whole(v: number, min: number, max: number): number {
  if (!(v >= min && v <= max) || Math.floor(v) !== v) throw new Error("range");
  return v;
}
`},
	{name: "step", body: `/** Returns the index of the value nearest to v among min, min+step and so on up to max; the nearer end if v is outside. */
function step(v: number, min: number, max: number, step: number): number {
  if (v < min) v = min;
  else if (v > max) v = max;
  else if (!(v <= max)) throw new Error("range");
  return Math.floor((v - min) / step + 0.5);
}
`},
	{name: "within", body: `/** Returns v. Throws if v is more than max. */
function within(v: number, max: number): number {
  if (v > max) throw new Error("range");
  return v;
}
`},
	{name: "writeInt", needs: []string{"whole"}, body: `/** Writes v, of -max-1..max, as a varint of n bits with the sign in the lowest bit. */
function writeInt(w: Writer, v: number, n: number, max: number): void {
  whole(v, n < 64 ? -max - 1 : -max, max);
  const negative = v < 0 ? 1 : 0;
  if (negative) v = -1 - v;
  const rest = Math.floor(v / 64);
  w.bits((v % 64) * 2 + negative + (rest ? 128 : 0), 8);
  if (rest) w.uint(rest, n - 7);
}
`},
	{name: "readInt", needs: []string{"within"}, body: `/** Reads what writeInt writes. */
function readInt(r: Reader, n: number, max: number): number {
  const c = r.bits(8);
  let v = (c & 127) >> 1;
  if (c > 127) {
    const rest = r.uint(n - 7);
    if (!rest) throw new Error("form");
    v += rest * 64;
  }
  if (c & 1) v = -1 - v;
  within(Math.abs(v), max);
  return v;
}
`},
	{name: "readFixed", needs: []string{"within"}, body: `/** Reads an integer of 64 bits. */
function readFixed(r: Reader, signed: boolean): number {
  const low = r.bits(32) >>> 0;
  const high = r.bits(32);
  const v = (signed ? high : high >>> 0) * 0x100000000 + low;
  within(Math.abs(v), Number.MAX_SAFE_INTEGER);
  return v;
}
`},
	{name: "writeBig", body: `/** Writes v as a varint of 64 bits, with the sign in the lowest bit if signed. */
function writeBig(w: Writer, v: bigint, signed: boolean): void {
  if ((signed ? BigInt.asIntN(64, v) : BigInt.asUintN(64, v)) !== v) throw new Error("range");
  if (signed) v = v < 0n ? -2n * v - 1n : 2n * v;
  let n = 64;
  for (; v > 127n && n > 7; n -= 7) {
    w.bits(Number(v & 127n) + 128, 8);
    v >>= 7n;
  }
  w.bits(Number(v), n > 7 ? 8 : n);
}
`},
	{name: "readBig", body: `/** Reads what writeBig writes. */
function readBig(r: Reader, signed: boolean): bigint {
  let v = 0n;
  for (let n = 64; ; n -= 7) {
    const c = r.bits(n > 7 ? 8 : n);
    v |= BigInt(c & 127) << BigInt(64 - n);
    if (c > 127) continue;
    if (!c && n < 64) throw new Error("form");
    return signed ? (v & 1n ? -1n - (v >> 1n) : v >> 1n) : v;
  }
}
`},
	{name: "writeBigFixed", body: `/** Writes v in 64 bits. */
function writeBigFixed(w: Writer, v: bigint, signed: boolean): void {
  if ((signed ? BigInt.asIntN(64, v) : BigInt.asUintN(64, v)) !== v) throw new Error("range");
  w.bits(Number(BigInt.asUintN(32, v)), 32);
  w.bits(Number(BigInt.asUintN(32, v >> 32n)), 32);
}
`},
	{name: "readBigFixed", body: `/** Reads an integer of 64 bits. */
function readBigFixed(r: Reader, signed: boolean): bigint {
  const low = r.bits(32) >>> 0;
  const v = (BigInt(r.bits(32) >>> 0) << 32n) | BigInt(low);
  return signed ? BigInt.asIntN(64, v) : v;
}
`},
	{name: "order", body: `/** Returns a negative number if a comes before b in UTF-8, a positive one if it comes after b. */
function order(a: string, b: string): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    let x = a.charCodeAt(i);
    let y = b.charCodeAt(i);
    if (x === y) continue;
    if (x >= 0xd800) x += x < 0xe000 ? 0x2000 : -0x800; // surrogates come last
    if (y >= 0xd800) y += y < 0xe000 ? 0x2000 : -0x800;
    return x - y;
  }
  return a.length - b.length;
}
`},
	{name: "writeJSON", body: `/** Returns the bytes of a value as JSON. */
function writeJSON(m: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(m));
}
`},
	{name: "readJSON", body: `/** Returns the value of JSON. */
function readJSON(b: Uint8Array): unknown {
  return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(b));
}
`},
	{name: "floats", body: `// The numbers of these arrays share their bits.
const ints = new Int32Array(2);
const floats = new Float32Array(ints.buffer);
const doubles = new Float64Array(ints.buffer);
`},
	{name: "bitsOfFloat", needs: []string{"floats"}, body: `/** Returns the 32 bits of v. */
function bitsOfFloat(v: number): number {
  floats[0] = v;
  return Number.isNaN(v) ? 0x7fc00000 : ints[0]!;
}
`},
	{name: "floatOfBits", needs: []string{"floats"}, body: `/** Returns the number with 32 bits. NaN has one form. */
function floatOfBits(bits: number): number {
  ints[0] = bits;
  const v = floats[0]!;
  if (Number.isNaN(v) && bits !== 0x7fc00000) throw new Error("form");
  return v;
}
`},
	{name: "writeDouble", needs: []string{"floats"}, body: `/** Writes the 64 bits of v. */
function writeDouble(w: Writer, v: number): void {
  doubles[0] = v;
  const low = Number.isNaN(v) ? 0 : ints[0]!;
  const high = Number.isNaN(v) ? 0x7ff80000 : ints[1]!;
  w.bits(low, 32);
  w.bits(high, 32);
}
`},
	{name: "readDouble", needs: []string{"floats"}, body: `/** Reads a number of 64 bits. NaN has one form. */
function readDouble(r: Reader): number {
  const low = r.bits(32);
  const high = r.bits(32);
  ints[0] = low;
  ints[1] = high;
  const v = doubles[0]!;
  if (Number.isNaN(v) && (low || high !== 0x7ff80000)) throw new Error("form");
  return v;
}
`},
}
