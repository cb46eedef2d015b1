// Messages that the program has not taken.
import { expect, test } from "vitest";
import { Inbox } from "../src/inbox";

test("messages are taken in the order in which they came, however many, and those that were take half the room at most", () => {
  const inbox = new Inbox(1 << 20, false);
  let [came, taken] = [0, 0];
  for (let round = 1; round < 50; round++) {
    for (let i = 0; i < 3 * round; i++) inbox.push(Uint8Array.of(came++));
    for (let i = 0; i < 2 * round; i++) expect(inbox.take()).toEqual(Uint8Array.of(taken++));
    expect(inbox.untaken.length - inbox.first).toBe(came - taken);
    expect(inbox.untaken.length).toBeLessThanOrEqual(2 * (came - taken));
  }
  while (taken < came) expect(inbox.take()).toEqual(Uint8Array.of(taken++));
  expect([inbox.take(), inbox.untaken, inbox.first]).toEqual([undefined, [], 0]);
});

test.each([true, false])("what is beyond the limit is lost; the oldest first: %s", (dropOldest) => {
  const inbox = new Inbox(200, dropOldest);
  for (const n of [1, 2]) inbox.push(new Uint8Array(68).fill(n)); // each counts as 100 bytes
  expect([inbox.lost, inbox.untaken.length]).toEqual([0, 2]);
  inbox.push(new Uint8Array(0));
  expect([inbox.lost, inbox.untaken.slice(inbox.first).map((b) => b[0])]).toEqual([1, dropOldest ? [2, undefined] : [1, 2]]);
  expect(inbox.take()![0]).toBe(dropOldest ? 2 : 1);
  inbox.push(new Uint8Array(36).fill(3)); // 68
  expect([inbox.lost, inbox.untaken.at(-1)![0]]).toEqual([1, 3]);
  while (inbox.take());
  expect([inbox.take(), inbox.untaken]).toEqual([undefined, []]);
  inbox.push(new Uint8Array(168));
  expect([inbox.lost, inbox.untaken.length]).toEqual([1, 1]);
});
