// The figures of congestion control, round by round, as in channel/rounds_test.go and channel/pacer_test.go.
import { describe, expect, test } from "vitest";
import { type Congestion, congestion } from "../src/congestion";
import { maxPacket } from "../src/packet";

const floor = 10_000;
const ceiling = 1_000_000;
const R = 100 * maxPacket; // bytes per second: a packet takes 10 ms, and 70 ms are allowed where the path has 50

interface Round {
  arrives?: number; // bytes per second
  rtt?: number | number[];
  ms?: number;
  limited?: boolean;
  sent?: number; // bytes
  loss?: number;
  old?: boolean; // no packet of the round itself is acknowledged
}

/** Rounds of congestion control at the rate R, on a path of 50 ms; at the start, or after it. */
class Rounds {
  readonly c: Congestion;
  t = 1000;
  drainUntil = 0; // as the test calculates it
  private n = 0;

  constructor(start = false, rate = R, most = ceiling) {
    this.c = congestion(0, start ? rate : most, floor, most);
    for (let i = 0; i < 3; i++) this.c.sample(this.t, 50);
    this.c.acked(this.t, 0, ++this.n, 0, 0);
    if (!start) this.round({ arrives: rate }); // at the ceiling the start is over
    expect(this.c.rate()).toBe(rate);
  }

  /** Runs one round and returns the rate after it. As much arrives as is sent, unless r says otherwise. */
  round({
    arrives = this.c.rate(),
    rtt = 50,
    ms = 100,
    limited = true,
    sent = (this.c.rate() * ms) / 1000,
    loss = 0,
    old = false,
  }: Round = {}): number {
    for (const d of typeof rtt === "number" ? Array<number>(40).fill(rtt) : rtt) this.c.sample(this.t, d);
    if (limited) this.c.limit();
    this.c.sent(sent);
    this.t += ms;
    this.c.acked(this.t, old ? this.n - 1 : this.n, ++this.n, (arrives * ms) / 1000, loss);
    if (old) this.n--;
    return this.c.rate();
  }

  /** Runs rounds in which no packet waits, until the rate has changed; returns their number and the rate. */
  drained(more: Round = {}): [rounds: number, rate: number] {
    const before = this.c.rate();
    for (let i = 1; i < 20; i++) if (this.round({ limited: false, arrives: 1000, ...more }) !== before) return [i, this.c.rate()];
    return [Infinity, before];
  }

  /** Returns the rate at which packets leave now. */
  pace(): number {
    this.c.sent(10_000);
    const at = this.c.ready();
    this.c.sent(1000);
    return 1e6 / (this.c.ready() - at);
  }
}

const grown = (rate: number, step = 0.02): number => rate * (1 + step) + Math.min(600, rate / 50);

describe("the rate", () => {
  test("is kept between floor and ceiling", () => {
    expect(congestion(0, 5, 10, 100).rate()).toBe(10);
    expect(congestion(0, 500, 10, 100).rate()).toBe(100);
    expect(congestion(0, 50, 10, 100).rate()).toBe(50);
  });

  test.each<[string, Round, number, resume?: [number, number]]>([
    ["it was used up", {}, grown(R)],
    ["it was not used up", { limited: false }, R],
    ["packets wait", { rtt: 80, arrives: 80_000 }, 0.7 * R, [3, 0.9 * R]], // the bytes of the round before have arrived: jitter moves them
    ["packets wait, and it was not used up", { rtt: 80, arrives: 80_000, limited: false }, R],
    ["packets wait as long as allowed", { rtt: 70 }, grown(R)],
    ["packets wait 40 ms too long", { rtt: 110, arrives: 80_000 }, 0.7 * R, [4, 0.9 * R]],
    ["packets wait for longer", { rtt: 111, arrives: 80_000 }, 32_000, [4, 56_000]],
    ["packets wait for long, and a fifth is lost", { rtt: 150, arrives: 80_000, loss: 0.2 }, 40_000, [4, 70_000]],
    ["packets wait for long, and most are lost", { rtt: 150, arrives: 50_000, loss: 0.9 }, 40_000, [4, 70_000]],
    ["more arrives than is sent", { rtt: 150, arrives: 300_000 }, 0.4 * R, [4, 0.7 * R]],
    [
      "packets wait very long on a link that is narrower than what is sent",
      { rtt: 300, arrives: 80_000, limited: false },
      32_000,
      [7, 56_000],
    ],
  ])("of a round in which %s", (_, round, rate, resume) => {
    const r = new Rounds();
    expect(r.round(round)).toBeCloseTo(rate, 6);
    if (!resume) return;
    const [n, next] = r.drained();
    expect([n, Math.round(next)]).toEqual([resume[0], Math.round(resume[1])]);
  });

  test("of a round in which hardly anything arrives is the floor", () => {
    const r = new Rounds();
    expect([r.round({ rtt: 150, arrives: 100 }), r.drained()[1]]).toEqual([floor, floor]);
  });

  test("that was not used up fills a queue only where the link is narrower than that", () => {
    // Allowed are 70 ms, half of the path and 40 ms more: 135.
    expect(new Rounds().round({ rtt: 135, limited: false })).toBe(R);
    expect(new Rounds().round({ rtt: 136, limited: false })).toBeCloseTo(0.7 * R);
    expect(new Rounds().round({ rtt: [135, 300, 300, 300], limited: false }), "one came through at once").toBe(R);
  });

  test("grows by 2 % a round and a little, and by up to 8 % when no queue has come of it for long", () => {
    const r = new Rounds();
    let rate = R;
    for (let i = 1; i <= 25; i++) {
      rate = grown(rate, 0.02 + 0.01 * Math.min(Math.max(0, i - 15), 6));
      expect(r.round()).toBeCloseTo(rate, 3);
    }
    expect(r.round({ rtt: 300, arrives: R })).toBeCloseTo(0.4 * R);
    r.drained();
    rate = r.c.rate();
    expect(r.round(), "and the steps are small again").toBeCloseTo(grown(rate), 3);
    expect(new Rounds(false, 20_000).round()).toBeCloseTo(20_000 * 1.04);
  });
});

describe("the start", () => {
  test("doubles the rate, to three times of what arrives, in rounds that use it up", () => {
    const r = new Rounds(true);
    expect(r.round({ limited: false })).toBe(R);
    expect(r.round()).toBe(2 * R);
    expect(r.round({ arrives: 1.5 * R })).toBe(4 * R);
    const s = new Rounds(true);
    expect(s.round({ arrives: 60_000 })).toBe(180_000);
    expect(s.round({ arrives: 20_000 }), "it does not fall: 60,000 have arrived before").toBe(180_000);
    expect(new Rounds(true, 900_000).round(), "to the ceiling").toBe(ceiling);
  });

  test("ends when doubling has not helped for three rounds", () => {
    const r = new Rounds(true);
    r.round({ arrives: 80_000 });
    r.round({ arrives: 99_999 }); // less than a quarter more
    expect(r.round({ arrives: 99_999 })).toBeCloseTo(299_997); // three times as much
    expect(r.round({ arrives: 99_999 })).toBeCloseTo(99_999);
    expect(r.round({ arrives: 99_999 })).toBeCloseTo(grown(99_999));

    const s = new Rounds(true);
    s.round({ arrives: 80_000 });
    s.round({ arrives: 80_000 });
    s.round({ arrives: 80_000 });
    expect(s.round({ arrives: 100_000 }), "a quarter more").toBe(300_000);
    s.round({ arrives: 100_000 });
    expect(s.round({ arrives: 100_000 })).toBe(300_000);
    expect(s.round({ arrives: 100_000 })).toBe(100_000);
  });

  test("ends when packets wait longer than allowed, and half of what arrives empties the queue", () => {
    expect(new Rounds(true).round({ rtt: 70 })).toBe(2 * R);
    const r = new Rounds(true);
    expect(r.round({ rtt: 80, arrives: 80_000 })).toBe(40_000);
    const [n, next] = r.drained();
    expect([n, Math.round(next)]).toEqual([3, 68_000]);
    expect(r.round()).toBeCloseTo(grown(68_000));
  });
});

describe("a round", () => {
  const waits: Round = { rtt: 80, arrives: R };
  test.each<[string, Round, boolean]>([
    ["a packet of it is acknowledged after 50 ms", { ms: 50 }, true],
    ["it is acknowledged sooner", { ms: 49 }, false],
    ["one of the round before is", { ms: 100, old: true }, false],
    ["packets wait, after more than 25 ms", { ...waits, ms: 26, old: true }, true],
    ["packets wait, after 25 ms", { ...waits, ms: 25, old: true }, false],
    ["packets wait as long as is allowed", { ...waits, rtt: 70, ms: 40, old: true }, false],
    ["packets wait though the rate is not used up", { ...waits, rtt: 500, ms: 40, old: true, limited: false }, false],
  ])("ends or goes on when %s", (_, round, ends) => {
    expect(new Rounds().round(round) !== R).toBe(ends);
  });

  test("has used the rate up if more than 70 % of it was sent", () => {
    const sent = (0.7 * R * 100) / 1000;
    expect(new Rounds().round({ sent })).toBe(R);
    expect(new Rounds().round({ sent: sent + 1 })).toBeGreaterThan(R);
  });

  test("counts from its own beginning", () => {
    const r = new Rounds();
    r.round({ limited: false, sent: 1e6 });
    expect(r.round({ sent: 1000 }), "what was sent before").toBe(R);
    r.round({ limited: true, sent: 0 });
    expect(r.round({ limited: false }), "whether more could have been sent before").toBe(R);
    r.round({ rtt: 300, limited: false, sent: 0, ms: 10, old: true });
    r.round({ limited: false });
    expect(r.round(), "how long packets waited before").toBeCloseTo(grown(R));
  });

  test("compares with the most that arrived in one of the last ten that used the rate up, or in which more did", () => {
    const low = { arrives: 80_000 };
    const idle = { limited: false, arrives: R };
    /**
     * Returns the highest delivery rate, in thousands, before a round in which packets wait and hardly anything
     * arrives.
     */
    const most = (...rounds: Round[]): number => {
      const r = new Rounds();
      for (const round of rounds) r.round(round);
      return Math.round(r.round({ rtt: 85, arrives: 1000 }) / 700);
    };
    expect(most()).toBe(R / 1000);
    expect(most(...Array<Round>(9).fill(low))).toBe(R / 1000);
    expect(most(...Array<Round>(10).fill(low))).toBe(80);
    expect(most(...Array<Round>(12).fill({ ...low, ...idle }))).toBe(R / 1000);
    const five = Array<Round>(5).fill(low);
    expect(most(...five, idle, ...five), "as much in a round that did not use it up").toBe(80);
    expect(most(...five, { ...idle, arrives: R + 100 }, ...five), "more").toBe(R / 1000);
  });
});

describe("what may leave", () => {
  test("fills the path twice, and 30 ms, and a few packets; more where half of the answers are lost", () => {
    const { c } = new Rounds();
    for (const [loss, packets] of [
      [0, 3],
      [0.3, 3],
      [0.4, 11],
      [0.5, 19],
      [0.9, 19],
    ] as const) {
      expect(c.window(80, loss)).toBeCloseTo(R * 0.13 + packets * maxPacket);
    }
    expect(congestion(0, R, floor, ceiling).window(80, 0), "before the first round trip").toBeCloseTo(R * 0.19 + 3 * maxPacket);
  });

  test("has tokens, which come at the rate, to one packet or what a millisecond carries", () => {
    const c = congestion(5, 100_000, floor, ceiling);
    expect([c.mayLeave(5), c.ready()]).toEqual([true, 5]);
    c.sent(maxPacket);
    expect([c.mayLeave(5), c.ready()], "none is left").toEqual([false, 5 + 0.01]);
    c.sent(1000);
    expect([c.mayLeave(15), c.ready()]).toEqual([false, 15.01]);
    expect([c.mayLeave(16), c.ready()]).toEqual([true, 16]);
    c.mayLeave(5000);
    c.sent(maxPacket);
    expect([c.mayLeave(5000), c.ready()], "one byte more than a packet").toEqual([true, 5000]);
    c.sent(1);
    expect(c.mayLeave(5000)).toBe(false);
    const wide = congestion(0, 5_000_000, floor, 5_000_000);
    wide.mayLeave(1000);
    wide.sent(4999);
    expect(wide.mayLeave(1000)).toBe(true);
    wide.sent(1);
    expect(wide.mayLeave(1000)).toBe(false);
  });

  test("has bytes for copies: 85 % of the rate, of two packets at most and at least", () => {
    const c = congestion(0, 10_000, 5000, ceiling);
    expect(c.spare()).toBe(maxPacket);
    c.sent(maxPacket);
    c.mayLeave(100);
    expect(c.spare()).toBeCloseTo(850);
    c.sent(250);
    expect(c.spare()).toBeCloseTo(600);
    c.mayLeave(10_000);
    expect(c.spare()).toBe(2 * maxPacket);
    for (let i = 0; i < 10; i++) c.sent(1000);
    expect(c.spare()).toBe(0);
    c.mayLeave(10_000 + (2 * maxPacket * 1000) / 8500);
    expect(c.spare()).toBeCloseTo(0);
    c.mayLeave(10_000 + (3 * maxPacket * 1000) / 8500);
    expect(c.spare()).toBeCloseTo(maxPacket);
  });
});

test("a queue that got much longer while it was drained ends the round without a packet of its own", () => {
  const late = (rtt: number, rate = R): [number, number] => {
    const r = new Rounds(false, rate);
    r.round({ rtt: 100, arrives: rate }); // packets wait 50 ms; 0.7 is sent for 50 + 50 + 50 / 0.3 ms
    const before = r.c.rate();
    let ms = 0;
    while (r.c.rate() === before && ms < 1000) {
      r.round({ rtt, ms: 30, old: true });
      ms += 30;
    }
    return [ms, Math.round((1000 * r.c.rate()) / rate)];
  };
  expect(late(50 + 2 * 50 + 160 + 1)).toEqual([300, 900]); // the first round to begin after 266 ms
  expect(late(50 + 2 * 50 + 160)[0], "not so much longer").toBe(1020);
  expect(late(1000, 8 * floor)[0], "near the floor").toBe(1020);
  expect(late(1000, 8 * floor + 1)[0]).toBe(300);
});

describe("packets that wait as before when the queue is drained", () => {
  const fast = 1000 * maxPacket; // a packet takes 1 ms, and jitter of less than 2 ms is that of our packets
  const bounce = [114, 50, 114, 114, 114]; // packets wait 64 ms, and the jitter is 9.9 ms

  /** A round in which packets waited, and the rounds that drain the queue: the last of them has these round trips. */
  function after(r: Rounds, waits: number[], then: number[]): number {
    const before = r.c.rate();
    const drained = r.round({ rtt: waits, arrives: before });
    expect(drained).toBeLessThan(before);
    for (let i = 0; i < 10; i++) {
      if (r.round({ rtt: [], arrives: 1 }) !== drained) break;
      // The rate continues after the first round that began late enough, which is the next one.
      if (r.t >= r.drainUntil) return r.round({ rtt: then, arrives: 1 }) / before;
    }
    throw new Error("it was drained too soon");
  }

  const wide = (start = false): Rounds => new Rounds(start, fast, 10 * fast);
  const draining = (waits: number[], then: number[]): number => {
    const r = wide();
    r.drainUntil = r.t + 100 + 50 + 50 + (Math.max(...waits) - 50) / (Math.max(...waits) > 114 ? 0.6 : 0.3);
    return after(r, waits, then);
  };

  test("half to twice as long were none: the rate goes on as it was", () => {
    expect(draining(bounce, [50, 50, 50])).toBeCloseTo(0.9);
    expect(draining(bounce, [114, 114, 114])).toBe(1);
    expect(draining(bounce, [82, 82, 82]), "half").toBe(1);
    expect(draining(bounce, [81, 81, 81])).toBeCloseTo(0.9);
    expect(draining(bounce, [178, 178, 178]), "twice").toBe(1);
    expect(draining(bounce, [179, 179, 179])).toBeCloseTo(0.9);
  });

  /** Returns the last three round trips; with the last one the jitter is exactly this. */
  const until = (waits: number, jitter: number): number[] => {
    let j = (waits - 50) / 16;
    for (let i = 0; i < 4; i++) j -= j / 16; // two more of the same, and the first two of these
    return [waits, waits, waits + 16 * jitter - 15 * j];
  };

  test("are a queue unless jitter explains them: a tenth of the wait", () => {
    expect(draining([130, 130, 130], until(130, 8))).toBe(1);
    expect(draining([130, 130, 130], until(130, 7.999))).toBeCloseTo(0.7);
  });

  test("are a queue if the jitter is that of our own packets: twice what one takes", () => {
    expect(draining([70, 70, 70], until(70, 2))).toBe(1);
    expect(draining([70, 70, 70], until(70, 1.9999))).toBeCloseTo(0.9);
  });

  test("are a queue at the start, which doubles too often", () => {
    const r = wide(true);
    r.drainUntil = r.t + 100 + 50 + 50 + 64 / 0.5;
    expect(after(r, bounce, [114, 114, 114])).toBeCloseTo(0.85);
  });

  /** Returns the wait that is allowed as chance after this. */
  function learned(): Rounds {
    const r = wide();
    r.drainUntil = r.t + 100 + 50 + 50 + 64 / 0.3;
    expect(after(r, bounce, [114, 114, 114])).toBe(1);
    return r;
  }

  test("are allowed for from then on", () => {
    const r = learned();
    expect(r.round({ rtt: [114, 114, 114] })).toBeCloseTo(grown(fast));
    expect(wide().round({ rtt: bounce })).toBeLessThan(fast);
  });

  test("are allowed for less and less while the rate grows", () => {
    const r = learned();
    let rate = fast;
    for (let i = 0; i < 40; i++) rate = r.round({ rtt: [] });
    expect(rate).toBeGreaterThan(2 * fast);
    expect(r.round({ rtt: [114, 114, 114] })).toBeLessThan(rate);
  });

  test("are allowed for half as much when there was a queue after all", () => {
    const r = learned();
    r.round({ rtt: [180, 180, 180, 180], arrives: fast });
    expect(r.c.rate()).toBeLessThan(fast);
    let n = 0;
    for (const low = r.c.rate(); r.c.rate() === low && n < 20; n++) r.round({ rtt: [50, 50, 50], arrives: 1 });
    const rate = r.c.rate();
    expect([n < 10, rate < fast]).toEqual([true, true]);
    expect(r.round({ rtt: [114, 114, 114] })).toBeLessThan(rate);
  });
});

describe("the shortest round trip", () => {
  test("is looked for again after ten seconds, for 200 ms or two round trips, at half of the rate", () => {
    const r = new Rounds();
    while (r.t < 11_000) r.round({ rtt: 51, limited: false });
    expect(r.t).toBe(11_000);
    expect(r.pace()).toBeCloseTo(R);
    r.round({ rtt: 51, arrives: 1000 }); // the rate was used up
    expect([r.pace(), r.c.rate()]).toEqual([expect.closeTo(R / 2), R]);
    r.round({ rtt: 60, limited: false, ms: 199 });
    expect(r.pace(), "for 200 ms").toBeCloseTo(R / 2);
    r.round({ rtt: 60, limited: false, ms: 51 });
    expect(r.pace()).toBeCloseTo(R);
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.15 + 3 * maxPacket);

    const s = new Rounds();
    while (s.t < 11_000) s.round({ rtt: 51, limited: false });
    s.round({ rtt: 51, arrives: 1000 });
    s.round({ rtt: 60, limited: false, ms: 200 });
    expect(s.pace(), "no longer").toBeCloseTo(R);
  });

  test("is not looked for before there is one", () => {
    const c = congestion(0, ceiling, floor, ceiling);
    c.acked(1, 0, 1, 0, 0);
    c.limit();
    c.sent(1e9);
    c.acked(20_001, 1, 2, 20_000 * 100, 0);
    expect(c.rate()).toBe(100_000);
    c.sent(10_000);
    const at = c.ready();
    c.sent(1000);
    expect(c.ready() - at).toBeCloseTo(10);
  });

  test("is taken from what came if little was sent anyway", () => {
    const r = new Rounds();
    while (r.t < 11_000) r.round({ rtt: 60, limited: false });
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.13 + 3 * maxPacket);
    r.round({ rtt: [], limited: false });
    expect(r.c.window(0, 0), "nothing came").toBeCloseTo(R * 0.13 + 3 * maxPacket);
    r.round({ rtt: 60, limited: false });
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.15 + 3 * maxPacket);
    expect(r.pace()).toBeCloseTo(R);
    while (r.t < 21_100) r.round({ rtt: 70, limited: false });
    expect(r.c.window(0, 0), "ten seconds later again").toBeCloseTo(R * 0.15 + 3 * maxPacket);
    r.round({ rtt: 70, limited: false });
    r.round({ rtt: 70, limited: false });
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.17 + 3 * maxPacket);
  });

  test("is the last one that was as short", () => {
    const r = new Rounds();
    while (r.t < 6000) r.round({ rtt: 60, limited: false });
    r.round({ rtt: 50, limited: false });
    while (r.t < 16_000) r.round({ rtt: 60, limited: false });
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.13 + 3 * maxPacket);
    r.c.sample(r.t, 40);
    expect(r.c.window(0, 0)).toBeCloseTo(R * 0.11 + 3 * maxPacket);
  });
});

describe("what arrives", () => {
  /**
   * Runs rounds of growth in which this share of what is sent beyond R arrives; returns how many there are until the
   * rate falls, and by how much.
   */
  const falls = (share: number): [rounds: number, rate: number] => {
    const r = new Rounds();
    for (let i = 1; ; i++) {
      const before = r.c.rate();
      const rate = r.round({ arrives: R + share * (before - R) });
      if (rate < before || i === 40) return [i, rate / before];
    }
  };

  test("is looked at when the rate has grown by a quarter: 5 % more must arrive, or the rate falls", () => {
    expect(falls(1)[0]).toBe(40);
    expect(falls(0.3)[0]).toBe(40);
    const [n, fall] = falls(0);
    expect([n > 5, n < 20, fall]).toEqual([true, true, expect.closeTo(0.7)]);
  });

  /** Lets the rate grow until it falls, because no more than this arrives; returns the number of rounds. */
  const until = (r: Rounds, arrives: number): number => {
    for (let i = 1; i < 60; i++) {
      const before = r.c.rate();
      if (r.round({ arrives: Math.min(before, arrives) }) < before) return i;
    }
    return Infinity;
  };

  test("is compared with what arrived when it last had grown, and with less after the rate has fallen", () => {
    const r = new Rounds();
    while (r.c.rate() < 2 * R) r.round();
    const { rate } = r.c;
    expect(until(r, rate())).toBeLessThan(20);
    const fallen = rate();
    expect(r.round(), "and the rate grows again, in small steps").toBeCloseTo(grown(fallen), 3);

    const s = new Rounds();
    s.round();
    s.round({ rtt: 150, arrives: 0.5 * R });
    s.drained();
    expect(s.c.rate()).toBeLessThan(0.5 * R);
    for (let i = 0; i < 6; i++) s.round(); // the smoothed values fall
    expect(until(s, s.c.rate()), "compared with the little that was sent").toBeLessThan(20);
    expect(s.c.rate()).toBeLessThan(0.8 * R);
  });

  test("need not be as much as before when the rate has fallen for it", () => {
    const r = new Rounds();
    expect(until(r, R)).toBeLessThan(20);
    const low = r.c.rate();
    for (let i = 0; i < 12; i++) {
      const before = r.c.rate();
      expect(r.round({ arrives: 0.85 * R }), `round ${i}`).toBeGreaterThan(before);
    }
    expect(r.c.rate()).toBeGreaterThan(1.3 * low);
  });
});
