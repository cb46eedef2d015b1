// What a session of the next page has of the one that was saved.
import { expect, test } from "vitest";
import { restoreSession, snapshotSession } from "../src/saved";
import { open } from "../src/session";
import { Pair } from "./pair";

const way = { delay: 10 };

test("the grace time is that of the server, and requests go on with the next number", () => {
  const before = new Pair().welcome(0x31).pass();
  before.s.call(before.w.now, "name", new Uint8Array()).promise.catch(() => {});
  const after = new Pair(way, way, false);
  restoreSession(after.s, 0, snapshotSession(before.s, 0)!, 0);
  after.s.interrupt(0);
  after.s.call(0, "name", new Uint8Array()).promise.catch(() => {});
  expect(after.s.lastID).toBe(2);
  after.s.advance(30_000);
  expect(after.s.phase).toBe(open);
  after.s.advance(30_001);
  expect(after.told.at(-1)).toEqual(["closed", 6, "silent for too long", false, 0, 0]);
});
