// Paths that do not carry large packets.
import { expect, test } from "vitest";
import { maxPacket } from "../src/packet";
import { type Channel } from "../src/table";
import { Ledger } from "./ledger";
import { pair, type Way, World } from "./sim";

const table: Channel[] = [
  { name: "loose", mode: "unreliable" },
  { name: "chat", mode: "reliable-ordered" },
];

/** Sends small messages in both directions, enough to fill packets, for some seconds; checks every promise. */
function talk(
  way: Way,
  seconds: number,
  channels = [1, 2],
  during: (w: World, ends: ReturnType<typeof pair>) => void = () => {},
): ReturnType<typeof pair> {
  const w = new World(1);
  const ledgers = [0, 1].map(() => [new Ledger(1, "unreliable"), new Ledger(2, "reliable-ordered")]);
  const take = (i: number) => (ch: number, b: Uint8Array) => ledgers[i]![ch - 1]!.take(b);
  const ends = pair(w, table, way, way, { message: take(1) }, { message: take(0) });
  during(w, ends);
  w.every(50, seconds * 20, (k) => {
    ends.forEach((e, i) => {
      for (const l of ledgers[i]!)
        for (let n = 0; n < 12 * channels.filter((c) => c === l.channel).length; n++)
          e.send(w.now, l.channel, l.next(k % 20 === 0 && n === 0 ? 3000 : 50));
    });
  });
  w.run(seconds * 1000 + 20_000, () => w.now > seconds * 1000 && ends.every((e) => e.outbox.settled()));
  for (const l of ledgers.flat()) l.check();
  return ends;
}

test("packets get smaller where large ones do not arrive", () => {
  for (const mtu of [1060, 1090, 1105]) {
    for (const e of talk({ delay: 25, mtu }, 10)) expect(e.stats().packetLimit, `${mtu}`).toBe(1060);
  }
});

test("packets get smaller and large again", () => {
  const way: Way = { delay: 25 };
  talk(way, 80, [1, 1], (w, ends) => {
    const limits = (at: number, want: number): void =>
      w.after(at, () =>
        expect(
          ends.map((e) => e.stats().packetLimit),
          `${at} ms`,
        ).toEqual([want, want]),
      );
    w.after(2000, () => (way.mtu = 1080));
    limits(1999, maxPacket);
    limits(7000, 1060);
    w.after(7500, () => (way.mtu = maxPacket));
    limits(30_000, 1060);
    limits(75_000, maxPacket);
  });
});

test("loss that does not look at the size leaves packets as they are", () => {
  for (const way of [{ loss: 0.3 }, { loss: 0.3, burst: 5 }]) {
    for (const e of talk({ delay: 25, ...way }, 20)) {
      expect(e.stats().packetLimit).toBe(maxPacket);
      expect(e.loss.stuck).toBeFalsy();
    }
  }
});

test("where no fragment arrives the link is stuck", () => {
  for (const [size, mtu] of [
    [1000, 900],
    [100_000, 900],
    [100_000, 1060],
  ] as const) {
    const w = new World(1);
    const way = { delay: 25, mtu };
    const [a] = pair(w, table, way, way, {}, {});
    a.send(0, 2, new Uint8Array(size));
    w.run(3000);
    expect(a.loss.stuck, "not at once").toBe(false);
    w.run(40_000, () => a.loss.stuck);
    expect(a.loss.stuck).toBe(mtu < 1060);
  }
});
