// Typed messages: the generated module of internal/gen/sample with the vectors that the tests in Go use, too, and random
// types against Go.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Codec, Reader, Writer } from "../src/pack";
import { dump, revive } from "./plain";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { table } = await import("../../internal/gen/sample/sample.js" as string);
const codecs: Record<string, Codec<unknown>> = {
  ...table.messages,
  joined: table.requests.join[1],
  name: table.hello,
  tick: table.requests.ping[1],
};
const vectors: { Message: string; Value: unknown; Hex: string }[] = JSON.parse(
  readFileSync(`${root}internal/gen/sample/testdata/vectors.json`, "utf8"),
);
const codec = (message: string): Codec<unknown> => codecs[message.toLowerCase()]!;
const fromHex = (s: string): Uint8Array => new Uint8Array(Buffer.from(s, "hex"));
const hex = (b: Uint8Array): string => Buffer.from(b).toString("hex");

describe("the vectors", () => {
  test("are read as Go reads them, and written again", () => {
    const [reader, writer] = [new Reader(), new Writer()];
    for (const { Message, Value, Hex } of vectors) {
      const m = reader.decode(codec(Message), fromHex(Hex));
      expect(dump(m)).toBe(JSON.stringify(Value));
      expect(hex(writer.encode(codec(Message), m))).toBe(Hex);
    }
  });

  test("are written from values", () => {
    const writer = new Writer();
    for (const { Message, Value, Hex } of vectors) {
      expect(hex(writer.encode(codec(Message), revive(JSON.stringify(Value))))).toBe(Hex);
    }
  });

  test("are refused when they are cut off", () => {
    const reader = new Reader();
    for (const { Message, Hex } of vectors) {
      if (Message === "Newer") continue; // an older end writes fewer fields
      const step = 2 + 2 * (Hex.length >> 7);
      for (let n = 0; n < Hex.length; n += step) expect(() => reader.decode(codec(Message), fromHex(Hex.slice(0, n)))).toThrow();
    }
  });
});

describe("a message with fields that were added later", () => {
  const f = { x: 1, y: 2, z: 3 };
  const added = { c: true, d: "new", kind: "left", e: [7], f, g: new Map(), h: [f, f], at: new Date(5), big: 9n };
  const whole = { a: 1, b: true, ...added };

  test("is read by an older end, which ignores them", () => {
    const b = new Writer().encode(codec("newer"), whole);
    expect(new Reader().decode(codec("older"), b)).toEqual({ a: 1, b: true });
  });

  test("is read by a newer end from an older one with zeros", () => {
    const b = new Writer().encode(codec("older"), { a: 1, b: true });
    const zero = { x: 0, y: 0, z: 0 };
    expect(new Reader().decode(codec("newer"), b)).toEqual({
      ...{ a: 1, b: true, c: false, d: "", kind: "here", e: [], f: undefined, g: new Map() },
      ...{ h: [zero, zero], at: new Date(-62135596800000), big: 0n },
    });
  });
});

test("a buffer grows with its messages", () => {
  const [reader, writer] = [new Reader(), new Writer()];
  const words = Array.from({ length: 300 }, (_, i) => `word ${i}`);
  const empty = vectors.find((v) => v.Message === "Lists")!;
  const lists = { ...(reader.decode(codec("lists"), fromHex(empty.Hex)) as object), words };
  const b = writer.encode(codec("lists"), lists).slice();
  expect(b.length).toBeGreaterThan(2000);
  expect((reader.decode(codec("lists"), b) as typeof lists).words).toEqual(words);
  expect(writer.encode(codec("name"), { name: "Ada" })).toEqual(fromHex("03416461"));
});

test("Go and TypeScript agree about random types, values and bytes", { timeout: 600_000 }, () => {
  const out = execFileSync("go", ["run", "./internal/gen/differ"], { cwd: root, encoding: "utf8" });
  expect(out).toMatch(/20000 cases without a difference/);
});
