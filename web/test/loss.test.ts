// When a Recovery looks for lost packets, how many probes it sends, and its estimate of the round trip.
import { describe, expect, test } from "vitest";
import { Recovery } from "../src/loss";
import { Flight, packetAcked, packetFlying, packetLost, type SentPacket } from "../src/sent";

describe("the round trip", () => {
  test("the first sample takes the place of the guess", () => {
    const r = new Recovery(100);
    expect([r.smoothed, r.pto(0)]).toEqual([100, 250]); // 100 + 4 * 50 + 20, limited to maxPTO
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
    const delays = [
      [10, 70],
      [40, 40],
      [41, 80],
    ] as const;
    for (const [delay, d] of delays) {
      const r = new Recovery(100);
      r.sample(40, 0);
      r.sample(80, delay);
      expect(r.smoothed).toBe((7 * 40 + d) / 8);
    }
    const r = new Recovery(100);
    r.sample(40, 0);
    r.sample(20, 0); // now the shortest
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
    expect(probes(0.1, 0)).toBe(2); // one probe in five fails, and two in twenty-five
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
    const p = { ...new Flight().open(0), len: 100, eliciting: true };
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

describe("how large a packet the link takes", () => {
  /** Packets that are sent, and their fate. */
  class Path {
    readonly r = new Recovery(40);
    private readonly f = new Flight();

    send(size: number, t = 0): SentPacket {
      const p = Object.assign(this.f.open(t), { len: size, eliciting: true });
      this.f.push(p);
      this.r.sent(p);
      return p;
    }

    /** Runs turns: in each a packet of this size is lost, and a small one arrives. */
    turns(n: number, size: number): this {
      for (let i = 0; i < n; i++) {
        const p = this.send(i % 2 ? 100 : size);
        if (i % 2) this.r.acked(p);
        else this.r.lost(p);
      }
      return this;
    }
  }

  const bind = (path: Path) => ({ r: path.r, send: path.send.bind(path) });

  test("falls after 32 turns of large ones that were lost and smaller ones that arrived", () => {
    const after = (turns: number, size: number): number => new Path().turns(turns, size).r.budget;
    expect([after(31, 1061), after(32, 1061), after(33, 1061)]).toEqual([1150, 1150, 1060]);
    expect([after(32, 1150), after(33, 1150)]).toEqual([1150, 1060]);
    expect(after(99, 1060), "what is no larger than the least says nothing").toBe(1150);
  });

  test("a large one that arrives starts the turns again, and one smaller than all that were lost does not", () => {
    const path = new Path().turns(20, 1100);
    path.r.acked(path.send(1100));
    expect(path.turns(32, 1100).r.budget).toBe(1150);
    path.r.acked(path.send(1099));
    expect(path.turns(1, 1100).r.budget).toBe(1060);
    const mixed = new Path().turns(20, 1100).turns(4, 1080).turns(4, 1120);
    mixed.r.acked(mixed.send(1080)); // as large as the smallest
    expect(mixed.turns(32, 1100).r.budget).toBe(1150);
  });

  test("packets that left together are one turn: a blackout of any length says nothing of sizes", () => {
    const path = new Path();
    const [large, small] = [1100, 100].map((size) => Array.from({ length: 50 }, () => path.send(size))) as [
      SentPacket[],
      SentPacket[],
    ];
    large.forEach((p, i) => {
      path.r.lost(p);
      path.r.acked(small[i]!);
    });
    expect(path.r.budget).toBe(1150);
    const before = new Path();
    const [early, late] = [100, 1100].map((size) => Array.from({ length: 50 }, () => before.send(size))) as [
      SentPacket[],
      SentPacket[],
    ];
    late.forEach((p, i) => {
      before.r.lost(p);
      before.r.acked(early[i]!);
    });
    expect(before.r.budget).toBe(1150);
  });

  test("what was sent before the first that was lost is no turn", () => {
    const path = new Path();
    const [a, b, c] = [path.send(100), path.send(1100), path.send(1100)];
    path.r.lost(b);
    path.r.acked(a);
    path.r.lost(c);
    const more = (): number => {
      path.r.acked(path.send(100));
      path.r.lost(path.send(1100));
      return path.r.budget;
    };
    expect(Array.from({ length: 16 }, more)).toEqual([...Array<number>(15).fill(1150), 1060]);
  });

  test("what was in a lost large one leaves in small ones, and a probe is small", () => {
    const { r, send } = bind(new Path());
    expect(r.limit(0)).toBe(1150);
    const [a, b] = [send(1100), send(1100)];
    r.lost(a);
    r.lost(b);
    r.lost(send(1060)); // counts, too
    expect(r.limit(0)).toBe(1060);
    send(1060);
    expect(r.limit(0)).toBe(1150);
    r.timeout(0, 0);
    expect([r.probes, r.limit(0)]).toEqual([2, 1060]);
    send(1060);
    r.timeout(0, 0);
    expect([r.probes, r.limit(0)], "and one is tiny, besides").toEqual([3, 64]);
    send(64);
    expect([r.probes, r.limit(0)]).toEqual([3, 1060]);
    for (const left of [2, 1, 0, 0]) {
      send(1060);
      expect(r.probes).toBe(left);
    }
    expect(r.limit(0)).toBe(1150);
  });

  test("one packet a minute tries the larger size, and nothing follows from its loss", () => {
    const { r, send } = bind(new Path().turns(33, 1100));
    send(100);
    const first = send(1150, 10);
    expect([r.limit(10), r.limit(60_009), r.limit(60_010)]).toEqual([1060, 1060, 1150]);
    r.lost(first);
    send(1060, 60_010);
    expect([r.budget, r.limit(60_010)]).toEqual([1060, 1150]);
    send(1061, 60_020);
    expect([r.limit(120_019), r.limit(120_020)]).toEqual([1060, 1150]);
  });

  test("a link is stuck after 80 turns of what cannot be made smaller", () => {
    const after = (turns: number, size: number): boolean => new Path().turns(turns, size).r.stuck;
    expect([after(80, 531), after(81, 531), after(81, 1060)]).toEqual([false, true, true]);
    expect([after(999, 530), after(999, 1061)]).toEqual([false, false]);
    const path = new Path().turns(81, 1060);
    path.r.acked(path.send(1060));
    path.r.lost(path.send(1060));
    expect(path.r.stuck, "and stays it").toBe(true);
  });

  test("what was sent before the budget fell does not raise it, and what is sent later does", () => {
    const path = new Path();
    const old = path.send(1150);
    const { r } = path.turns(32, 1100);
    const under = path.send(1150);
    r.lost(path.send(1100));
    expect(r.budget).toBe(1060);
    for (const p of [old, under]) r.acked(p);
    expect(r.budget).toBe(1060);
    r.acked(path.send(1099, 60_000)); // smaller than every lost packet
    expect(r.budget).toBe(1060);
    r.acked(path.send(1100, 60_000));
    expect(r.budget).toBe(1150);
  });
});

describe("the packets that were sent", () => {
  const send = (f: Flight, t: number, size: number, eliciting = true): SentPacket => {
    const p = Object.assign(f.open(t), { len: size, eliciting });
    f.push(p);
    return p;
  };

  test("are found by their number", () => {
    const f = new Flight();
    const [a, b] = [send(f, 0, 100), send(f, 5, 100)];
    expect([a.number, a.sentAt, b.number, b.sentAt, f.next, f.base()]).toEqual([0, 0, 1, 5, 2, 0]);
    f.packets.shift();
    expect([f.base(), f.at(0), f.at(1), f.at(2)]).toEqual([1, undefined, b, undefined]);
  });

  test("count while they are under way, if they want an answer", () => {
    const f = new Flight();
    const [a, b, ack] = [send(f, 0, 100), send(f, 0, 200), send(f, 0, 20, false)];
    expect([f.bytes, f.count]).toEqual([300, 2]);
    f.land(ack, packetAcked);
    f.land(a, packetLost);
    expect([f.bytes, f.count, a.phase]).toEqual([200, 1, packetLost]);
    f.land(a, packetAcked); // the packet was only late
    expect([f.bytes, f.count, a.phase]).toEqual([200, 1, packetAcked]);
    f.forget();
    expect([f.bytes, f.count, f.packets, f.next, b.phase]).toEqual([0, 0, [], 3, packetFlying]);
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
    expect([left(), ack.phase], "and what came before goes with it").toEqual([[4], packetFlying]);
  });
});
