// What dist/godwit.d.ts publishes: the names of core.ts and godwit.ts, and nothing that src/ marks as @internal.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const types = read("dist/godwit.d.ts");

/** Names of the members that follow a comment with @internal. */
function internal(code: string): string[] {
  return [...code.matchAll(/@internal \*\/\n +(?:readonly |async |get )*(\w+)/g)]
    .map((m) => m[1]!)
    .filter((name) => name !== "constructor");
}

test("members that are marked as internal are not published", () => {
  const names = readdirSync(new URL("../src", import.meta.url)).flatMap((file) => internal(read(`src/${file}`)));
  expect(names).toContain("session");
  const others = types.replace(/^export interface Seat \{[^}]*\}/m, ""); // which has a member of this name
  expect(others).not.toBe(types);
  for (const name of names) expect(others, name).not.toMatch(new RegExp(`^ +(?:readonly |get |set )*${name}[(:?<]`, "m"));
  expect(types).not.toContain("@internal");
  expect(types, "how keep begins a Conn").not.toMatch(/begin\?:/);
});

test("what is exported has the names of core.ts and godwit.ts", () => {
  const wanted = [...(read("src/core.ts") + read("src/godwit.ts")).matchAll(/\{ ([^}]*) \}/g)].flatMap((m) => m[1]!.split(", "));
  const exported = [...types.matchAll(/^export (?:declare )?(?:class|interface|type|const|function)\*? (\w+)/gm)].map(
    (m) => m[1]!,
  );
  expect([...new Set(exported)].sort()).toEqual(wanted.sort());
  expect(wanted).toEqual(expect.arrayContaining(["CloseCode", "DropReason", "Fate"]));
});

test("the scripts export what is no type, and the small one leaves keep out", async () => {
  const values = [...types.matchAll(/^export declare (?:class|const|function)\*? (\w+)/gm)].map((m) => m[1]!);
  const all = [...new Set(values)].sort();
  expect(Object.keys(await import("../dist/godwit.js" as string)).sort()).toEqual(all);
  expect(Object.keys(await import("../dist/godwit.keep.min.js" as string)).sort()).toEqual(all);
  const small = all.filter((name) => !["keep", "resume", "suspend"].includes(name));
  expect(Object.keys(await import("../dist/godwit.min.js" as string)).sort()).toEqual(small);
});

test("the classic script sets a global with all of it, and with typed messages", async () => {
  const script = read("dist/godwit.classic.min.js");
  expect(script).not.toMatch(/\b(?:import|export)\b/);
  const before = Object.keys(globalThis);
  new Function(script)(); // what it declares is not global
  expect(Object.keys(globalThis).filter((name) => !before.includes(name))).toEqual(["godwit"]);
  const { types: typed, ...client } = (globalThis as unknown as { godwit: Record<string, object> }).godwit;
  expect(Object.keys(client).sort()).toEqual(Object.keys(await import("../dist/godwit.js" as string)).sort());
  const module = (await import("../dist/godwit.types.js" as string)) as typeof import("../src/typed");
  expect(Object.keys(typed!).sort()).toEqual(Object.keys(module).sort());
  // Generated code calls Writer and Reader by their names.
  const { Reader, Writer } = typed as typeof module;
  const { table } = (await import("../../examples/boxes/table.js" as string)) as { table: import("../src/typed").Game };
  const { world } = table.messages as Record<string, never>;
  const m = { tick: 7, it: 3, boxes: [{ id: 3, x: 400, y: 800, away: true }] };
  const b = new Writer().encode(world, m).slice();
  expect(b).toEqual(new module.Writer().encode(world, m));
  expect(new Reader().decode(world, b)).toEqual(m);
});
