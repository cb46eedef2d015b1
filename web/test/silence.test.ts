// The engine on links that become silent, and in pages that sleep.
import { expect, test } from "vitest";
import { type Channel } from "../src/table";
import { pair, World } from "./sim";

const table: Channel[] = [
  { name: "effects", mode: "unreliable" },
  { name: "positions", mode: "sequenced" },
  { name: "loot", mode: "reliable-unordered" },
  { name: "chat", mode: "reliable-ordered" },
];

test("a link that keeps packets back gets no unreliable message while nobody answers", () => {
  const w = new World(1);
  const [a, b] = pair(w, table, { delay: 50, dark: [2000, 8000] }, { delay: 50 }, {}, {});
  a.slow = true;
  w.every(1000 / 60, 600, () => {
    for (const ch of [1, 2, 4]) a.send(w.now, ch, new Uint8Array(100));
  });
  const sent = (): number[] => [a.channelStats(1).messagesOut, a.channelStats(2).messagesOut];
  w.run(4000);
  const before = [...sent(), a.stats().packetsOut];
  w.run(4000);
  expect(sent()).toEqual(before.slice(0, 2));
  expect(a.stats().packetsOut, "probes").toBeGreaterThan(before[2]! + 10);
  w.run(3000);
  expect(b.channelStats(1).messagesIn).toBeGreaterThan(180);
  expect(b.channelStats(2).messagesIn).toBeGreaterThan(180);
});

test("after a sleep unreliable messages count only when the peer has answered, and round trips too", () => {
  const w = new World(1);
  const old: number[] = [];
  const heard: Record<number, number> = {};
  const [a, b] = pair(
    w,
    table,
    { delay: 50 },
    { delay: 50 },
    {
      message: (ch, m) => {
        if (w.now > 2000) heard[ch] ??= w.now;
        if (ch !== 4 && w.now > 2000 && new DataView(m.buffer, m.byteOffset).getFloat64(0) < 2000) old.push(ch);
      },
    },
    {},
  );
  for (const from of [a, b]) {
    w.every(1000 / 60, 300, () => {
      const m = new Uint8Array(100);
      new DataView(m.buffer).setFloat64(0, w.now);
      for (const ch of [1, 2, 4]) from.send(w.now, ch, m);
    });
  }
  w.run(2000);
  a.slept(w.now); // packets in flight may be of any age now
  expect(a.answered(w.now)).toBe(false);
  w.run(1000);
  expect(a.answered(2000)).toBe(true);
  expect(old, "what was sent before").toEqual([]);
  expect(heard[4]).toBeLessThan(2050); // reliable ones are never too old
  expect(heard[1]).toBeGreaterThanOrEqual(2100);
  expect(a.channelStats(1).stale).toBeGreaterThan(0);
  expect(a.stats().rtt).toBeLessThan(130);
});
