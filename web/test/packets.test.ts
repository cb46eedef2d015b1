// One end of a link, packet by packet: its packets, its counters and its deadlines.
import { describe, expect, test } from "vitest";
import { appendClose } from "../src/frame";
import { cut } from "../src/mux";
import { maxPacket } from "../src/packet";
import { Writer } from "../src/varint";
import { utf8 } from "./bytes";
import { bare, One, ping } from "./one";

describe("what comes", () => {
  test("is no packet if it is larger than one", () => {
    const empty = bare(1, "");
    const one = new One();
    const largest = bare(1, "x") + empty.repeat((maxPacket - 6) / 2); // after a header of 3 bytes
    one.take(0, 0, largest);
    const { length } = one.events;
    expect([length, one.m.stats().bytesIn, one.drops()]).toEqual([573, maxPacket, []]);
    one.take(1, 1, largest.replace(bare(1, "x"), bare(1, "xx")));
    expect([one.events.length, one.drops()]).toEqual([length, ["malformed"]]);
  });

  test("is counted, and so is what is not used", () => {
    const one = new One();
    one.take(5, 0, bare(1, "hi"));
    expect([one.events, one.m.stats().packetsIn, one.m.stats().bytesIn, one.m.heard]).toEqual([[[1, "hi"]], 1, 7, 5]);
    one.take(6, 0, bare(1, "hi"));
    one.m.receive(6, Uint8Array.of(1, 2));
    one.take(6, 1, ping, { largest: 3, ranges: [0] });
    expect([one.drops(), one.m.stats().packetsIn, one.m.heard]).toEqual([["duplicate", "malformed", "ack"], 1, 5]);
    one.take(7, 1, bare(9, "hi"));
    one.take(7, 1, bare(3, "hi") + bare(1, "ho"));
    expect(one.drops().slice(3)).toEqual(["unknown-channel", "refused", "refused", "direction"]);
    expect([one.events.length, one.m.stats().packetsIn]).toEqual([2, 3]);
    one.take(8, 1, "2a00" + bare(1, "x"));
    expect([one.drops().at(-1), one.events.length], "one that is not known is skipped").toEqual(["unknown-frame", 3]);
  });

  test("goes by the direction of its channel, at both ends", () => {
    for (const server of [false, true]) {
      const one = new One({ mine: server ? "to-client" : "to-server" });
      for (const [i, ch] of [3, 4].entries()) one.take(0, i, bare(ch, "x"));
      expect(one.events).toEqual([[server ? 3 : 4, "x"]]);
      expect(() => one.m.send(0, server ? 3 : 4, utf8("x"))).toThrow("only the server sends on it");
      one.m.send(0, server ? 4 : 3, utf8("x"));
    }
  });

  test("is acknowledged after 20 ms, or at once when something is missing, or with what leaves anyway", () => {
    const one = new One();
    one.take(100, 0, ping);
    expect([one.m.deadline(), one.kinds(119)]).toEqual([120, []]);
    expect([one.kinds(120), one.kinds(121), one.m.stats().packetsOut, one.m.stats().bytesOut]).toEqual([["ack 0"], [], 1, 7]);
    one.take(130, 1, ping);
    one.m.send(131, 1, utf8("x"));
    expect(one.kinds(131)).toEqual(["ack 1 bare"]);
    one.take(140, 3, ping);
    expect([one.m.deadline(), one.kinds(140)]).toEqual([140, ["ack 3"]]);
    one.take(150, 4, "00"); // padding need not be acknowledged
    expect(one.kinds(1000)).toEqual([]);
  });

  test("says how late the acknowledgement is", () => {
    const one = new One();
    one.take(100, 0, ping);
    expect(one.out(120)[0]!.ack).toEqual({ largest: 0, delay: Math.floor(20 / 0.256), first: 0 });
  });
});

describe("acknowledgements", () => {
  const sent = (n: number, gap = 10): One => {
    const one = new One();
    for (let i = 0; i < n; i++) {
      one.m.send(gap * i, 2, new Uint8Array(100).fill(i));
      one.kinds(gap * i);
    }
    return one;
  };

  test("measure the round trip, less the peer's delay, by the newest packet", () => {
    const one = sent(2); // at 0 and at 10
    one.take(60, 0, "", { largest: 1, delay: 0, ranges: [1] });
    expect(one.m.stats().rtt).toBe(50);
    one.m.send(100, 2, utf8("x"));
    one.kinds(100);
    one.take(190, 1, "", { largest: 2, delay: 100, ranges: [2] }); // 25.6 ms of delay
    expect(one.m.stats().rtt).toBeCloseTo((7 * 50 + 90 - 25.6) / 8);
    one.m.send(200, 2, utf8("x"));
    one.kinds(200);
    one.take(330, 2, "", { largest: 3, delay: 1000, ranges: [0] }); // limited to twice the longest wait of a peer
    expect(one.m.stats().rtt).toBeCloseTo((7 * ((7 * 50 + 64.4) / 8) + 90) / 8);
  });

  test("of what was never sent are refused", () => {
    const one = sent(2);
    one.take(50, 0, "", { largest: 2, ranges: [0] });
    one.take(50, 0, "", { largest: 1, ranges: [2] });
    expect([one.drops(), one.m.outbox.settled()]).toEqual([["ack", "ack"], false]);
    one.take(50, 0, "", { largest: 1, ranges: [1] });
    expect([one.drops().length, one.m.outbox.settled(), one.m.deadline()]).toEqual([2, true, 3050]);
  });

  test("of ranges leave out what is missing, and three newer ones make it lost", () => {
    const one = sent(5, 0);
    one.take(60, 0, "", { largest: 4, ranges: [0, 1, 0] }); // 4, and 1; 3, 2 and 0 are missing
    const again = one.out(60).flatMap((p) => p.frames.map((f) => f.id ?? 0));
    expect([again, one.m.stats().retransmits], "and the others are sent with it").toEqual([[0, 3, 2], 1]);
    one.take(65, 1, "", { largest: 4, ranges: [2] });
    expect(one.m.outbox.senders[2]!.waiting.length).toBe(5); // ordered: 0 has not arrived
  });

  test("of a newer packet make one lost that is older than a round trip and an eighth", () => {
    const one = new One();
    for (const t of [0, 50]) {
      one.m.send(t, 2, utf8("x"));
      one.kinds(t);
    }
    one.take(90, 0, "", { largest: 1, ranges: [0] }); // after 40 ms: 45 are allowed
    expect(one.m.stats().retransmits).toBe(0);
    expect(one.kinds(90)).toEqual(["message"]);
    const young = new One();
    for (const t of [0, 5]) {
      young.m.send(t, 2, utf8("x"));
      young.kinds(t);
    }
    young.take(44, 0, "", { largest: 1, ranges: [0] }); // a round trip of 39: 43.875
    expect(young.kinds(44)).toEqual(["message"]);
    const younger = new One();
    for (const t of [0, 5]) {
      younger.m.send(t, 2, utf8("x"));
      younger.kinds(t);
    }
    younger.take(43, 0, "", { largest: 1, ranges: [0] }); // a round trip of 38: 42.75
    expect(younger.kinds(43)).toEqual(["message"]);
    const youngest = new One();
    for (const t of [0, 20]) {
      youngest.m.send(t, 2, utf8("x"));
      youngest.kinds(t);
    }
    youngest.take(100, 0, "", { largest: 1, ranges: [0] }); // a round trip of 80: 90
    expect(youngest.kinds(100)).toEqual(["message"]);
  });

  test("that come late take back that a packet was lost, and make the end look further behind", () => {
    const one = sent(5);
    one.take(60, 0, "", { largest: 4, ranges: [0] });
    const before = one.m.stats().lossOut;
    expect(before).toBeGreaterThan(0);
    one.take(61, 1, "", { largest: 4, ranges: [4] });
    expect([one.m.outbox.settled(), one.kinds(61)]).toEqual([true, []]);
    expect(one.m.stats().lossOut).toBeLessThan(before);
  });
});

describe("silence", () => {
  test("of an idle link ends with a ping, which waits for its answer", () => {
    const one = new One({ keepAlive: 3000 });
    expect(one.m.deadline()).toBe(3000);
    one.m.advance(2999);
    expect(one.kinds(2999)).toEqual([]);
    one.m.advance(3000);
    expect(one.kinds(3000)).toEqual(["ping"]);
    expect(one.m.deadline()).toBe(3000 + 40 + 4 * 20 + 20);
    one.take(3040, 0, "", { largest: 0, ranges: [0] });
    expect(one.m.deadline()).toBe(6040);
  });

  test("after a message has its content sent again, oldest and newest", () => {
    const one = new One();
    for (const name of [1, 2, 3]) {
      one.m.send(0, 2, new Uint8Array(1000).fill(name));
      one.kinds(10 * name);
    }
    expect(one.m.deadline()).toBe(30 + 140);
    one.m.advance(169);
    expect(one.kinds(169)).toEqual([]);
    one.m.advance(170);
    expect(one.out(170).flatMap((p) => p.frames.map((f) => Number.parseInt(f.payload!.slice(0, 2), 16)))).toEqual([1, 3]);
    expect(one.m.stats().retransmits).toBe(2);
  });

  test("after what nobody would miss is a ping", () => {
    const one = new One();
    one.m.send(0, 1, utf8("x"));
    one.kinds(0);
    one.m.advance(140);
    expect(one.kinds(140)).toEqual(["ping"]);
  });

  test("of two timeouts drops what is old, and an answer ends it", () => {
    const one = new One();
    one.m.send(0, 2, utf8("x"));
    one.kinds(0);
    one.m.slow = true;
    one.m.advance(140);
    one.kinds(140);
    one.m.send(150, 1, utf8("young"));
    expect(one.kinds(150)).toEqual(["bare"]);
    one.m.advance(150 + 210);
    one.kinds(360);
    one.m.send(361, 1, utf8("waits"));
    expect(one.kinds(361), "for nobody answers").toEqual([]);
    one.m.advance(361 + 251);
    expect(one.m.channelStats(1)).toMatchObject({ messagesOut: 1, dropped: 1 });
    one.m.send(613, 1, utf8("fresh"));
    one.take(620, 0, "", { largest: 1, ranges: [0] });
    expect(one.kinds(620).join(" ")).toContain("bare");
  });
});

describe("a page that slept", () => {
  test("asks, and takes nothing unreliable before there is an answer to that", () => {
    const one = new One();
    one.m.send(0, 2, utf8("x"));
    one.kinds(0);
    one.m.slept(5000);
    expect([one.m.answered(5000), one.m.answered(0)]).toEqual([false, false]);
    one.take(5000, 0, bare(1, "old"));
    one.take(5001, 1, "", { largest: 0, ranges: [0] });
    expect([one.events, one.m.channelStats(1).stale, one.m.stats().rtt]).toEqual([[], 1, 40]);
    expect(one.kinds(5002)).toEqual(["ack 1 ping"]);
    one.take(5050, 2, bare(1, "new"), { largest: 1, ranges: [0] });
    expect([one.events, one.m.answered(5000), one.m.stats().rtt]).toEqual([[[1, "new"]], true, 48]);
  });
});

describe("somebody who is up anyway", () => {
  test("takes an acknowledgement along that is due within 5 ms, and is told when the next will be", () => {
    const one = new One();
    one.take(80, 0, ping);
    one.kinds(100);
    one.take(130, 1, ping); // 50 after the one before; due at 150
    expect([one.m.hasten(145), one.kinds(145)]).toEqual([Infinity, []]);
    expect([one.m.hasten(146), one.kinds(146)]).toEqual([130 + 50 - 2.5 + 20, ["ack 1"]]);
    one.take(150, 2, ping);
    expect(one.m.hasten(169)).toBe(169 + 20 + Math.max(0, 150 + 20 - 2.5 - 169));
    const none = new One();
    expect(none.m.hasten(0)).toBe(Infinity);
  });
});

describe("the end", () => {
  test("is said six times, further and further apart, until there is an answer", () => {
    const one = new One();
    one.m.close(100, 300, "bye");
    one.m.close(100, 301, "again");
    const at: number[] = [];
    for (let t = one.m.deadline(); t < 1e6; t = one.m.deadline()) {
      at.push(t);
      expect(one.out(t)[0]!.frames).toEqual([{ kind: "close", code: 300, payload: Buffer.from("bye").toString("hex") }]);
    }
    expect([at, one.m.closed(), one.events]).toEqual([[100, 120, 160, 240, 400, 720], true, []]);
    const told = new One();
    told.m.close(0, 300, "");
    told.kinds(0);
    expect([told.m.closed(), told.m.deadline(), told.kinds(19)]).toEqual([false, 20, []]);
    told.take(10, 0, "", { largest: 0, ranges: [0] });
    expect([told.m.closed(), told.m.deadline()]).toEqual([true, Infinity]);
  });

  test("is sent again over a new link", () => {
    const one = new One();
    one.m.close(0, 300, "");
    one.kinds(0);
    one.m.relink(5, 40);
    expect([one.m.deadline(), one.kinds(5), one.m.stats().links]).toEqual([5, ["close"], 1]);
  });

  test("says what it gives up, both ways, and takes nothing more", () => {
    const one = new One();
    one.m.send(0, 2, new Uint8Array(300));
    one.take(0, 0, "8200" + "00" + "d00f" + "00".repeat(1024)); // the first of two fragments of 2000 bytes
    expect([one.m.stats().queued, one.m.stats().held]).toEqual([332, 2032]);
    one.m.close(0, 300, "");
    expect([one.m.stats().queued, one.m.stats().held, one.m.givenUp]).toEqual([0, 0, 300]);
    expect(one.kinds(0)).toEqual(["ack 0 extension close"]);
    expect(() => one.m.send(0, 2, utf8("x"))).toThrow("the session has ended");
    one.take(1, 1, bare(1, "x"));
    expect([one.drops(), one.events]).toEqual([["closed"], []]);
    one.m.advance(1e6);
    expect(one.m.stats().packetsOut).toBe(1);
  });

  test("by the peer is told once, and answered at once", () => {
    const one = new One();
    const frames = (code: number): string => {
      const w = new Writer();
      w.b = new Uint8Array(100);
      appendClose(w, code, utf8("bye"));
      return Buffer.from(w.b.slice(0, w.n)).toString("hex");
    };
    one.take(100, 0, "2002ac02" + frames(300)); // gives up 300 bytes
    expect([one.events, one.m.closed(), one.m.deadline(), one.kinds(100)]).toEqual([[[300, "bye", 300]], true, 100, ["ack 0"]]);
    one.take(120, 1, "200105" + frames(301));
    expect([one.events.length, one.m.deadline(), one.kinds(120), one.m.deadline()]).toEqual([1, 120, ["ack 1"], Infinity]);
    one.m.close(130, 302, "");
    expect([one.kinds(130), one.m.deadline()]).toEqual([[], Infinity]);
    const odd = new One();
    odd.take(0, 0, "2000" + frames(300)); // does not say how much it gives up
    expect([odd.events, odd.drops()]).toEqual([[[300, "bye", 0]], ["unknown-frame"]]);
  });

  test("has a reason of 256 bytes at most, in whole characters", () => {
    expect([cut("é", 1).length, Buffer.from(cut("aé", 3)).toString(), cut("abc", 2).length]).toEqual([0, "aé", 2]);
    const one = new One();
    one.m.close(0, 1, "é".repeat(200));
    expect(one.out(0)[0]!.frames[0]!.payload!.length / 2).toBe(256);
  });
});

test("a new link begins with new numbers, the guess of a round trip, and what was not acknowledged", () => {
  const one = new One();
  one.m.send(0, 2, utf8("x"));
  one.m.send(0, 1, utf8("y"));
  expect(one.kinds(0)).toEqual(["bare message"]);
  one.take(20, 0, ping);
  one.m.relink(30, 77);
  expect([one.m.stats().rtt, one.m.stats().links, one.m.heard]).toEqual([77, 1, 30]);
  const [p] = one.out(30);
  expect([p!.number, p!.ack, p!.frames.map((f) => f.kind)]).toEqual([0, undefined, ["message"]]);
});

test("nothing of the last link counts on the next: no ping, no round trip, no sleep", () => {
  const one = new One({ keepAlive: 1000 });
  one.m.send(0, 2, utf8("x"));
  one.kinds(500);
  one.take(540, 0, "", { largest: 0, ranges: [0] });
  one.m.advance(1540);
  one.m.slept(1550);
  one.m.relink(1600, 40);
  expect([one.m.answered(0), one.kinds(1600), one.m.deadline()]).toEqual([false, [], 2600]);
  one.take(1610, 0, bare(1, "hi"));
  expect(one.events, "which cannot have waited on the old link").toEqual([[1, "hi"]]);
});

test("an acknowledgement of packets that carried an end of what was known", () => {
  const one = new One();
  for (const n of [0, 1, 2]) one.take(0, n, ping);
  one.m.send(0, 2, utf8("x"));
  expect(one.out(0)[0]!.ack).toEqual({ largest: 2, delay: 0, first: 2 });
  one.take(40, 3, ping, { largest: 0, ranges: [0] });
  expect(one.out(60)[0]!.ack).toMatchObject({ largest: 3, first: 0 }); // the peer knows the others
});

test("the peer's end leaves nothing to say or to hold", () => {
  const one = new One();
  one.m.send(0, 2, new Uint8Array(300));
  one.take(0, 0, "8200" + "00" + "d00f" + "00".repeat(1024));
  one.take(0, 1, "020000");
  expect([one.m.stats().queued, one.m.stats().held, one.m.givenUp, one.m.receivers[2]!.partials.size]).toEqual([0, 0, 300, 0]);
});

test("incomplete messages that are too old go when it is their time", () => {
  const one = new One({ keepAlive: Infinity });
  one.take(0, 0, "8105" + "00" + "d00f" + "00".repeat(1024));
  one.kinds(20);
  expect([one.m.stats().held, one.m.deadline()]).toEqual([2032, 3000]);
  one.m.advance(2999);
  expect(one.m.stats().held).toBe(2032);
  one.m.advance(3000);
  expect([one.m.stats().held, one.m.deadline(), one.drops()]).toEqual([0, Infinity, ["aged"]]);
});
