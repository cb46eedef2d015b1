// The engine on a link that neither loses nor reorders: nothing is sent twice, and little is on its way.
import { expect, test } from "vitest";
import { congestion } from "../src/congestion";
import { Link, maxSocket, noTimes } from "../src/link";
import { One, ping } from "./one";

/** An end on a reliable link. */
function reliable(): One {
  const one = new One({ rate: 64 << 20, ceiling: 64 << 20 });
  one.m.relink(0, 40, true);
  return one;
}

test("at most 8 KiB leave before anything is acknowledged, and nothing leaves twice", () => {
  const one = reliable();
  for (let i = 0; i < 20; i++) one.m.send(0, 2, new Uint8Array(3000));
  let bytes = 0;
  for (let t = 0; t < 60_000; t += 60) {
    one.m.advance(t);
    for (const b of one.raw(t)) bytes += b.length;
  }
  expect(bytes).toBeGreaterThanOrEqual(8192);
  expect(bytes).toBeLessThan(8192 + 1150);
  const { retransmits, copies } = one.m.stats();
  expect([retransmits, copies, one.m.deadline()]).toEqual([0, 0, Infinity]);
});

test("an acknowledgement lets as much leave as it covers", () => {
  const one = reliable();
  for (let i = 0; i < 20; i++) one.m.send(0, 2, new Uint8Array(3000));
  let sent = one.raw(1).length;
  for (let t = 2; t < 20; t++) sent += one.raw(t).length;
  expect(one.raw(20)).toEqual([]);
  one.take(21, 0, "", { largest: 3, ranges: [3] });
  let more = 0;
  for (let t = 21; t < 40; t++) more += one.raw(t).length;
  expect([more, one.m.stats().retransmits]).toEqual([4, 0]);
  expect(sent).toBe(9);
});

test("4096 bytes are acknowledged at once, fewer after 20 ms", () => {
  const one = reliable();
  const big = (n: number): void => one.take(n, n, ping.repeat(1000));
  for (let n = 0; n < 4; n++) big(n);
  expect([one.m.deadline(), one.kinds(10)]).toEqual([20, []]);
  big(4);
  expect([one.m.deadline(), one.kinds(10)]).toEqual([4, ["ack 4"]]);
  big(5);
  expect(one.m.deadline(), "the count begins again").toBe(25);
});

test("a gap of acknowledgements is no loss", () => {
  const one = reliable();
  for (let i = 0; i < 6; i++) {
    one.m.send(i, 2, new Uint8Array(10));
    one.raw(i);
  }
  one.take(50, 0, "", { largest: 5, ranges: [0] });
  one.m.advance(500);
  expect([one.raw(500), one.m.stats().lossOut, one.m.stats().retransmits]).toEqual([[], 0, 0]);
});

test("the end is said once, and once more after 1.26 s", () => {
  const one = reliable();
  one.m.close(100, 300, "bye");
  const at: number[] = [];
  for (let t = one.m.deadline(); t < 1e6; t = one.m.deadline()) {
    at.push(t);
    expect(one.raw(t).length).toBe(1);
  }
  expect([at, one.m.closed()]).toEqual([[100, 1360], true]);
});

test("a link that loses again has timeouts again", () => {
  const one = reliable();
  one.m.send(0, 2, new Uint8Array(10));
  one.raw(1);
  expect(one.m.deadline()).toBe(Infinity);
  one.m.relink(2, 40);
  expect(one.raw(3).length).toBe(1);
  expect(one.m.deadline()).toBeLessThan(300);
});

test("the window is what arrives in a round trip and 100 ms, and the rate follows what arrives", () => {
  const c = congestion(0, 1 << 20, 8 << 10, 16 << 20, true);
  expect(c.window(40, 0)).toBe(8192);
  let next = 0;
  for (let t = 1; t < 1000; t += 60) {
    c.sample(t, 50);
    c.limit();
    c.acked(t, next, next + 1, 60_000, 0); // 1 MB a second
    next++;
  }
  expect(c.window(40, 0)).toBeCloseTo(1_000_000 * 0.15, -2);
  expect(c.rate()).toBeCloseTo(1_250_000, -2);
  // One round in which more arrives, because it was held back, does not count.
  c.sample(1021, 50);
  c.acked(1081, next, next + 1, 600_000, 0);
  expect(c.window(40, 0)).toBeLessThan(160_000);
});

test("long round trips do not lower the rate; after 10 s half of what arrives leaves for a moment, and the window stays", () => {
  const c = congestion(0, 1 << 20, 8 << 10, 16 << 20, true);
  let next = 0;
  let least = Infinity;
  const halved: number[] = [];
  for (let t = 1; t < 12_000; t += 60) {
    c.sample(t, t < 100 ? 50 : 400);
    c.limit();
    c.mayLeave(t);
    c.sent(100_000); // more than the pacer has, so ready says when the pacer has one byte again
    const wait = c.ready() - t;
    c.sent(-100_000);
    if (t > 1000 && wait > 150) halved.push(t, Math.round(wait / 10) * 10);
    c.acked(t, next, next + 1, 60_000, 0);
    if (t > 1000) least = Math.min(least, c.window(40, 0));
    next++;
  }
  expect([Math.round(least / 1000), Math.round(c.rate() / 1000)]).toEqual([150, 1250]);
  expect(halved).toEqual([10_141, 200, 10_201, 200, 10_261, 200, 10_321, 200, 10_381, 200]); // for 2 * (50 + 100) ms
});

test("a WebSocket gets no more while its browser holds 4096 bytes", () => {
  const socket = {
    readyState: 1,
    bufferedAmount: 0,
    sent: 0,
    send: () => socket.sent++,
    close: (code: number) => codes.push(code),
  };
  const codes: number[] = [];
  const ended: string[] = [];
  const link = new Link(undefined, socket as unknown as RTCDataChannel, noTimes(), () => {}, "websocket", true);
  link.attach({ datagram() {}, drained() {}, ended: () => ended.push("ended") });
  expect([link.reliable, link.slow(), link.ready(0), link.ready(0, maxSocket - 1)]).toEqual([true, false, true, true]);
  expect(link.ready(0, 1), "what was sent counts").toBe(false);
  socket.bufferedAmount = maxSocket;
  expect([link.ready(5000), link.ready(9000), link.slow()]).toEqual([false, false, false]);
  socket.bufferedAmount = maxSocket - 1;
  expect(link.ready(9001)).toBe(true);
  link.close();
  expect([codes, ended]).toEqual([[1000], []]);
});
