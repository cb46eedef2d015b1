// The client side of a game: the calls that the Go package has recorded, and a game over a simulated link.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Clock, Prediction, Snapshots } from "../src/game";
import { random } from "./sim";

const mix = (a: number, b: number, share: number): number => a + (b - a) * share;
const step = (s: number, input: number): number => s + input;

describe("the recorded calls of the Go package", () => {
  interface Call {
    do: "hear" | "early" | "state" | "frame";
    t: number;
    tick?: number;
    rtt?: number;
    early?: number;
    place?: number;
    due?: number[];
    want?: number[];
  }
  const calls = JSON.parse(readFileSync(new URL("../../game/testdata/calls.json", import.meta.url), "utf8")) as Call[];

  test("return the same", () => {
    const clock = new Clock();
    const others = new Snapshots<number>(clock);
    const own = new Prediction(clock, { step, mix });
    let frames = 0;
    for (const { do: what, t, tick = 0, rtt = 0, early = 0, place = 0, due = [], want = [] } of calls) {
      if (what === "early") clock.early(early);
      if (what === "state") {
        clock.hear(t, tick, rtt);
        others.add(t, tick, tick);
        own.correct(t, tick, place);
      }
      if (what !== "frame") continue;
      const ticks = clock.due(t);
      expect(ticks, `due after ${t} ms`).toEqual(due);
      for (const n of ticks) own.input(n, (Math.floor(n / 7) % 3) - 1);
      const got = [clock.now(t), clock.ahead(t)];
      const shown = others.at(t);
      if (shown) got.push(shown.from, shown.to, shown.share, others.shown, others.delay, own.at(t)!, ...own.recent(4));
      expect(got.length, `figures after ${t} ms`).toBe(want.length);
      for (const [i, v] of got.entries()) expect(v, `figure ${i} after ${t} ms`).toBeCloseTo(want[i]!, 5);
      frames++;
    }
    expect(frames).toBeGreaterThan(100);
  });
});

/** A game of one player over a link that loses a share of the messages: a server with ticks, and a client with frames. */
class Match {
  readonly clock = new Clock({ tick: 50 });
  readonly others = new Snapshots<number>(this.clock);
  readonly own = new Prediction<number, number>(this.clock, { step, mix });
  steer: (tick: number) => number = () => 0;
  frame: (t: number) => void = () => {};
  now = 0;
  missing = 0;
  pushed = 0; // what another player adds to the place
  private tick = 700;
  private place = 0;
  private readonly inputs = new Map<number, number>();
  private earliest = Number.POSITIVE_INFINITY;
  private waiting: { at: number; run: () => void }[] = [];
  private readonly random = random(1);

  constructor(
    readonly delay: number,
    readonly jitter: number,
    readonly loss: number,
  ) {}

  private send(run: () => void): void {
    if (this.random() < this.loss) return;
    this.after(this.delay + this.random() * this.jitter, run);
  }

  private after(ms: number, run: () => void): void {
    this.waiting.push({ at: this.now + ms, run });
    this.waiting.sort((a, b) => a.at - b.at);
  }

  start(): this {
    this.after(50, () => this.serve());
    this.after(1, () => this.play());
    return this;
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.waiting[0]!.at <= end; ) {
      const { at, run } = this.waiting.shift()!;
      this.now = at;
      run();
    }
  }

  private serve(): void {
    this.after(50, () => this.serve());
    const tick = ++this.tick;
    const input = this.inputs.get(tick);
    if (input === undefined) this.missing++;
    this.place += (input ?? 0) + this.pushed;
    this.pushed = 0;
    const { place, earliest } = this;
    if (tick % 10 === 0) this.earliest = Number.POSITIVE_INFINITY;
    this.send(() => {
      this.clock.hear(this.now, tick, 2 * this.delay);
      if (tick % 10 === 0 && earliest < 100) this.clock.early(earliest);
      this.others.add(this.now, tick, tick);
      this.own.correct(this.now, tick, place);
    });
  }

  private play(): void {
    this.after(1000 / 60, () => this.play());
    const due = this.clock.due(this.now);
    for (const tick of due) this.own.input(tick, this.steer(tick));
    if (due.length) {
      const { tick } = this.own;
      const recent = this.own.recent(4);
      this.send(() => {
        this.earliest = Math.min(this.earliest, tick - this.tick - 1);
        recent.forEach((input, i) => !this.inputs.has(tick - i) && this.inputs.set(tick - i, input));
      });
    }
    this.frame(this.now);
  }
}

describe("over a link with 100 ms and 5 % of losses", () => {
  test("the own player answers at once, and others go on without a jump", () => {
    const m = new Match(50, 20, 0.05).start();
    m.run(5000);
    m.missing = 0;
    let [own, shown, now] = [0, 0, 0];
    let frames = 0;
    let gaps = 0;
    let farthest = 0;
    m.frame = (t) => {
      const { from, to, share } = m.others.at(t)!;
      const place = m.own.at(t)!;
      const is = m.clock.now(t);
      if (frames++) {
        farthest = Math.max(farthest, Math.abs(place - own));
        expect(mix(from, to, share), "what is shown of others").toBeGreaterThanOrEqual(shown);
        expect(Math.abs((is - now) * 50 - 1000 / 60), "ms by which a frame is longer for the clock").toBeLessThan(0.051 * 17);
        if (share > 1) gaps++;
      }
      [own, shown, now] = [place, mix(from, to, share), is];
    };
    for (let i = 0; i < 100; i++) {
      const before = own;
      m.steer = () => 1;
      m.run(50 + 2 * 17); // a tick, and the frames beside it
      expect(own, "the own place after a tick").toBeGreaterThan(before);
      m.run(100 + i);
      m.steer = () => 0;
      m.run(200);
    }
    expect(m.missing).toBeLessThan(0.02 * (m.now / 50));
    expect(gaps / frames).toBeLessThan(0.07);
    expect(farthest, "ticks that the own player moves in a frame").toBeLessThan((2 / 50) * (1000 / 60));
  });

  test("a push of the server is corrected smoothly, and the correction ends at the server's place", () => {
    const m = new Match(50, 0, 0.05).start();
    m.run(3000);
    const place = m.own.at(m.now)!;
    let [last, farthest] = [place, 0];
    m.frame = (t) => {
      const at = m.own.at(t)!;
      farthest = Math.max(farthest, Math.abs(at - last));
      last = at;
    };
    m.pushed = 10;
    m.run(2000);
    expect(last).toBeCloseTo(place + 10, 5);
    expect(farthest).toBeLessThan(2.1); // in 17 of 50 ms at most a fifth of the way
  });
});

test("a state of a later tick than the newest input does not make what is shown jump", () => {
  const clock = new Clock();
  clock.hear(0, 100, 0);
  const own = new Prediction(clock, { step, mix });
  own.input(101, 1);
  own.correct(0, 100, 0);
  own.input(102, 4);
  expect(own.at(40)).toBeCloseTo(2.2, 9);
  own.correct(40, 110, 20);
  expect(own.at(40)).toBeCloseTo(2.2, 9);
  expect(own.at(90)).toBeCloseTo(11.1, 9);
});

describe("values that are wrong", () => {
  test("are ignored by the clock", () => {
    const clock = new Clock({ tick: 0, slew: 9 });
    expect([clock.tick, clock.slew]).toEqual([1, 0.5]);
    for (const [t, tick, rtt] of [
      [Number.NaN, 1, 1],
      [1, Number.POSITIVE_INFINITY, 1],
      [1, 1, Number.NaN],
    ] as const) {
      clock.hear(t, tick, rtt);
      expect(clock.now(5)).toBe(0);
      expect(clock.due(5)).toEqual([]);
    }
    clock.hear(0, 100, 0);
    const { lead } = clock;
    clock.early(Number.NaN);
    clock.now(Number.NaN);
    expect(clock.lead).toBe(lead);
    expect(clock.now(10)).toBe(110);
    expect(clock.now(5)).toBe(110);
    for (let i = 0; i < 9; i++) clock.early(-1e9);
    expect(clock.due(1e7)).toHaveLength(8);
    expect(clock.lead).toBeLessThanOrEqual(500);
  });

  test("of an end of the ticks: no tick begins again", () => {
    const clock = new Clock({ maxLead: -9 });
    clock.hear(0, 2 ** 32 - 2, 0);
    expect([clock.due(40), clock.due(60), clock.due(1000), clock.lead]).toEqual([[], [2 ** 32 - 1], [], 0]);
  });

  test("of a Prediction: limits and times that are none", () => {
    const clock = new Clock();
    clock.hear(0, 100, 0);
    for (const maxPending of [0, -1, Number.NaN, undefined] as number[]) {
      const own = new Prediction<number, number>(clock, { step, mix, maxPending, halfLife: -1, jump: undefined as never });
      for (let n = 101; n < 300; n++) own.input(n, 1);
      expect(own.recent(999), `with a limit of ${maxPending}`).toHaveLength(128);
      own.correct(0, 299, 5);
      own.correct(10, 300, 9);
      expect(own.at(10)).toBe(9); // at once
      expect(own.at(5000)).toBe(9);
    }
  });

  test("of a delay for which there are no states", () => {
    const clock = new Clock({ tick: 5 });
    const others = new Snapshots<number>(clock, { minDelay: 1e9, maxDelay: Number.POSITIVE_INFINITY });
    for (let n = 1; n < 99; n++) {
      clock.hear(n * 5, n, 0);
      others.add(n * 5, n, n);
    }
    expect(others.at(98 * 5)).toEqual({ from: 42, to: 43, share: 0 });
    expect(others.delay).toBe(56);
  });

  test("are no ticks of a Snapshots", () => {
    const clock = new Clock();
    clock.hear(0, 100, 0);
    const others = new Snapshots<number>(clock);
    for (const tick of [Number.NaN, Number.POSITIVE_INFINITY, undefined as never]) others.add(0, tick, 1);
    expect(others.at(0)).toBeUndefined();
  });

  test("do not make lists long", () => {
    const clock = new Clock();
    const own = new Prediction(clock, { step, mix, maxPending: 8, jump: () => true });
    const others = new Snapshots<number>(clock, { minDelay: 900, maxDelay: 100, beyond: -1 });
    expect(own.at(0)).toBeUndefined();
    expect(others.at(0)).toBeUndefined();
    for (let n = 1; n < 1000; n++) {
      clock.hear(n * 50, n, 100);
      own.input(n, 1);
      others.add(n * 50, n, n);
    }
    expect(own.recent(99)).toHaveLength(8);
    expect(own.recent(0)).toEqual([]);
    expect(others).toMatchObject({ states: { length: 64 }, needs: { length: 40 } });
    others.add(0, 5, -1); // older than all
    others.add(0, 999, -1); // there already
    expect(others.at(999 * 50)).toEqual({ from: 982, to: 983, share: 0 });
    expect(others.delay).toBe(18);
    own.correct(0, 990, 7);
    own.correct(0, 5, 100);
    expect(own.at(1e6)).toBe(15); // 8 of 9 inputs are known
    own.input(998, 1);
    own.input(Number.NaN, 1);
    expect(own.tick).toBe(999);
    own.input(1500, 1); // after a pause
    expect(own.recent(9)).toEqual([1]);
  });
});

test("the minified bundle has the same names and no other module", async () => {
  const plain = (await import("../dist/godwit.game.js" as string)) as object;
  const small = (await import("../dist/godwit.game.min.js" as string)) as object;
  expect(Object.keys(plain).sort()).toEqual(["Clock", "Prediction", "Snapshots"]);
  expect(Object.keys(small).sort()).toEqual(Object.keys(plain).sort());
  const text = readFileSync(new URL("../dist/godwit.game.min.js", import.meta.url), "utf8");
  expect(text).not.toMatch(/\bimport\b/);
  expect(text).not.toMatch(/RTCPeerConnection/);
  const client = readFileSync(new URL("../dist/godwit.classic.min.js", import.meta.url), "utf8");
  expect(client, "a part of it in the client").not.toContain("maxPending");
});
