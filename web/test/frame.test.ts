// The bytes that readers take and writers make, at their limits.
import { describe, expect, test } from "vitest";
import { text, view } from "../src/bytes";
import { SendError } from "../src/error";
import { appendClose, appendGivenUp, appendPiece, pieceCost, pieceSize, pieces } from "../src/frame";
import { appendAck, appendHeader, expand, Packet } from "../src/packet";
import { maxMessage } from "../src/table";
import { Reader, Writer } from "../src/varint";
import { hex, unhex, utf8 } from "./bytes";
import { view as packet } from "./view";

function written(f: (w: Writer) => void): Uint8Array {
  const w = new Writer();
  w.b = new Uint8Array(4096);
  f(w);
  return w.b.subarray(0, w.n);
}

test("a message is cut into pieces of 1024 bytes, and none has one", () => {
  expect([0, 1, pieceSize, pieceSize + 1, 10 * pieceSize, maxMessage].map(pieces)).toEqual([
    1,
    1,
    1,
    2,
    10,
    maxMessage / pieceSize,
  ]);
  expect([pieceCost(10, 0), pieceCost(5000, 0), pieceCost(5000, 4)]).toEqual([10 + 15, 1024 + 15, 5000 - 4096 + 15]);
});

test("a reader gives what there is, and throws behind it", () => {
  const r = new Reader(unhex("0102030405"));
  expect([r.more(), r.byte(), r.uint(2)]).toEqual([true, 1, 0x0203]);
  expect(() => r.skip(3)).toThrow("malformed");
  expect(() => r.take(3)).toThrow("malformed");
  expect([hex(r.take(2)), r.more(), r.at]).toEqual(["0405", false, 5]);
  expect(hex(r.take(0))).toBe("");
  expect(() => r.byte()).toThrow("malformed");
});

test("text is UTF-8, a byte order mark too, or it is none", () => {
  expect(text(utf8("\ufeffé"))).toBe("\ufeffé");
  expect(() => text(unhex("c3"))).toThrow();
});

test("bytes are views and buffers, and nothing else", () => {
  const { buffer } = Uint8Array.of(1, 2, 3, 4);
  expect([buffer, new DataView(buffer, 1, 2), new Uint16Array(buffer, 2)].map((b) => hex(view(b)))).toEqual([
    "01020304",
    "0203",
    "0304",
  ]);
  const same = Uint8Array.of(5);
  expect(view(same)).toBe(same);
  for (const b of ["text", 5, {}, null, undefined, [1]]) expect(() => view(b as never)).toThrow(SendError);
});

test("a writer writes any part of what it is given, long or short", () => {
  const long = new Uint8Array(2000).map((_, i) => i);
  expect(written((w) => (w.bytes(long), w.byte(7)))).toEqual(Uint8Array.of(...long, 7));
  expect(written((w) => (w.bytes(long, 10, 1500), w.byte(7)))).toEqual(Uint8Array.of(...long.subarray(10, 1500), 7));
  expect(written((w) => (w.bytes(long, 10, 12), w.byte(7)))).toEqual(Uint8Array.of(10, 11, 7));
  expect(hex(written((w) => (w.uint(0x010203, 3), w.uint(5, 1), w.uint(0x1234, 2))))).toBe("010203051234");
});

describe("packet numbers", () => {
  test("are written in two bytes while that is all of it, then in three", () => {
    const header = (n: number): string => hex(written((w) => appendHeader(w, n)));
    expect([0, 0x7fff, 0x8000, 0x123456].map(header)).toEqual(["110000", "117fff", "12008000", "12123456"]);
  });

  test("are the nearest to what is expected", () => {
    expect(expand(0x00, 1, 0x180)).toBe(0x200); // half a window below, and so above
    expect(expand(0x01, 1, 0x180)).toBe(0x101);
    expect(expand(0x00, 1, 0x17f)).toBe(0x100);
    expect(expand(0xff, 1, 0x100 + 0x7e)).toBe(0xff);
    expect(expand(0xff, 1, 0x100 + 0x7f)).toBe(0x1ff);
    expect(expand(0xff, 1, 0x00), "none is below 0").toBe(0xff);
  });
});

describe("an ack block", () => {
  const block = (ranges: number[], end: number): unknown => {
    const p = packet(
      written((w) => {
        appendHeader(w, 1);
        appendAck(w, 9000, 3, ranges, end);
      }),
    );
    return p?.ack;
  };

  test("has its ranges, newest first", () => {
    expect(block([5], 1100)).toEqual({ largest: 9000, delay: 3, first: 5 });
    expect(block([5, 1, 2, 3, 4], 1100)).toEqual({
      largest: 9000,
      delay: 3,
      first: 5,
      rest: [
        [1, 2],
        [3, 4],
      ],
    });
  });

  test("leaves out the oldest that might pass the end", () => {
    // Header 3, largest 2, delay 1, first 1, count 1: 8 bytes. A range has at most 4.
    const all = [5, 1, 2, 3, 4];
    expect(block(all, 11)).toEqual({ largest: 9000, delay: 3, first: 5 });
    expect(block(all, 12)).toEqual({ largest: 9000, delay: 3, first: 5, rest: [[1, 2]] });
    expect(block(all, 13)).toEqual({ largest: 9000, delay: 3, first: 5, rest: [[1, 2]] });
    expect(block(all, 14)).toEqual({
      largest: 9000,
      delay: 3,
      first: 5,
      rest: [
        [1, 2],
        [3, 4],
      ],
    });
  });
});

test("a packet's frames at their bounds", () => {
  const frames = (h: string): unknown => packet(unhex(`110000${h}`))?.frames.length;
  const fragment = (index: string, total: string, size: number): string => `81${"00"}${index}${total}${"00".repeat(size)}`;
  expect(frames(fragment("ff3f", "80808004", 1024)), "8 MiB, the last piece").toBe(1);
  expect(frames(fragment("ff3f", "81808004", 1024)), "one byte more").toBeUndefined();
  expect(frames(fragment("01", "8108", 1))).toBe(1);
  expect(frames(fragment("00", "8008", 1024)), "one piece is no fragment").toBeUndefined();
  expect([frames("0300"), frames("1f00"), frames("2000"), frames("3f00")], "control kinds that are not known").toEqual([
    undefined,
    undefined,
    1,
    1,
  ]);
});

test("a packet of padding wants no answer, whatever came before it", () => {
  const p = new Packet();
  expect([p.parse(unhex("11000001")), p.eliciting, p.parse(unhex("11000000")), p.eliciting]).toEqual([true, true, true, false]);
});

test("pieces, and the end", () => {
  const b = Uint8Array.of(0, 0, ...Array.from({ length: 1100 }, (_, i) => i));
  const small = { id: 200, b, start: 2, len: 3 };
  const large = { id: 200, b, start: 2, len: 1100 };
  const piece = (ch: number, bare: boolean, body: typeof small, i: number): string =>
    hex(written((w) => appendPiece(w, ch, bare, body, i)));
  expect(piece(5, true, small, 0)).toBe("c5" + "03" + "000102");
  expect(piece(5, false, small, 0)).toBe("45" + "c801" + "03" + "000102");
  for (const bare of [true, false]) {
    expect(piece(5, bare, large, 1)).toBe("85" + "c801" + "01" + "cc08" + hex(b.subarray(2 + 1024)));
    expect(piece(5, bare, large, 0)).toBe("85" + "c801" + "00" + "cc08" + hex(b.subarray(2, 2 + 1024)));
  }
  const most = { id: 1, b: new Uint8Array(pieceSize), start: 0, len: pieceSize };
  expect(piece(5, false, most, 0).slice(0, 8)).toBe("45" + "01" + "8008");
  expect(hex(written((w) => appendGivenUp(w, 5)))).toBe("20" + "01" + "05");
  expect(hex(written((w) => appendGivenUp(w, 300)))).toBe("20" + "02" + "ac02");
  expect(hex(written((w) => appendClose(w, 300, utf8("hi"))))).toBe("02" + "ac02" + "02" + "6869");
});
