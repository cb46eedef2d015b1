// Control messages: the lines of internal/session/testdata/frames.txt.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hello, numbered, parseControl, typeReject, typeReply, typeRequest } from "../src/control";
import { hex, unhex, utf8 } from "./bytes";

const lines = readFileSync(new URL("../../internal/session/testdata/frames.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => line && !line.startsWith("#"))
  .map((line) => /^(\w+) (.*?):\s*(.*)$/.exec(line)!.slice(1))
  .map(([kind, name, bytes]) => ({ kind: kind!, name: name!, b: unhex(bytes!.replace(/ /g, "")) }));

test.each(lines)("$kind $name", ({ kind, b }) => {
  const c = parseControl(b);
  expect(c !== null).toBe(kind !== "bad");
  if (!c || kind !== "good" || c.type === 2) return; // we never write WELCOME
  const name = utf8(c.name);
  const parts: Record<number, Uint8Array[]> = {
    [typeRequest]: [Uint8Array.of(name.length), name, c.payload],
    [typeReply]: [c.payload],
    [typeReject]: [utf8(c.text)],
  };
  expect(hex(c.type === 1 ? hello(c.payload) : numbered(c.type, c.id, ...(parts[c.type] ?? [])))).toBe(hex(b));
});
