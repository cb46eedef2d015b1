// Received, compared with a set of all numbers that have arrived.
import { expect, test } from "vitest";
import { Received } from "../src/ack";
import { maxRanges } from "../src/packet";
import { Writer } from "../src/varint";
import { random } from "./sim";

const window = 4096;

/** Returns the ranges of an ack block for the numbers from low to below next, newest first. */
function ranges(came: Set<number>, low: number, next: number): number[] {
  const runs: number[] = [];
  let last = true;
  for (let n = next - 1, start = n; n >= low - 1; n--) {
    if (n >= low && came.has(n) === last) continue;
    if (n >= low || last) runs.push(start - n - 1); // missing packets at the end are not in the block
    last = !last;
    start = n;
  }
  return runs.slice(0, 2 * maxRanges - 1);
}

for (const [loss, late] of [
  [0, 0],
  [0.02, 0],
  [0.3, 0],
  [0, 0.2],
  [0.1, 0.1],
  [0.9, 0],
] as const) {
  test(`ack blocks tell what came: ${loss} lost, ${late} late`, () => {
    const chance = random(1);
    const received = new Received();
    const came = new Set<number>();
    const held: number[] = [];
    let told = 0;
    const take = (t: number, n: number): void => {
      const next = received.next;
      expect(received.fresh(n), `${n} of ${next}`).toBe(n >= next || (next - n <= window && !came.has(n)));
      if (!received.fresh(n)) return;
      received.mark(t, n, true);
      came.add(n);
      told = Math.min(told, n);
    };
    for (let n = 0; n < 3 * window; n++) {
      if (chance() < loss) continue;
      if (chance() < late) held.push(n);
      else take(n, n);
      if (chance() < late) for (const old of held.splice(0, 3)) take(n, old);
      take(n, Math.floor(chance() * (n + 1))); // a packet again, or one that was lost
      if (n % 29 || !received.eliciting) continue;
      const w = new Writer();
      w.b = new Uint8Array(1150);
      received.append(w, n, 1100);
      received.said();
      expect(received.ranges).toEqual(ranges(came, Math.max(told, received.next - window), received.next));
      if (chance() > 0.02) continue;
      const said = Math.max(0, received.next - Math.floor(chance() * 100));
      received.confirmed(said);
      told = Math.max(told, said);
    }
  });
}

test("of numbers the last 4096 are known, and older ones count as known", () => {
  const received = new Received();
  received.mark(0, 5000, true);
  expect([905, 904, 5000, 5001].map((n) => received.fresh(n))).toEqual([true, false, false, true]);
  received.mark(0, 905, true);
  expect(received.fresh(905)).toBe(false);
});

/** Returns the ranges of the next ack block, which is then sent. */
function told(received: Received): number[] {
  const w = new Writer();
  w.b = new Uint8Array(1150);
  received.append(w, 0, 1100);
  received.said();
  return received.ranges;
}

test("32 ranges are told at most, and what the peer knows is not told again", () => {
  const received = new Received();
  for (let n = 0; n < 200; n += 2) received.mark(0, n, true);
  expect(received.eliciting).toBe(100);
  expect(told(received)).toEqual(Array(63).fill(0));
  expect([received.eliciting, received.due]).toEqual([0, Infinity]);
  received.confirmed(199);
  received.mark(0, 200, true);
  expect(told(received)).toEqual([0]);
});

test("what comes late is news, though the peer knows already what came after it", () => {
  const received = new Received();
  for (const n of [0, 1, 2, 4]) received.mark(0, n, true);
  told(received);
  received.confirmed(5);
  received.mark(0, 3, true);
  expect(told(received)).toEqual([1]);
});

test("the share of losses is measured over 64 numbers, without what is later still", () => {
  const received = new Received();
  for (let n = 0; n < 63; n += 2) received.mark(0, n, true);
  expect(received.loss).toBe(0);
  received.mark(0, 63, true);
  const first = (1 - 33 / 64) / 4;
  expect(received.loss).toBe(first);
  received.mark(0, 1, true);
  for (let n = 64; n < 127; n++) received.mark(0, n, true);
  expect(received.loss).toBe(first);
  received.mark(0, 127, true);
  expect(received.loss).toBe(first - first / 4);
  for (let n = 128; n < 192; n++) if (n !== 130) received.mark(0, n, true);
  expect(received.loss).toBe(first - first / 4 + (1 / 64 - (first - first / 4)) / 4);
});

test("what comes late is told, though the peer knows by then of all that came before it", () => {
  const received = new Received();
  const w = new Writer();
  w.b = new Uint8Array(1150);
  for (const n of [0, 1, 2, 4]) received.mark(0, n, true);
  received.append(w, 0, 1100);
  received.said();
  received.mark(0, 3, true);
  received.confirmed(5);
  received.append(w, 0, 1100);
  expect(received.ranges).toEqual([1]);
  received.said();
  received.confirmed(5);
  received.mark(0, 5, true);
  received.append(w, 0, 1100);
  expect(received.ranges).toEqual([0]);
});
