// The engine against the engine in Go over a link that neither loses nor reorders, such as a WebSocket.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mux } from "../src/mux";
import { compareAnswers, rtt, table, talk } from "./differential";
import { GoProcess } from "./gopeer";
import { type Engine, muxConfig, type Way, World } from "./sim";

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

/** A way that delivers everything in order, and holds it back for 300 ms once a second, as TCP does after a loss. */
const held = (delay: number): Way => ({ delay, pause: (t) => (t % 1000 < 300 ? 300 - (t % 1000) : 0) });

const ways: [string, Way][] = [
  ["a fast one", { delay: 10 }],
  ["a long one", { delay: 150 }],
  ["one that carries 40 KB/s", { delay: 50, narrow: () => 40_000 }],
  ["one with jitter", { delay: 30, jitter: 60 }],
  ["one that is held back", held(40)],
];

describe("every message arrives once, in order, and is sent once", () => {
  for (const server of [true, false]) {
    test.each(ways)(`Go is the ${server ? "server" : "client"}, over %s`, (_, way) => {
      const [ours, theirs] = talk(go, server, way, 150, true);
      const { retransmits, copies, drops, lossOut, lossIn } = ours.stats();
      expect([retransmits, copies, drops, lossOut, lossIn]).toEqual([0, 0, {}, 0, 0]);
      const { again, drops: dropped } = theirs.stats();
      expect([again, dropped]).toEqual([0, {}]);
    });
  }

  test.each([true, false])("a close is acknowledged and said once, Go closes: %s", (closes) => {
    const w = new World(7);
    const told: unknown[] = [];
    const closed = (code: number, text: string): void => void told.push([code, text]);
    const ours = new Mux(0, muxConfig(table), { message: () => {}, closed });
    const theirs = go.mux(table, true, { closed });
    ours.relink(0, rtt, true);
    theirs.relink(0, rtt, true);
    let carried = 0;
    const count = { delay: 20, pause: () => Number(!++carried) };
    w.join(ours, theirs, count, count);
    w.run(100);
    const before = carried;
    (closes ? theirs : ours).close(w.now, 300, "bye");
    w.run(30_000);
    expect([told, carried - before]).toEqual([[[300, "bye"]], 2]);
  });
});

// Each engine sends as much as it may, to an engine in TypeScript, over the same path. What has arrived by each moment
// must be the same to 1 %. On the long way the rate grows for 12 s, and one packet more at first becomes 6 %.
describe("the same path, as much in the same time", () => {
  test.each(ways)("over %s", (_, way) => {
    const [mine, theirs] = [false, true].map((inGo) => {
      const w = new World(3);
      const seen: number[] = [];
      const [quiet, config] = [{ message: () => {}, closed: () => {} }, { ceiling: 1 << 20 }];
      const from = inGo ? go.mux(table, false, {}) : new Mux(0, muxConfig(table, config), quiet);
      const to = new Mux(0, muxConfig(table, { ...config, mine: "to-client" }), quiet);
      from.relink(0, rtt, true);
      to.relink(0, rtt, true);
      w.join(from, to, way, { delay: way.delay! });
      w.every(5, 2400, () => {
        for (let i = 0; i < 6; i++) from.send(w.now, 1, new Uint8Array(900));
        seen.push(to.stats().bytesIn);
      });
      w.run(12_000);
      return seen;
    });
    const apart = mine!.map((n, i) => Math.abs(n - theirs![i]!) / Math.max(8192, n));
    expect(Math.max(...apart)).toBeLessThan(way.delay! > 100 ? 0.08 : 0.01);
    expect(mine!.at(-1)).toBeGreaterThan(200_000);
  });
});

// Both engines get the same datagrams at the same times, and have no messages to send.
describe("the same packets, the same verdict", () => {
  test.each(Array.from({ length: 40 }, (_, i) => i))("seed %i", (seed) =>
    compareAnswers(go, seed, true, (ours, theirs, t, i) => {
      // When the next acknowledgement is due. Later deadlines, of incomplete messages, may come too early.
      const due = (m: Engine): number => Math.min(m.deadline(), t + 500);
      expect(due(ours), `after packet ${i}`).toBeCloseTo(due(theirs), 3);
    }),
  );
});
