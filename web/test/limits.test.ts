// Limits, and what happens at them.
import { expect, test } from "vitest";
import { type Channel } from "../src/table";
import { pair, World } from "./sim";

test("a full unreliable queue keeps the newest messages and drops the oldest", () => {
  const w = new World(1);
  const got: number[] = [];
  const [a] = pair(
    w,
    [{ name: "x", mode: "unreliable" }],
    { delay: 5 },
    { delay: 5 },
    {},
    {
      message: (_, b) => got.push(b[0]!),
    },
  );
  for (let i = 0; i < 100; i++) a.send(0, 1, new Uint8Array(1000).fill(i));
  const kept = Math.floor((64 << 10) / 1032);
  expect(a.channelStats(1).dropped).toBe(100 - kept);
  w.run(5000);
  expect(got).toEqual(Array.from({ length: kept }, (_, i) => 100 - kept + i));
});

test("the rate grows to the ceiling and not beyond", () => {
  for (const ceiling of [20_000, 60_000]) {
    const w = new World(1);
    const file: Channel[] = [{ name: "file", mode: "reliable-ordered" }];
    const [a] = pair(w, file, { delay: 20 }, { delay: 20 }, {}, {}, { rate: 16_000, ceiling });
    w.every(5, 2000, () => {
      while (a.outbox.senders[1]!.cost < 40_000) a.send(w.now, 1, new Uint8Array(1000));
    });
    w.run(5000);
    const before = a.stats().bytesOut;
    w.run(5000);
    const rate = (a.stats().bytesOut - before) / 5;
    expect(rate).toBeLessThan(1.02 * ceiling);
    expect(rate).toBeGreaterThan(0.8 * ceiling);
  }
});
