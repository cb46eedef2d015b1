// The engine against the engine in Go: over a bad link in both directions, and with the same datagrams.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mux } from "../src/mux";
import { compareAnswers, table, talk } from "./differential";
import { GoProcess } from "./gopeer";
import { muxConfig, type Way, World } from "./sim";

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

describe("every promise is kept between the two", () => {
  const ways: [string, Way][] = [
    ["a perfect link", { delay: 20 }],
    ["10 % loss, jitter, duplicates", { delay: 50, loss: 0.1, jitter: 20, duplicate: 0.05 }],
    ["30 % loss in bursts, reordering", { delay: 30, loss: 0.3, burst: 5, reorder: 0.1, hold: 40 }],
    ["a blackout of 3 s", { delay: 50, loss: 0.05, dark: [2000, 5000] }],
    ["a path that takes no packets above 1060 bytes", { delay: 20, loss: 0.01, mtu: 1060 }],
  ];
  for (const server of [true, false]) {
    test.each(ways)(`Go is the ${server ? "server" : "client"}, over %s`, (_, way) => {
      const [ours, theirs] = talk(go, server, way, 180, false);
      expect(ours.stats().drops.malformed ?? 0).toBe(0);
      expect(theirs.stats().drops.malformed ?? 0).toBe(0);
    });
  }
});

// Each engine sends as much as it may to an engine in TypeScript over the same path. The results must be the same.
describe("the same path, the same rate", () => {
  const paths: [string, Way][] = [
    ["a link that carries 100 KB/s", { narrow: () => 100_000 }],
    ["one that loses 20 %", { loss: 0.2 }],
    ["jitter", { jitter: 60 }],
    ["one that becomes ten times narrower", { narrow: (t) => (t < 4000 ? 300_000 : 30_000) }],
    ["one that becomes wider", { narrow: (t) => (t < 4000 ? 30_000 : 300_000) }],
  ];
  test.each(paths)("over %s", (_, way) => {
    const rates = [false, true].map((inGo) => {
      const w = new World(3);
      const seen: number[] = [];
      const [quiet, config] = [{ message: () => {}, closed: () => {} }, { ceiling: 1 << 20 }];
      const from = inGo ? go.mux(table, false, {}) : new Mux(0, muxConfig(table, config), quiet);
      w.join(from, new Mux(0, muxConfig(table, { ...config, mine: "to-client" }), quiet), { delay: 25, ...way }, { delay: 25 });
      w.every(5, 2000, () => {
        for (let i = 0; i < 6; i++) from.send(w.now, 1, new Uint8Array(900));
        seen.push(from.stats().rate);
      });
      w.run(10_000);
      return seen;
    });
    const apart = rates[0]!.map((r, i) => Math.abs(r / rates[1]![i]! - 1));
    expect(Math.max(...apart)).toBeLessThan(0.01);
  });
});

// Both engines get the same datagrams at the same times, and have no messages to send: every event, every counter and
// every packet of their answers must be the same.
describe("the same packets, the same verdict", () => {
  test.each(Array.from({ length: 40 }, (_, i) => i))("seed %i", (seed) => compareAnswers(go, seed, false));
});
