// When packets leave: what the window and the pacer let through and what ignores them, what is sent in free space, and
// when a packet with only an ack block must be acknowledged.
import { describe, expect, test } from "vitest";
import { maxPacket } from "../src/packet";
import { utf8 } from "./bytes";
import { bare, One, ping } from "./one";
import { pair, World } from "./sim";

const slow = { rate: 10_000, floor: 5000, ceiling: 10_000, rtt: 35 }; // a window of 1000 bytes and three packets

/**
 * Sends messages that fill a packet each, at the pace of the pacer; returns how many packets leave before the window is
 * full.
 */
function fill(one: One, size = 1100): number {
  let n = 0;
  for (let t = 0; t < 3000; t += 150) {
    one.m.send(t, 2, new Uint8Array(size).fill(n));
    n += one.kinds(t).length;
  }
  return n;
}

describe("the pacer", () => {
  test("lets a packet or two leave at once, and then as many as the rate has", () => {
    const one = new One({ ...slow, rtt: 1000 });
    for (let i = 0; i < 10; i++) one.m.send(0, 2, new Uint8Array(1000));
    expect(one.kinds(0).length).toBe(2);
    const ready = one.m.deadline();
    expect(ready).toBeGreaterThan(85);
    expect(one.kinds(ready - 1)).toEqual([]);
    expect(one.kinds(ready + 1).length).toBe(1);
  });

  test("does not keep back an end, nor its answer", () => {
    const one = new One(slow);
    for (let i = 0; i < 10; i++) one.m.send(0, 2, new Uint8Array(1000));
    one.kinds(0);
    one.take(1, 0, ping);
    one.m.close(1, 300, "");
    expect(one.kinds(1)).toEqual(["ack 0 extension close"]);
  });
});

describe("the window", () => {
  test("has what fills the path twice and three packets, and not a byte more leaves when it is full", () => {
    const end = (bytes: number): One => {
      const one = new One(slow);
      for (let t = 0; bytes; t += 150) {
        const n = Math.min(bytes, 1000);
        one.m.send(t, 2, new Uint8Array(n - 7)); // the packet has 3 bytes and the message 4 more
        expect(one.raw(t).map((b) => b.length)).toEqual([n]);
        bytes -= n;
      }
      one.m.send(900, 2, utf8("x"));
      return one;
    };
    expect(end(1000 + 3 * maxPacket).kinds(900)).toEqual([]);
    expect(end(1000 + 3 * maxPacket - 1).kinds(900)).toEqual(["message"]);
  });

  test("opens with an acknowledgement, and time has no say in that", () => {
    const one = new One(slow);
    expect(fill(one, 1000)).toBe(5);
    expect([one.kinds(10_000), one.m.deadline()]).toEqual([[], 600 + 125]); // the time of the probe
    one.take(10_010, 0, "", { largest: 4, ranges: [4] });
    expect(one.kinds(10_010).length).toBeGreaterThan(0);
  });

  test("does not keep back probes, of which there are two", () => {
    const one = new One(slow);
    fill(one, 1000);
    one.m.advance(3000);
    expect(one.out(3000).map((p) => p.frames[0]!.payload!.slice(0, 2))).toEqual(["00", "04"]);
    expect(one.kinds(5000)).toEqual([]);
  });

  test("does not keep back the question of a page that slept", () => {
    const one = new One(slow);
    for (let t = 0; t < 750; t += 150) {
      one.m.send(t, 2, new Uint8Array(1000));
      one.kinds(t);
    }
    one.take(750, 0, ping);
    expect(one.kinds(760)).toEqual([]);
    one.m.slept(761);
    expect(one.kinds(761)).toEqual(["ack 0 ping"]);
  });
});

describe("an end that has nothing to say", () => {
  test("is idle, also when probes are left", () => {
    const one = new One();
    expect(one.m.idle(0)).toBe(true);
    one.m.send(0, 1, utf8("x"));
    expect(one.m.idle(0)).toBe(false);
    one.kinds(0);
    one.m.advance(140);
    expect([one.m.idle(140), one.kinds(140), one.m.idle(140)]).toEqual([false, ["ping"], true]);
    expect(one.m.loss.probes).toBe(0);
  });

  test("sends no ping beside what it has to say", () => {
    const one = new One({ keepAlive: 1000 });
    one.m.advance(1000);
    one.m.send(1000, 1, utf8("x"));
    expect(one.kinds(1000)).toEqual(["bare"]);
    expect(one.kinds(1001)).toEqual([]);
  });

  test("sends no ping while it waits for an answer", () => {
    const one = new One({ keepAlive: 1000 });
    one.m.send(990, 2, utf8("x"));
    one.kinds(990);
    one.m.advance(1000);
    expect(one.kinds(1000)).toEqual([]);
  });

  test("does not acknowledge before it must", () => {
    const one = new One();
    one.m.close(0, 300, "");
    expect(one.kinds(0)).toEqual(["close"]);
    one.take(5, 0, bare(1, "x"));
    expect(one.kinds(10)).toEqual([]);
    expect(one.kinds(20)).toEqual(["ack 0 close"]);
  });
});

test("while nobody answers, a link that keeps nothing back takes unreliable messages", () => {
  const one = new One();
  one.m.send(0, 2, utf8("x"));
  one.kinds(0);
  for (let i = 0; i < 2; i++) {
    one.m.advance(one.m.deadline());
    one.kinds(200 + i);
  }
  expect(one.m.loss.silent()).toBe(true);
  one.m.send(500, 1, utf8("y"));
  expect(one.kinds(500)).toEqual(["bare"]);
});

describe("copies", () => {
  /** Returns an end on a link that loses packets, with a small reliable message in flight. */
  const lossy = (): One => {
    const one = new One();
    one.m.loss.share = 0.3;
    one.m.send(0, 2, utf8("copy me"));
    one.kinds(0);
    return one;
  };

  test("ride with what leaves anyway", () => {
    const one = lossy();
    one.m.send(5, 1, utf8("x"));
    expect([one.kinds(5), one.m.stats().copies]).toEqual([["bare message"], 1]);
  });

  test("do not ride where less is lost", () => {
    const one = lossy();
    one.m.loss.share = 0.01;
    one.m.send(5, 1, utf8("x"));
    expect(one.kinds(5)).toEqual(["bare"]);
  });

  test("do not ride with an acknowledgement alone, nor with a ping", () => {
    const one = lossy();
    one.take(5, 0, ping);
    expect([one.kinds(25), one.m.stats().copies]).toEqual([["ack 0"], 0]);
  });

  test("do not ride while something new has to wait", () => {
    const one = lossy();
    one.m.send(5, 2, new Uint8Array(700));
    one.m.send(5, 2, new Uint8Array(700));
    const [first, second] = one.kinds(5);
    expect([first, second]).toEqual(["message", "message message"]);
  });
});

describe("a lone acknowledgement", () => {
  /** Returns an end that has received n packets, each after one that was lost. */
  const holes = (n: number): One => {
    const one = new One();
    for (let i = 0; i < n; i++) {
      one.take(1000, 2 * i, ping);
      if (i < n - 1) one.kinds(1000);
    }
    return one;
  };

  test("of eight more ranges asks for an answer, once a round trip, and waits for it", () => {
    expect(holes(8).kinds(1020)).toEqual(["ack 14"]);
    const one = holes(9);
    expect(one.kinds(1020)).toEqual(["ack 16 ping"]);
    expect(one.m.deadline()).toBe(1020 + 140);
    one.take(1059, 18, ping);
    expect(one.kinds(1059), "a round trip is 40 ms").toEqual(["ack 18"]);
    one.take(1060, 20, ping);
    expect(one.kinds(1060)).toEqual(["ack 20 ping"]);
    one.take(1100, 21, "", { largest: 9, ranges: [0] });
    one.take(1100, 22, ping);
    expect(one.out(1120)[0]!.ack, "what is known is not said again").toMatchObject({ largest: 22, first: 1 });
  });

  test("of an end does not ask", () => {
    const one = holes(9);
    one.m.close(1000, 300, "");
    one.kinds(1000);
    one.take(1001, 18, ping);
    expect(one.kinds(1001)).toEqual(["ack 18"]);
  });
});

test("a probe has room for the largest piece, however much there is to acknowledge", () => {
  const one = new One();
  one.m.send(0, 2, new Uint8Array(2000));
  expect(one.kinds(0)).toEqual(["fragment", "fragment"]);
  for (let i = 0; i < 25; i++) one.take(100, 2 * i, ping);
  one.m.advance(200);
  expect(one.kinds(200)[0]).toBe("ack 48 fragment");
});

describe("an end that has closed", () => {
  test("is one of two", () => {
    const one = new One();
    expect(one.m.closed()).toBe(false);
    one.take(0, 0, "020000");
    expect([one.m.closed(), one.kinds(0)]).toEqual([true, ["ack 0"]]);
    one.take(10, 1, "00");
    expect(one.kinds(10), "what wants no answer has none").toEqual([]);
  });

  test("is not told to be heard by an acknowledgement of a packet without a close frame", () => {
    const one = new One();
    one.m.close(0, 300, "");
    one.kinds(0);
    one.take(1, 0, ping);
    one.take(1, 2, ping);
    expect(one.kinds(1)).toEqual(["ack 2"]);
    one.take(2, 3, "", { largest: 1, ranges: [0] });
    expect([one.m.closed(), one.m.deadline()]).toEqual([false, 20]);
    expect(one.kinds(20)).toEqual(["close"]);
  });

  test("measures nothing more", () => {
    const one = new One();
    one.m.send(0, 2, utf8("x"));
    one.kinds(0);
    one.m.close(10, 300, "");
    one.kinds(10);
    one.take(90, 0, "", { largest: 0, ranges: [0] });
    expect([one.m.stats().rtt, one.drops()]).toEqual([40, []]);
  });

  test("counts what comes as that, asleep or not", () => {
    const one = new One();
    one.m.close(0, 300, "");
    one.m.slept(5);
    one.take(5, 0, bare(1, "x"));
    expect([one.drops(), one.m.channelStats(1).stale]).toEqual([["closed"], 0]);
  });
});

describe("a page that slept", () => {
  test("counts what comes on no channel of its own as that", () => {
    const one = new One();
    one.m.slept(5);
    one.take(5, 0, bare(9, "x"));
    expect(one.drops()).toContain("unknown-channel");
  });

  test("has its answer with one to what left in that moment", () => {
    const one = new One();
    one.m.slept(5000);
    expect(one.kinds(5000)).toEqual(["ping"]);
    one.take(5050, 0, bare(1, "new"), { largest: 0, ranges: [0] });
    expect([one.m.answered(5000), one.m.answered(5001), one.events, one.m.stats().rtt]).toEqual([true, false, [[1, "new"]], 50]);
  });

  test("does not send what has waited", () => {
    const one = new One(slow);
    for (let i = 0; i < 5; i++) one.m.send(0, 1, new Uint8Array(1000));
    expect(one.kinds(0).length).toBe(2);
    one.m.slept(251);
    expect([one.m.channelStats(1).dropped, one.kinds(251)]).toEqual([3, ["ping"]]);
    const young = new One(slow);
    for (let i = 0; i < 5; i++) young.m.send(0, 1, new Uint8Array(1000));
    young.kinds(0);
    young.m.slept(250);
    expect([young.m.channelStats(1).dropped, young.kinds(250)]).toEqual([0, ["bare", "bare"]]);
  });
});

describe("the rate", () => {
  test.each([
    ["follows what a link carries", 100_000, 70_000, 110_000],
    ["grows to the ceiling where nothing waits", Infinity, 256 << 10, 256 << 10],
  ])("%s", (_, narrow, least, most) => {
    const w = new World(1);
    const [a] = pair(w, [{ name: "bulk", mode: "reliable-ordered" }], { delay: 30, narrow: () => narrow }, { delay: 30 }, {}, {});
    w.every(10, 600, () => {
      while (a.outbox.senders[1]!.cost < 60_000) a.send(w.now, 1, new Uint8Array(1000));
    });
    const rates: number[] = [];
    w.every(100, 60, (i) => i > 30 && rates.push(a.stats().rate));
    w.run(6000);
    const mean = rates.reduce((x, y) => x + y) / rates.length;
    expect(mean).toBeGreaterThanOrEqual(least);
    expect(mean).toBeLessThanOrEqual(most);
  });
});
