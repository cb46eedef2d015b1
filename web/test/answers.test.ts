// What an end learns from acknowledgements: round trips, losses, silence, and which records it can drop.
import { describe, expect, test } from "vitest";
import { maxPacket } from "../src/packet";
import { type Flight } from "../src/sent";
import { utf8 } from "./bytes";
import { One, ping } from "./one";

/** An end that has sent a reliable message at each of these times, each in its own packet. */
function sent(...times: number[]): One {
  const one = new One({ rate: 1 << 24, ceiling: 1 << 24 });
  times.forEach((t, i) => {
    one.m.send(t, 2, new Uint8Array(600).fill(i));
    expect(one.kinds(t).length).toBe(1);
  });
  return one;
}

/** Returns the messages that are sent. */
const messages = (one: One, t: number): number[] =>
  one.out(t).flatMap((p) => p.frames.filter((f) => f.payload).map((f) => Number.parseInt(f.payload!.slice(0, 2), 16)));

describe("a round trip", () => {
  test("is measured once by one packet", () => {
    const one = sent(0, 1);
    one.take(51, 0, "", { largest: 1, ranges: [0] });
    expect(one.m.stats().rtt).toBe(50);
    one.take(90, 1, "", { largest: 1, ranges: [1] }); // the older packet gives no sample
    expect(one.m.stats().rtt).toBe(50);
  });

  test("is not measured by a packet that wanted no answer", () => {
    const one = sent(0);
    one.take(5, 0, ping);
    expect(one.kinds(25)).toEqual(["ack 0"]);
    one.take(75, 1, "", { largest: 1, ranges: [1] });
    expect([one.m.stats().rtt, one.m.outbox.settled()]).toEqual([40, true]);
  });

  test("is not measured by a packet that is forgotten", () => {
    const one = sent(0);
    one.take(50, 0, "", { largest: 0, ranges: [0] });
    one.m.send(60, 2, utf8("x"));
    one.kinds(60);
    one.take(61, 1, ping);
    one.kinds(81); // packet 2 has only an ack block
    one.take(110, 2, "", { largest: 1, ranges: [0] });
    const { rtt } = one.m.stats();
    one.m.send(5000, 2, utf8("y"));
    one.kinds(5000);
    one.take(5050, 3, "", { largest: 3, ranges: [0] });
    one.take(5060, 4, "", { largest: 2, ranges: [2] });
    expect([rtt, one.m.stats().rtt, one.drops()]).toEqual([50, 50, []]);
  });
});

describe("an acknowledgement", () => {
  test("that tells nothing new is no mistake, and no answer", () => {
    const one = sent(0);
    one.take(50, 0, "", { largest: 0, ranges: [0] });
    one.m.send(60, 2, utf8("x"));
    one.kinds(60);
    for (let i = 0; i < 2; i++) {
      one.m.advance(one.m.deadline());
      one.kinds(500 + i);
    }
    expect(one.m.loss.silent()).toBe(true);
    one.take(600, 1, "", { largest: 0, ranges: [0] });
    expect([one.m.loss.silent(), one.drops(), one.m.stats().packetsIn]).toEqual([true, [], 2]);
    one.take(601, 2, "", { largest: 1, ranges: [1] });
    expect(one.m.loss.silent()).toBe(false);
  });

  test("has what has arrived forgotten", () => {
    const one = sent(0, 1, 2);
    const { packets } = (one.m as unknown as { flight: Flight }).flight;
    one.take(50, 0, "", { largest: 1, ranges: [0] });
    expect(packets.length).toBe(3);
    one.take(51, 1, "", { largest: 1, ranges: [1] });
    expect(packets.map((p) => p.number)).toEqual([2]);
  });
});

test("what an acknowledgement says again does not count again", () => {
  const one = sent(10, 12);
  one.take(50, 0, "", { largest: 1, ranges: [0] });
  one.m.loss.timeouts = 2;
  one.take(51, 1, "", { largest: 1, ranges: [0] });
  expect(one.m.loss.timeouts).toBe(2);
});

test("an answer after silence has what waited for long dropped, and one without silence nothing", () => {
  for (const slow of [true, false]) {
    const one = sent(10);
    for (let i = 0; slow && i < 2; i++) {
      one.m.advance(one.m.deadline());
      one.kinds(400 + i);
    }
    one.m.slow = true;
    one.m.loss.probes = 0;
    one.m.outbox.quiet = true;
    one.m.send(500, 1, utf8("old"));
    one.m.send(501, 1, utf8("young"));
    one.take(751, 0, "", { largest: 0, ranges: [0] });
    expect([one.m.channelStats(1).dropped, one.kinds(751)]).toEqual(slow ? [1, ["bare"]] : [0, ["bare bare"]]);
  }
});

describe("a packet is lost", () => {
  test("when one is acknowledged that is three newer", () => {
    const one = sent(10, 10, 10, 10);
    one.take(50, 0, "", { largest: 2, ranges: [0] });
    expect(messages(one, 50)).toEqual([]);
    one.take(51, 1, "", { largest: 3, ranges: [1] });
    expect(messages(one, 51)).toEqual([0]);
  });

  test("when it is an eighth older than a round trip, and that moment is waited for", () => {
    const one = sent(0, 4);
    one.take(44, 0, "", { largest: 1, ranges: [0] });
    expect([messages(one, 44), one.m.deadline()]).toEqual([[], 45]);
    one.m.advance(45);
    expect(messages(one, 45)).toEqual([0]);
    const found = sent(0, 4);
    found.take(44, 0, "", { largest: 1, ranges: [0] });
    found.take(44.5, 1, "", { largest: 1, ranges: [1] });
    expect(found.m.deadline(), "which is not, when the older has arrived").toBe(3044.5);
  });

  test("only if a newer one has arrived", () => {
    const one = sent(0, 1);
    one.take(50, 0, "", { largest: 0, ranges: [0] });
    expect(one.m.deadline(), "when to probe").toBe(1 + 50 + 4 * 25 + 20);
  });

  test("only if it wanted an answer", () => {
    const one = new One({ rate: 1 << 24, ceiling: 1 << 24 });
    one.take(0, 0, ping);
    expect(one.kinds(20)).toEqual(["ack 0"]);
    for (let i = 0; i < 4; i++) {
      one.m.send(30, 2, new Uint8Array(1000));
      expect(one.kinds(30)).toEqual(["message"]);
    }
    one.take(500, 1, "", { largest: 4, ranges: [3] });
    expect(one.m.stats().lossOut).toBe(0);
  });

  test("and when it comes late after all, packets are looked for as far behind", () => {
    const one = sent(10, 10, 10, 10, 10);
    one.take(50, 0, "", { largest: 4, ranges: [3] });
    expect(one.m.loss.threshold).toBe(3);
    one.take(51, 1, "", { largest: 4, ranges: [4] });
    expect(one.m.loss.threshold).toBe(5);
  });

  test("when eight thousand were sent after it, if it is still under way", () => {
    const one = new One({ rate: 1e9, ceiling: 1e9 });
    one.take(0, 0, ping);
    expect(one.kinds(20)).toEqual(["ack 0"]); // packet 0, which need not be acknowledged
    one.m.send(20, 2, new Uint8Array(600)); // packet 1
    one.kinds(20);
    let n = 2;
    const tiny = utf8("x");
    const b = new Uint8Array(maxPacket);
    const more = (to: number): string[] => {
      for (; ; n++) {
        const t = 20 + n / 1000;
        one.m.send(t, 1, tiny);
        if (n === to - 1) return (n++, one.kinds(t));
        while (one.m.append(t, b));
      }
    };
    more(3);
    one.take(20.01, 1, "", { largest: 2, ranges: [0] });
    expect(more(8192), "packet 0 is forgotten").toEqual(["bare"]);
    expect(one.m.stats().lossOut).toBe(0);
    expect([more(8193), one.m.stats().lossOut, one.m.stats().retransmits], "packet 1").toEqual([["bare", "message"], 1 / 64, 1]); // packet 2 has arrived
  });
});

test("numbers of the last link say nothing about packets of the next", () => {
  const one = sent(10, 10, 10, 10, 10, 10);
  one.take(50, 0, "", { largest: 5, ranges: [5] });
  one.m.relink(60, 40);
  for (let i = 0; i < 2; i++) {
    one.m.send(60, 2, new Uint8Array(600));
    expect(one.kinds(60).length).toBe(1);
  }
  one.take(90, 0, "", { largest: 0, ranges: [0] });
  expect([one.kinds(90), one.m.stats().retransmits, one.m.stats().lossOut]).toEqual([[], 0, 0]);
});

test("round trips that get longer and longer lower the rate", () => {
  const rate = (longer: number): number => {
    const one = new One({ rate: 100_000, ceiling: 1 << 20 });
    for (let i = 0; i < 30; i++) {
      const t = i * 1000;
      for (let n = 0; n < 10; n++) one.m.send(t, 2, new Uint8Array(1000));
      one.kinds(t);
      const { next } = (one.m as unknown as { flight: Flight }).flight;
      one.take(t + 50 + i * longer, i, "", { largest: next - 1, ranges: [Math.min(next - 1, 3)] });
    }
    return one.m.stats().rate;
  };
  expect(rate(20)).toBeLessThan(rate(0));
});
