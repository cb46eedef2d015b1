// Control messages: the lines of internal/session/testdata/frames.txt.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hello, numbered, parseControl, typeHello, typeHere, typeRequest, typeWelcome } from "../src/control";
import { hex, unhex, utf8 } from "./bytes";

const lines = readFileSync(new URL("../../internal/session/testdata/frames.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line && !line.startsWith("#"))
  .map((line) => /^(\w+) (.*?):\s*(.*)$/.exec(line)!.slice(1))
  .map(([kind, name, bytes]) => ({ kind: kind!, name: name!, b: unhex(bytes!.replace(/ /g, "")) }));

// A client writes HELLO and HERE, and refuses them from a server, which never says so.
const fromClients = [typeHello, typeHere];

test.each(lines)("$kind $name", ({ kind, b }) => {
  const type = b[0]!;
  if (fromClients.includes(type) || kind === "bad") {
    expect(() => parseControl(b)).toThrow();
    if (type === typeHello && kind === "good") expect(hex(hello(b.subarray(3)))).toBe(hex(b));
    if (type === typeHere && kind === "good") expect(hex(numbered(type, 1))).toBe(hex(b));
    return;
  }
  const c = parseControl(b);
  if (kind !== "good" || type === typeWelcome) return; // we never write WELCOME
  const name = type === typeRequest ? [c.text.length, ...utf8(c.text)] : [];
  expect(hex(numbered(type, c.id, [...name, ...c.payload]))).toBe(hex(b));
});

test("WELCOME", () => {
  const { session, payload, id } = parseControl(lines.find(({ name }) => name === "welcome")!.b);
  expect({ session, token: hex(payload), grace: id }).toEqual({
    session: 0xffn,
    token: "000102030405060708090a0b0c0d0e0f",
    grace: 30_000,
  });
});
