// When packets are looked for, how many probe, and what the round trip is taken for.
import { describe, expect, test } from "vitest";
import { Recovery } from "../src/loss";
import { Flight, packetAcked, packetFlying, packetLost, type SentPacket } from "../src/sent";

describe("the round trip", () => {
  test("the first sample takes the place of the guess", () => {
    const r = new Recovery(100);
    expect([r.smoothed, r.pto(0)]).toEqual([100, 250]); // 100 + 4 * 50 + 20, which is too long
    r.sample(40, 30);
    expect([r.smoothed, r.pto(0)]).toEqual([40, 40 + 4 * 20 + 20]);
  });

  test("samples are smoothed, and so is how they vary", () => {
    const r = new Recovery(100);
    r.sample(40, 0);
    r.sample(80, 0);
    expect([r.smoothed, r.pto(0)]).toEqual([45, 45 + 4 * 25 + 20]); // (7 * 40 + 80) / 8; (3 * 20 + 40) / 4
  });

  test("the peer's delay is taken off, unless that makes it shorter than any so far", () => {
    const delays = [[10, 70], [40, 40], [41, 80]] as const;
    for (const [delay, d] of delays) {
      const r = new Recovery(100);
      r.sample(40, 0);
      r.sample(80, delay);
      expect(r.smoothed).toBe((7 * 40 + d) / 8);
    }
    const r = new Recovery(100);
    r.sample(40, 0);
    r.sample(20, 0); // the shortest now
    r.sample(60, 40);
    expect(r.smoothed).toBe((7 * ((7 * 40 + 20) / 8) + 20) / 8);
  });

  test("on a steady link five milliseconds are left for jitter", () => {
    const r = new Recovery(100);
    for (let i = 0; i < 100; i++) r.sample(40, 0);
    expect(r.pto(0)).toBeCloseTo(40 + 5 + 20);
  });
});

describe("the probe timeout", () => {
  const steady = (d: number): Recovery => {
    const r = new Recovery(d);
    for (let i = 0; i < 100; i++) r.sample(d, 0);
    return r;
  };

  test("grows by half each time, to a quarter of a second or what a long round trip takes", () => {
    const r = steady(40);
    expect(r.pto(1)).toBeCloseTo(65 * 1.5);
    expect(r.pto(2)).toBeCloseTo(65 * 2.25);
    expect(r.pto(9)).toBe(250);
    expect(steady(400).pto(9)).toBeCloseTo(500);
  });

  test("counts from the last packet, and on a link that loses two timeouts do not make it longer", () => {
    const r = steady(40);
    r.lastSent = 1000;
    r.timeouts = 2;
    expect(r.ptoAt()).toBeCloseTo(1000 + 65 * 2.25);
    r.share = 0.01;
    expect(r.ptoAt()).toBeCloseTo(1000 + 65 * 2.25);
    r.share = 0.011;
    expect(r.ptoAt()).toBeCloseTo(1000 + 65);
    r.timeouts = 1;
    expect(r.ptoAt()).toBeCloseTo(1000 + 65);
    r.timeouts = 3;
    expect(r.ptoAt()).toBeCloseTo(1000 + 65 * 1.5);
  });

  test("sends two packets, and one more for each before; in the dark one", () => {
    const r = new Recovery(40);
    const probes: number[] = [];
    for (let i = 0; i < 8; i++) {
      r.timeout(100 * i, 0);
      probes.push(r.probes);
    }
    expect(probes).toEqual([2, 3, 4, 5, 6, 7, 1, 1]);
    expect([r.timeouts, r.lastSent]).toEqual([8, 700]);
  });

  test("sends as many as make an answer likely at the losses of the worse way, ten at most", () => {
    const probes = (share: number, lossIn: number, timeouts = 0): number => {
      const r = new Recovery(40);
      r.share = share;
      r.timeouts = timeouts;
      r.timeout(0, lossIn);
      return r.probes;
    };
    expect(probes(0.1, 0)).toBe(2); // one in five fails, and two in twenty-five
    expect(probes(0.3, 0)).toBe(5); // 0.51 ** 5 < 0.05
    expect(probes(0, 0.3)).toBe(5);
    expect(probes(0.3, 0.1)).toBe(5);
    expect(probes(0.9, 0)).toBe(10);
    expect(probes(1, 0)).toBe(10);
    expect(probes(0.3, 0, 5)).toBe(10);
    expect(probes(0.3, 0, 6)).toBe(1);
  });

  test("one timeout is no silence, two are", () => {
    const r = new Recovery(40);
    expect(r.silent()).toBe(false);
    r.timeout(0, 0);
    expect(r.silent()).toBe(false);
    r.timeout(0, 0);
    expect(r.silent()).toBe(true);
  });
});

describe("lost packets", () => {
  test("are an eighth older than the longer of the last round trip and the usual one, and a millisecond", () => {
    const r = new Recovery(40);
    r.sample(40, 0);
    expect(r.lossDelay()).toBe(45);
    r.sample(80, 0);
    expect(r.lossDelay()).toBe(90);
    r.sample(40, 0);
    expect(r.lossDelay()).toBeCloseTo((9 / 8) * r.smoothed);
    const quick = new Recovery(0.1);
    expect(quick.lossDelay()).toBe(1);
  });

  test("their share is smoothed over 64 packets", () => {
    const r = new Recovery(40);
    const p = { ...new Flight().open(0), size: 100, eliciting: true };
    r.lost(p);
    expect(r.share).toBe(1 / 64);
    r.acked({ ...p, eliciting: false });
    expect(r.share, "one that wanted no acknowledgement").toBe(1 / 64);
    r.acked(p);
    expect(r.share).toBe(63 / 64 / 64);
  });

  test("are looked for further behind where the link reorders, to 256", () => {
    const r = new Recovery(40);
    const thresholds = [2, 5, 4, 1000].map((n) => (r.reordered(n), r.threshold));
    expect(thresholds).toEqual([3, 5, 5, 256]);
  });
});

describe("the packets that were sent", () => {
  const send = (f: Flight, t: number, size: number, eliciting = true): SentPacket => {
    const p = Object.assign(f.open(t), { size, eliciting });
    f.push(p);
    return p;
  };

  test("are found by their number", () => {
    const f = new Flight();
    const [a, b] = [send(f, 0, 100), send(f, 5, 100)];
    expect([a.number, a.at, b.number, b.at, f.next, f.base()]).toEqual([0, 0, 1, 5, 2, 0]);
    f.packets.shift();
    expect([f.base(), f.at(0), f.at(1), f.at(2)]).toEqual([1, undefined, b, undefined]);
  });

  test("count while they are under way, if they want an answer", () => {
    const f = new Flight();
    const [a, b, ack] = [send(f, 0, 100), send(f, 0, 200), send(f, 0, 20, false)];
    expect([f.bytes, f.count]).toEqual([300, 2]);
    f.land(ack, packetAcked);
    f.land(a, packetLost);
    expect([f.bytes, f.count, a.state]).toEqual([200, 1, packetLost]);
    f.land(a, packetAcked); // it was only late
    expect([f.bytes, f.count, a.state]).toEqual([200, 1, packetAcked]);
    f.forget();
    expect([f.bytes, f.count, f.packets, f.next, b.state]).toEqual([0, 0, [], 3, packetFlying]);
  });

  test("are forgotten from the oldest on when nothing more is to be learned", () => {
    const f = new Flight();
    const left = (): number[] => f.packets.map((p) => p.number);
    const [acked, lost, ack, late] = [send(f, 0, 1), send(f, 10, 1), send(f, 20, 1, false), send(f, 30, 1)];
    send(f, 40, 1);
    f.trim(100);
    expect(left(), "all but one is under way").toEqual([0, 1, 2, 3, 4]);
    f.land(late, packetAcked);
    f.trim(100);
    expect(left()).toEqual([0, 1, 2, 3, 4]);
    f.land(acked, packetAcked);
    f.trim(0);
    expect(left()).toEqual([1, 2, 3, 4]);
    f.land(lost, packetLost);
    f.trim(10);
    expect(left(), "a lost one may still arrive").toEqual([1, 2, 3, 4]);
    f.trim(11);
    expect(left()).toEqual([2, 3, 4]);
    f.trim(20);
    expect(left(), "and one that nobody acknowledges").toEqual([2, 3, 4]);
    f.trim(21);
    expect([left(), ack.state], "and what came before goes with it").toEqual([[4], packetFlying]);
  });
});
