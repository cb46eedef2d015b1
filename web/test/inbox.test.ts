// Messages that nobody has taken yet.
import { expect, test } from "vitest";
import { Inbox } from "../src/inbox";

test.each([true, false])("what is beyond the limit is lost; the oldest first: %s", (dropOldest) => {
  const inbox = new Inbox(200, dropOldest);
  for (const n of [1, 2]) inbox.push(new Uint8Array(68).fill(n)); // each counts 100
  expect([inbox.lost, inbox.messages.length]).toEqual([0, 2]);
  inbox.push(new Uint8Array(0));
  expect([inbox.lost, inbox.messages.map((b) => b[0])]).toEqual([1, dropOldest ? [2, undefined] : [1, 2]]);
  expect(inbox.take()![0]).toBe(dropOldest ? 2 : 1);
  inbox.push(new Uint8Array(36).fill(3)); // 68
  expect([inbox.lost, inbox.messages.at(-1)![0]]).toEqual([1, 3]);
  while (inbox.take());
  expect([inbox.take(), inbox.messages]).toEqual([undefined, []]);
  inbox.push(new Uint8Array(168));
  expect([inbox.lost, inbox.messages.length]).toEqual([1, 1]);
});
