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
  for (const name of names) expect(types, name).not.toMatch(new RegExp(`^ +(?:readonly |get |set )*${name}[(:?<]`, "m"));
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
