// Control messages: the lines of internal/sessioncore/testdata.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  hello,
  numbered,
  parseControl,
  typeHello,
  typeHere,
  typeMove,
  typeOpen,
  typeOpened,
  typeRequest,
  typeShut,
  typeWelcome,
} from "../src/control";
import { hex, unhex, utf8 } from "./bytes";

const lines = ["frames", "open"]
  .map((name) => readFileSync(new URL(`../../internal/sessioncore/testdata/${name}.txt`, import.meta.url), "utf8"))
  .flatMap((file) => file.split("\n"))
  .filter((line) => line && !line.startsWith("#"))
  .map((line) => /^(\w+) (.*?):\s*(.*)$/.exec(line)!.slice(1))
  .map(([kind, name, bytes]) => ({ kind: kind!, name: name!, b: unhex(bytes!.replace(/ /g, "")) }));

// A client writes HELLO and HERE. It refuses them from a server, which never sends them.
const refused = [typeHello, typeHere];

test.each(lines)("$kind $name", ({ kind, b }) => {
  const type = b[0]!;
  if (refused.includes(type) || kind === "bad") {
    expect(() => parseControl(b)).toThrow();
    const end = 3 + b[2]!; // of HELLO, without the byte with what this client supports
    if (type === typeHello && kind === "good") expect(hex(hello(b.subarray(3, end)))).toBe(`${hex(b.subarray(0, end))}1f`);
    if (type === typeHere && kind === "good") expect(hex(numbered(type, 1))).toBe(hex(b));
    return;
  }
  const c = parseControl(b);
  if (kind !== "good" || type === typeWelcome) return; // a client never writes WELCOME
  if (type === typeOpened || type === typeShut) return expect(c.id).toBe(b[1]);
  if (type === typeOpen) return expect(c.words).toMatch(/^4 effects unreliable both 16384 65536( 7 20000 2)?$/);
  if (type === typeMove) return expect(hex(c.payload)).toBe(hex(b.subarray(1)));
  const called = type === typeRequest ? [c.words.length, ...utf8(c.words)] : [];
  expect(hex(numbered(type, c.id, [...called, ...c.payload]))).toBe(hex(b));
});

test("what a type does not have is empty", () => {
  expect(parseControl(Uint8Array.of(0x80, 1, 2))).toEqual({
    type: 0x80,
    id: 0,
    session: 0n,
    words: "",
    payload: new Uint8Array(),
    most: -1,
    maxQueue: 0,
    next: ["", ""],
  });
});

test("WELCOME", () => {
  const { session, payload, id } = parseControl(lines.find(({ name }) => name === "welcome")!.b);
  expect({ session, token: hex(payload), grace: id }).toEqual({
    session: 0xffn,
    token: "000102030405060708090a0b0c0d0e0f",
    grace: 30_000,
  });
});

test("WELCOME with the credentials of the next link, or with bytes that are none", () => {
  const welcome = lines.find(({ name }) => name === "welcome, none")!.b;
  const next = (...more: number[]): string[] => parseControl(Uint8Array.of(...welcome, ...more)).next;
  const [ufrag, pwd] = [utf8("RAAAA"), utf8("pw")];
  expect(next(5, ...ufrag, 2, ...pwd)).toEqual(["RAAAA", "pw"]);
  expect(next(5, ...ufrag, 2, ...pwd, 0xff, 0xff)).toEqual(["RAAAA", "pw"]);
  for (const more of [[], [0, 0], [0], [5], [5, ...ufrag], [5, ...ufrag, 0], [5, ...ufrag, 3, ...pwd], [1, 0xff, 2, ...pwd]]) {
    expect(next(...more), `${more}`).toEqual(["", ""]);
  }
  const queues = lines.find(({ name }) => name === "welcome, four")!.b;
  expect(parseControl(Uint8Array.of(...queues, 5, ...ufrag, 2, ...pwd))).toMatchObject({
    maxQueue: 1 << 20,
    next: ["RAAAA", "pw"],
  });
});

test("texts, payloads and names at their bounds", () => {
  const parse = (type: number, ...rest: number[]): boolean => {
    try {
      return parseControl(Uint8Array.from([type, ...rest])).type === type;
    } catch {
      return false;
    }
  };
  const n = (length: number): number[] => Array<number>(length).fill(97);
  expect(
    [256, 257].map((k) => parse(6, 0, 0, 0, 1, ...n(k))),
    "REJECT",
  ).toEqual([true, false]);
  expect(
    [0, 1, 256, 257].map((k) => parse(typeOpen, ...n(k))),
    "OPEN",
  ).toEqual([false, true, true, false]);
  expect(
    [65_466, 65_467].map((k) => parse(4, 0, 0, 0, 1, ...n(k))),
    "REPLY",
  ).toEqual([true, false]);
  expect(
    [0, 1, 64, 65].map((k) => parse(typeRequest, 0, 0, 0, 1, k, ...n(k))),
    "names",
  ).toEqual([false, true, true, false]);
  expect([parse(6, 0, 0, 0, 1, 0xff), parse(4, 0, 0, 0, 1, 0xff), parse(4, 0, 0, 0)], "text, bytes, and too few").toEqual([
    false,
    true,
    false,
  ]);
  expect(
    [0x7f, 0x80, 10].map((type) => parse(type)),
    "types that are not known",
  ).toEqual([false, true, false]);
  expect(hello(new Uint8Array(1024)).length).toBe(1028);
  expect(() => hello(new Uint8Array(1025))).toThrow("1025 bytes: at most 1024");
  expect(hex(numbered(4, 0x01020304, [5]))).toBe("040102030405");
});
