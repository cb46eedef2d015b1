// The engine against the engine in Go: over a bad link in both directions, and with the same datagrams.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mux } from "../src/mux";
import { maxPacket } from "../src/packet";
import { type Channel, type Mode } from "../src/table";
import { hex } from "./bytes";
import { GoProcess } from "./gopeer";
import { Ledger } from "./ledger";
import { muxConfig, random, type Way, World } from "./sim";
import { mutate, packets } from "./strange";

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

const modes: Mode[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
const table: Channel[] = modes.map((mode) => ({ name: mode, mode }));

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
      const w = new World(5);
      const draw = random(6);
      const out = modes.map((mode, i) => new Ledger(i + 1, mode));
      const back = modes.map((mode, i) => new Ledger(i + 1, mode));
      const ours = new Mux(0, muxConfig(table, { mine: server ? "to-server" : "to-client", ceiling: 1 << 20 }), {
        message: (ch, b) => back[ch - 1]!.take(b),
        closed: () => {},
      });
      const theirs = go.mux(table, server, { message: (ch, b) => out[ch - 1]!.take(b) });
      w.join(ours, theirs, { ...way }, { ...way });
      const size = (): number => (draw() < 0.03 ? 5000 : Math.floor(draw() * 300));
      w.every(1000 / 30, 180, () => {
        for (const l of out) ours.send(w.now, l.channel, l.next(size()));
        for (const l of back) expect(theirs.send(w.now, l.channel, l.next(size()))).toBe(true);
      });
      w.run(60_000, () => w.now > 6000 && ours.outbox.settled() && out.every(whole) && back.every(whole));
      for (const l of [...out, ...back]) l.check();
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

const whole = (l: Ledger): boolean => !l.mode.startsWith("reliable") || l.came.length === l.sent;

// Both engines get the same datagrams at the same times, and have no messages to send: every event, every counter and
// every packet of their answers must be the same.
describe("the same packets, the same verdict", () => {
  const seeds = packets();
  test.each(Array.from({ length: 40 }, (_, i) => i))("seed %i", (seed) => {
    const draw = random(seed);
    const heard: [string[], string[]] = [[], []];
    const log = (to: string[]) => ({
      message: (ch: number, b: Uint8Array) => void to.push(`${ch} ${hex(b)}`),
      closed: (code: number, text: string) => void to.push(`closed ${code} ${text}`),
    });
    const ours = new Mux(0, muxConfig(table, { mine: "to-client", keepAlive: 4000, ceiling: 1 << 20 }), log(heard[0]));
    const theirs = go.mux(table, true, log(heard[1]));
    const packet = new Uint8Array(maxPacket);
    for (let t = 1, i = 0; i < 150; i++, t += Math.floor(draw() * 15)) {
      const b = mutate(seeds, draw);
      for (const m of [ours, theirs]) {
        m.advance(t);
        m.receive(t, b.slice());
      }
      for (let n = 1; n > 0; ) {
        n = ours.append(t, packet);
        const mine = hex(packet.subarray(0, n));
        const m = theirs.append(t, packet, maxPacket);
        expect(mine, `packet ${i}, after ${hex(b)}`).toBe(hex(packet.subarray(0, m)));
      }
      expect(heard[0], `packet ${i}: ${hex(b)}`).toEqual(heard[1]);
    }
    const { drops, packetsIn, held } = theirs.stats();
    const s = ours.stats();
    expect({ drops: s.drops, packetsIn: s.packetsIn, held: s.held }).toEqual({ drops, packetsIn, held });
  });
});
