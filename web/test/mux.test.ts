// The engine against itself, in virtual time.
import { describe, expect, test } from "vitest";
import { SendError } from "../src/error";
import { type Mux } from "../src/mux";
import { maxPacket } from "../src/packet";
import { type Fate } from "../src/queue";
import { type Channel, type Mode } from "../src/table";
import { utf8 } from "./bytes";
import { Ledger } from "./ledger";
import { pair, random, type Way, World } from "./sim";

const modes: Mode[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
const table: Channel[] = modes.map((mode) => ({ name: mode, mode }));

/** Four channels in both directions with 30 messages a second, sometimes a large one; checks every promise. */
function ledger(seed: number, way: Way): { w: World; client: Mux; server: Mux; out: Ledger[]; back: Ledger[] } {
  const w = new World(seed);
  const draw = random(seed + 1);
  const out = modes.map((mode, i) => new Ledger(i + 1, mode));
  const back = modes.map((mode, i) => new Ledger(i + 1, mode));
  const take = (ls: Ledger[]) => (ch: number, b: Uint8Array) => ls[ch - 1]!.take(b);
  const [client, server] = pair(
    w,
    table,
    { ...way },
    { ...way },
    { message: take(back) },
    { message: take(out) },
    {
      ceiling: 1 << 20,
    },
  );
  w.every(1000 / 30, 300, () => {
    for (const [m, ls] of [
      [client, out],
      [server, back],
    ] as const) {
      for (const l of ls) m.send(w.now, l.channel, l.next(draw() < 0.03 ? 5000 : Math.floor(draw() * 300)));
    }
  });
  const done = (): boolean => w.now > 10_000 && client.outbox.settled() && server.outbox.settled();
  w.run(120_000, done);
  for (const l of [...out, ...back]) l.check();
  return { w, client, server, out, back };
}

test("the figures have the loss of both directions, and the size of packets", () => {
  const { client, server } = ledger(1, { delay: 50, loss: 0.3 });
  for (const { lossOut, lossIn, packetLimit } of [client.stats(), server.stats()]) {
    for (const share of [lossOut, lossIn]) {
      expect(share).toBeGreaterThan(0.1);
      expect(share).toBeLessThan(0.5);
    }
    expect(packetLimit).toBe(maxPacket);
  }
});

describe("every promise is kept", () => {
  const ways: [string, Way][] = [
    ["a perfect link", { delay: 20 }],
    ["5 % loss", { delay: 50, loss: 0.05 }],
    ["10 % loss in bursts, jitter", { delay: 50, loss: 0.1, burst: 5, jitter: 20 }],
    ["30 % loss", { delay: 50, loss: 0.3 }],
    ["50 % loss", { delay: 25, loss: 0.5 }],
    ["reordering", { delay: 30, reorder: 0.3, hold: 40 }],
    ["duplicates, reordering, loss, jitter", { delay: 30, loss: 0.2, duplicate: 0.1, reorder: 0.05, hold: 30, jitter: 80 }],
    ["a blackout of 1 s", { delay: 50, loss: 0.01, dark: [3000, 4000] }],
    ["a blackout of 6 s", { delay: 50, loss: 0.05, dark: [3000, 9000] }],
  ];
  test.each(ways)("over %s", (_, way) => {
    for (const seed of [1, 2, 3]) {
      const { out, back } = ledger(seed, way);
      const lost = way.loss ?? 0;
      if (way.dark) continue;
      // Small unreliable messages arrive as often as their packets.
      for (const l of [...out, ...back]) {
        if (l.mode === "unreliable") expect(l.came.length / l.sent).toBeGreaterThan(0.9 * (1 - lost) - 0.05);
      }
    }
  });
});

test("a message of many fragments arrives, and its receipt", () => {
  const w = new World(1);
  const big = new Uint8Array(200_000).map((_, i) => i * 7);
  const got: Uint8Array[] = [];
  const fates: Fate[] = [];
  const way = { delay: 20, loss: 0.1 };
  const [a] = pair(w, table, way, way, {}, { message: (_, b) => got.push(b) });
  a.send(w.now, 4, big, { receipt: (fate) => fates.push(fate) });
  w.run(10_000, () => fates.length > 0);
  expect(got.length).toBe(1);
  expect(Buffer.compare(got[0]!, big)).toBe(0);
  expect(fates).toEqual(["delivered"]);
  const { slab } = a.outbox as unknown as { slab: { b: Uint8Array } };
  expect(slab.b.length).toBeLessThanOrEqual(16 << 10); // a large message has its own array
});

test("a message with a key replaces the queued one, a deadline drops it, and receipts say so", () => {
  const w = new World(1);
  const got: string[] = [];
  const fates: Record<string, Fate> = {};
  const receipt = (name: string) => (fate: Fate) => void (fates[name] = fate);
  const [a] = pair(w, table, { delay: 5 }, { delay: 5 }, {}, { message: (_, b) => got.push(Buffer.from(b).toString()) });
  a.send(0, 4, utf8("old"), { key: "entity 7", receipt: receipt("first") });
  a.send(0, 4, utf8("other"));
  a.send(0, 4, utf8("new"), { key: "entity 7", receipt: receipt("second") });
  a.send(0, 1, utf8("late"), { deadline: 50, receipt: receipt("late") });
  w.now = 100;
  w.run(1000);
  expect(got).toEqual(["new", "other"]);
  expect(fates).toEqual({ first: "replaced", second: "delivered", late: "expired" });
});

test("a full reliable queue refuses, a full unreliable one drops the oldest", () => {
  const w = new World(1);
  const [a] = pair(w, table, { loss: 1 }, { loss: 1 }, {}, {});
  const refused = (): void => {
    for (let i = 0; i < 10_000; i++) a.send(0, 4, new Uint8Array(1000));
  };
  expect(refused).toThrow(SendError);
  for (let i = 0; i < 100; i++) a.send(0, 1, new Uint8Array(1000));
  expect(a.channelStats(1).dropped).toBe(100 - Math.floor((64 << 10) / 1032));
});

test("reliable channels go on over a new link", () => {
  const w = new World(1);
  const l = new Ledger(4, "reliable-ordered");
  const [a, b] = pair(w, table, { delay: 20, dark: [1000, 2000] }, { delay: 20 }, {}, { message: (_, m) => l.take(m) });
  w.every(10, 300, () => a.send(w.now, 4, l.next(100)));
  w.run(1900);
  expect(l.came.length).toBeLessThan(120);
  w.ends.length = 0; // the old link has ended, and the packets on it are lost
  const [from, to] = [a, b];
  w.join(from, to, { delay: 20 }, { delay: 20 });
  a.relink(w.now, 40);
  b.relink(w.now, 40);
  w.run(5000);
  expect(l.sent).toBe(300);
  l.check();
});

test("close reaches the other end, is acknowledged, and says why", () => {
  const w = new World(1);
  const why: [number, string][] = [];
  const way = { delay: 20, loss: 0.3 };
  const [a, b] = pair(w, table, way, way, {}, { closed: (code, reason) => why.push([code, reason]) });
  a.close(0, 300, "enough");
  w.run(2000);
  expect(why).toEqual([[300, "enough"]]);
  expect([a.closed(), b.closed()]).toEqual([true, true]);
  expect(() => a.send(w.now, 1, utf8("x"))).toThrow(SendError);
});

test("a close that was sent often enough is not sent on another link", () => {
  const w = new World(1);
  const [a] = pair(w, table, { loss: 1 }, {}, {}, {});
  a.close(0, 300, "enough");
  w.run(2000);
  expect(a.closed()).toBe(true);
  a.relink(w.now, 40);
  expect(a.deadline()).toBe(Infinity);
});

test("what a channel got beyond its guaranteed share is not taken off it later", () => {
  const w = new World(1);
  const shared: Channel[] = [
    { name: "greedy", mode: "reliable-ordered" },
    { name: "guaranteed", mode: "reliable-ordered", priority: 7, guarantee: 20_000 },
  ];
  const got = [0, 0, 0];
  const [a] = pair(
    w,
    shared,
    { delay: 5 },
    { delay: 5 },
    {},
    { message: (ch, b) => (got[ch]! += b.length) },
    {
      rate: 100_000,
      ceiling: 100_000,
    },
  );
  const fill = (...channels: number[]): void => {
    for (const ch of channels) while (a.outbox.senders[ch]!.cost < 40_000) a.send(w.now, ch, new Uint8Array(700));
  };
  w.every(5, 2000, () => fill(2));
  w.run(10_000);
  got.fill(0);
  w.every(5, 1000, () => fill(1, 2));
  w.run(5000);
  expect(got[2]).toBeGreaterThan(95_000);
  expect(got[2]).toBeLessThan(145_000); // including the messages that waited already
});

test("an idle link says little", () => {
  const w = new World(1);
  const [a, b] = pair(w, table, { delay: 20 }, { delay: 20 }, {}, {});
  w.run(60_000);
  for (const m of [a, b]) {
    expect(m.stats().packetsOut).toBeLessThan(60);
    expect(m.stats().bytesOut * 8).toBeLessThan(0.3 * 60 * 1000);
  }
});

test("after a blackout fresh messages come soon, and no old ones on unreliable channels", () => {
  const w = new World(1);
  const ages: [unreliable: number[], sequenced: number[]] = [[], []];
  let first = 0;
  const [a] = pair(
    w,
    table,
    { delay: 50, dark: [2000, 8000] },
    { delay: 50 },
    {},
    {
      message: (ch, b) => {
        if (w.now < 8000) return;
        first ||= w.now - 8000;
        ages[ch - 1]!.push(w.now - new DataView(b.buffer, b.byteOffset).getFloat64(0));
      },
    },
  );
  w.every(1000 / 60, 600, () => {
    const b = new Uint8Array(200);
    new DataView(b.buffer).setFloat64(0, w.now);
    a.send(w.now, 1, b);
    a.send(w.now, 2, b);
  });
  w.run(11_000);
  expect(first).toBeLessThanOrEqual(300);
  for (const a of ages) expect(a.length).toBeGreaterThan(60);
  expect(Math.max(...ages[0])).toBeLessThanOrEqual(250 + 50); // messages older than 250 ms are dropped; then the packet travels
  expect(Math.max(...ages[1])).toBeLessThan(250);
});

test("latency of a reliable ordered channel under loss: RTT 50 ms, 60 × 200 B a second", () => {
  for (const [loss, bar] of [
    [0, 30],
    [0.05, 60],
    [0.1, 90],
    [0.2, 150],
    [0.3, 250],
  ] as const) {
    const w = new World(7);
    const late: number[] = [];
    const way = { delay: 25, loss };
    const [a] = pair(
      w,
      table,
      way,
      way,
      {},
      {
        message: (_, b) => late.push(w.now - new DataView(b.buffer, b.byteOffset).getFloat64(0)),
      },
    );
    w.every(1000 / 60, 3600, () => {
      const b = new Uint8Array(200);
      new DataView(b.buffer).setFloat64(0, w.now);
      a.send(w.now, 4, b);
    });
    w.run(65_000);
    late.sort((x, y) => x - y);
    expect(late.length).toBe(3600);
    expect(late[Math.floor(0.99 * late.length)], `p99 at ${100 * loss} % loss`).toBeLessThanOrEqual(bar);
  }
});
