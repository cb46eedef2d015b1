// Tables of channels at their limits, and the text about two tables that differ.
import { describe, expect, test } from "vitest";
import {
  type Channel,
  controlChannel,
  firstDifference,
  full,
  fullTable,
  hash,
  openLine,
  parseLine,
  tableText,
} from "../src/table";

const line = (more: object): Channel => ({ name: "a", mode: "sequenced", ...more }) as Channel;

test("what a channel has by default", () => {
  const rest = { direction: "both", compress: false, schema: "", priority: 0, guarantee: 0, copies: 0, weight: 1 };
  expect(full(line({}))).toEqual({ name: "a", mode: "sequenced", ...rest, maxMessage: 16 << 10, queueLimit: 64 << 10 });
  expect(full(line({ mode: "reliable-unordered" }))).toMatchObject({ maxMessage: 256 << 10, queueLimit: 1 << 20 });
  expect(full(line({ maxMessage: 1 << 20 })).queueLimit, "room for one of the largest").toBe((1 << 20) + 32);
  expect(controlChannel).toMatchObject({ maxMessage: 64 << 10, queueLimit: 256 << 10, mode: "reliable-ordered" });
});

describe("bounds", () => {
  const most = 8 << 20;
  test.each([
    ["name", "n".repeat(64), "n".repeat(65)],
    ["name", "é".repeat(32), "é".repeat(33)],
    ["name", "x", ""],
    ["name", "\u0080", "\u007f"],
    ["name", "!", " "],
    ["maxMessage", 1, -1],
    ["maxMessage", most, most + 1],
    ["maxMessage", 5, 5.5],
    ["queueLimit", (16 << 10) + 32, (16 << 10) + 31],
    ["queueLimit", 64 << 20, (64 << 20) + 1],
    ["priority", 7, 8],
    ["priority", 0, -1],
    ["guarantee", 0, -1],
    ["guarantee", Number.MAX_SAFE_INTEGER, Infinity],
    ["guarantee", 1, NaN],
    ["weight", 1000, 1001],
    ["weight", 1, -1],
    ["copies", 16, 17],
    ["copies", -16, -17],
    ["priority", 1, "1"],
  ])("of %s: %s, and not %s", (field, good, bad) => {
    expect(fullTable([line({ [field]: good })]).at(-1)).toMatchObject({ [field]: good });
    expect(() => fullTable([line({ [field]: bad })])).toThrow(field === "name" ? "a name has 1 to 64 bytes" : `${field} is not`);
  });

  test("63 channels", () => {
    const many = (n: number): Channel[] => Array.from({ length: n }, (_, i) => line({ name: `${i}` }));
    expect(fullTable(many(63)).length).toBe(64);
    expect(() => fullTable(many(64))).toThrow("64 channels: at most 63");
  });

  test("no name twice, and not that of the control channel", () => {
    expect(() => fullTable([line({}), line({ name: "b" }), line({})])).toThrow('channel "a": the name is taken');
    expect(() => fullTable([line({ name: "control" })])).toThrow("the name is taken");
  });
});

test("a line of OPEN is a channel with a number, with or without how to send", () => {
  const others = [full(line({}))];
  expect(parseLine(others, "2 b unreliable both 100 1000", 2)).toEqual(
    full({ name: "b", mode: "unreliable", maxMessage: 100, queueLimit: 1000 }),
  );
  expect(parseLine(others, "2 b unreliable to-client 100 1000", 2).direction).toBe("to-client");
  const how = "2 b unreliable both 100 1000 7 20000 3";
  const c = parseLine(others, how, 2);
  expect(c).toMatchObject({ priority: 7, guarantee: 20_000, weight: 3 });
  expect(openLine(c, 2)).toBe(how);
  expect(openLine({ ...c, guarantee: Number.MAX_SAFE_INTEGER }, 2)).toBe("2 b unreliable both 100 1000 7 2147483647 3");
  for (const wrong of [
    "3 b unreliable both 100 1000",
    "2 b unreliable both 100 1000 7",
    "2 b unreliable both 100 1000 7 20000 3 4",
    "2 a unreliable both 100 1000",
  ]) {
    expect(() => parseLine(others, wrong, 2)).toThrow();
  }
});

test("two tables differ in their first line that does", () => {
  const text = (...names: string[]): string => tableText(fullTable(names.map((name) => line({ name }))));
  expect(firstDifference(text("a", "b"), text("a", "c"))).toBe(
    '"2 b sequenced both 16384 65536" here and "2 c sequenced both 16384 65536" at the server',
  );
  expect(firstDifference(text("a"), text("a", "c"))).toBe('"nothing" here and "2 c sequenced both 16384 65536" at the server');
  expect(firstDifference(text("a", "b"), text("a"))).toBe('"2 b sequenced both 16384 65536" here and "nothing" at the server');
  expect([hash(""), hash("a")]).toEqual(["cbf29ce484222325", "af63dc4c8601ec8c"]);
});

describe("schemas", () => {
  const world = "tick:uint32;boxes:list(100);boxes[].x:float32";
  const text = (schema: string): string => tableText(fullTable([{ name: "world", mode: "sequenced", schema }]));
  test.each([
    ["boxes[].x:uint16", "boxes[].x:float32", "world.boxes[].x: server float32, client uint16"],
    [world, world.replace("100", "50"), "world.boxes: server list(50), client list(100)"],
    [world, `${world};away:bool`, "world: server away:bool, client nothing"],
    [`${world};away:bool`, world, "world: server nothing, client away:bool"],
    [world, "time:uint32;boxes:list(100)", "world: server time:uint32, client tick:uint32"],
    ["", world, "world: server tick:uint32, client nothing"],
    [":json", world, "world: server tick:uint32, client :json"],
    [world, `${world};`, "world.boxes[].x: server float32;, client float32"],
    [`${world};`, world, "world.boxes[].x: server float32, client float32;"],
    ["tick:uint32;;", "tick:uint32;", "world.tick: server uint32;, client uint32"],
  ])("the first difference of %s and %s is named", (ours, theirs, words) => {
    expect(firstDifference(text(ours), text(theirs))).toBe(words);
  });

  test("the schema of requests differs", () => {
    const of = (schema: string): string => tableText(fullTable([], schema));
    expect(firstDifference(of("join.request:string(16)"), of("join.request:string(20)"))).toBe(
      "control.join.request: server string(20), client string(16)",
    );
    expect(firstDifference(of(""), of("join.request:string(20)"))).toBe(
      '"nothing" here and "0 control reliable-ordered both 65536 262144" at the server',
    );
  });

  test("a compressed channel in OPEN is read again", () => {
    const c = full({ name: "history", mode: "reliable-ordered", compress: true, priority: 2 });
    expect(openLine(c, 5)).toBe("5 history reliable-ordered both 262144 1048576 2 0 1 deflate");
    expect(parseLine([], openLine(c, 5), 5)).toEqual(c);
    expect(parseLine([], "5 history reliable-ordered both 262144 1048576 deflate", 5)).toEqual({ ...c, priority: 0 });
    expect(() => fullTable([{ name: "a", mode: "sequenced", compress: true }])).toThrow("compress needs a reliable channel");
  });
});
