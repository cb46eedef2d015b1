// How a receiver processes pieces: each mode, every reason to refuse, and the limits.
import { expect, test } from "vitest";
import { frameBare, frameFragment, frameMessage, pieceSize } from "../src/frame";
import { type Packet } from "../src/packet";
import { partialAge, Receiver } from "../src/reassembly";
import { channelStats, type DropReason } from "../src/stats";
import { type Channel, full } from "../src/table";

type Frame = Pick<Packet, "kind" | "id" | "index" | "fullSize" | "payload">;
const whole = (id: number, text: string, kind = frameMessage): Frame => ({
  kind,
  id,
  index: 0,
  fullSize: text.length,
  payload: Buffer.from(text),
});
const piece = (id: number, index: number, total: number, fill = id): Frame => ({
  kind: frameFragment,
  id,
  index,
  fullSize: total,
  payload: new Uint8Array(Math.min(pieceSize, total - index * pieceSize)).fill(fill),
});

/** Returns a receiver with what it has delivered and dropped. */
function receiver(mode: Channel["mode"], more: Partial<Channel> = {}, allowed = true) {
  const got: string[] = [];
  const drops: DropReason[] = [];
  const stats = channelStats();
  const note = (b: Uint8Array): unknown =>
    got.push(b.length > 100 ? `${b.length} of ${[...new Set(b)].join()}` : Buffer.from(b).toString());
  const r = new Receiver(full({ name: "x", mode, ...more }), allowed, stats, note, (why) => drops.push(why));
  const take = (f: Frame, t = 0): string => r.receive(t, f as Packet) ?? "taken";
  return { r, got, drops, stats, take };
}

test("unreliable: whole messages come as they are, and large ones when they are complete", () => {
  const { r, got, take, stats } = receiver("unreliable");
  expect([
    take(whole(0, "a", frameBare)),
    take(whole(0, "a", frameBare)),
    take(piece(7, 1, 2000)),
    take(piece(3, 0, 2000)),
  ]).toEqual(["taken", "taken", "taken", "taken"]);
  expect([got, r.bytesHeld]).toEqual([["a", "a"], 2 * 2032]);
  take(piece(7, 1, 2000));
  expect([got.length, stats.duplicates]).toEqual([2, 1]);
  take(piece(7, 0, 2000));
  take(piece(3, 1, 2000));
  expect([got, r.bytesHeld, r.partials.size, stats.messagesIn]).toEqual([["a", "a", "2000 of 7", "2000 of 3"], 0, 0, 4]);
});

test("pieces go where they belong, the last one too", () => {
  const { r, got, take } = receiver("unreliable");
  let body: Uint8Array | undefined;
  Object.assign(r, { message: (b: Uint8Array) => (body = b) });
  for (const i of [2, 0, 1]) take(piece(1, i, 2500, i + 1));
  expect(Buffer.from(body!)).toEqual(Buffer.concat([Buffer.alloc(1024, 1), Buffer.alloc(1024, 2), Buffer.alloc(452, 3)]));
  expect(got).toEqual([]);
});

test("ordered: of a message that is held whole everything more is a duplicate, whatever it says of its length", () => {
  const { r, got, take, stats } = receiver("reliable-ordered");
  take(whole(1, "one"));
  expect([take(whole(1, "one")), take(whole(1, "longer")), take(piece(1, 0, 2000))]).toEqual(["taken", "taken", "taken"]);
  expect([got, stats.duplicates, r.bytesHeld]).toEqual([[], 3, 35]);
  take(whole(0, "zero"));
  expect(got).toEqual(["zero", "one"]);
});

test("sequenced: what is older than one delivered is stale, and so are pieces of it", () => {
  const { r, got, take, stats } = receiver("sequenced");
  take(whole(4, "four"));
  expect(r.base).toBe(5);
  take(whole(4, "four"));
  take(whole(3, "three"));
  take(piece(2, 0, 2000));
  expect([got, stats.stale, r.bytesHeld]).toEqual([["four"], 3, 0]);
  for (const id of [5, 6, 7, 8]) take(piece(id, 0, 2000));
  take(piece(6, 1, 2000));
  expect([got, stats.stale, [...r.partials.keys()], r.bytesHeld, r.base]).toEqual([
    ["four", "2000 of 6"],
    4,
    [7, 8],
    2 * 2032,
    7,
  ]);
  take(whole(7, "seven"));
  expect([stats.stale, [...r.partials.keys()], r.bytesHeld]).toEqual([5, [8], 2032]);
  take(piece(8, 1, 2000));
  expect(got.at(-1)).toBe("2000 of 8");
});

test("reliable and unordered: each comes at once, and once", () => {
  const { r, got, take, stats } = receiver("reliable-unordered");
  take(whole(2, "two"));
  take(piece(1, 1, 2000));
  take(whole(2, "two"));
  take(piece(1, 1, 2000));
  expect([got, stats.duplicates, r.bytesHeld, r.base]).toEqual([["two"], 2, 2032, 0]);
  take(piece(1, 0, 2000));
  expect([got, r.bytesHeld, r.base]).toEqual([["two", "2000 of 1"], 0, 0]);
  take(piece(1, 0, 2000));
  expect([got.length, stats.duplicates]).toEqual([2, 3]);
  take(whole(0, "nil"));
  expect([got, r.base, r.partials.size]).toEqual([["two", "2000 of 1", "nil"], 3, 0]);
  take(whole(0, "nil"));
  take(whole(3, "three"));
  expect([got.at(-1), r.base, stats.duplicates, stats.messagesIn]).toEqual(["three", 4, 4, 4]);
});

test("reliable and ordered: what comes before its turn is held", () => {
  const { r, got, take, stats } = receiver("reliable-ordered");
  take(whole(2, "two"));
  take(piece(1, 0, 2000));
  take(whole(2, "two"));
  expect([got, stats.duplicates, r.bytesHeld]).toEqual([[], 1, 35 + 2032]);
  take(whole(0, "nil"));
  expect([got, r.base]).toEqual([["nil"], 1]);
  take(piece(1, 1, 2000));
  expect([got, r.bytesHeld, r.base, r.partials.size]).toEqual([["nil", "2000 of 1", "two"], 0, 3, 0]);
  take(piece(3, 0, 2000));
  take(whole(4, "four"));
  take(piece(3, 1, 2000));
  expect([got.slice(3), r.base]).toEqual([["2000 of 3", "four"], 5]);
});

test.each(["reliable-unordered", "reliable-ordered"] as const)("%s: what is too far ahead is refused", (mode) => {
  const { r, got, take } = receiver(mode);
  expect(take(whole(4096, "far"))).toBe("window");
  expect([got, r.partials.size]).toEqual([[], 0]);
  expect(take(whole(4095, "near"))).toBe("taken");
  expect(take(whole(0, "nil"))).toBe("taken");
  expect(take(whole(4096, "far"))).toBe("taken");
});

test.each(["reliable-unordered", "reliable-ordered"] as const)(
  "%s: what is over the limit is refused, and what needs no room is not",
  (mode) => {
    const { r, got, take } = receiver(mode, { maxMessage: 2000, queueLimit: 2 * 2032 });
    expect([take(piece(1, 0, 2000)), take(piece(2, 0, 2000)), take(piece(3, 0, 2000))]).toEqual(["taken", "taken", "budget"]);
    expect([r.bytesHeld, r.partials.has(3)]).toEqual([2 * 2032, false]);
    expect(take(whole(4, "four")), "which is held only where it waits").toBe(mode === "reliable-ordered" ? "budget" : "taken");
    expect(take(piece(1, 1, 2000)), "one that has begun goes on").toBe("taken");
    expect(take(whole(0, "nil"))).toBe("taken");
    expect(got.sort()).toEqual(mode === "reliable-ordered" ? ["2000 of 1", "nil"] : ["2000 of 1", "four", "nil"]);
    expect(r.bytesHeld).toBe(2032);
  },
);

test("what is unlike an earlier fragment is refused", () => {
  const reliable = receiver("reliable-ordered");
  reliable.take(piece(1, 0, 2000));
  expect([reliable.take(piece(1, 1, 2001)), reliable.take(whole(1, "one"))]).toEqual(["mismatch", "mismatch"]);
  const { r, take, drops } = receiver("sequenced");
  take(piece(1, 0, 2000));
  expect([take(piece(1, 1, 2001)), drops, r.partials.size]).toEqual(["taken", ["mismatch"], 1]);
});

test("what a channel does not take", () => {
  expect(receiver("unreliable", {}, false).take(whole(0, "a", frameBare))).toBe("direction");
  expect(receiver("unreliable").take(whole(0, "a"))).toBe("kind");
  for (const mode of ["sequenced", "reliable-ordered"] as const)
    expect(receiver(mode).take(whole(0, "a", frameBare))).toBe("kind");
  const { take, got } = receiver("unreliable", { maxMessage: 3 });
  expect([take(whole(0, "abcd", frameBare)), take(whole(0, "abc", frameBare)), got]).toEqual(["too-large", "taken", ["abc"]]);
});

test("of incomplete messages the oldest makes room, by their number and by their bytes", () => {
  const many = receiver("unreliable");
  for (let id = 0; id < 33; id++) many.take(piece(id, 0, 1025));
  expect([many.drops, many.r.partials.size, [...many.r.partials.keys()][0], many.r.bytesHeld]).toEqual([
    ["evicted"],
    32,
    1,
    32 * 1057,
  ]);
  many.take(piece(0, 1, 1025));
  expect(many.got, "its other piece came too late").toEqual([]);
  const large = receiver("unreliable", { maxMessage: 4064, queueLimit: 4096 });
  for (const id of [1, 2]) large.take(piece(id, 0, 2016));
  expect([large.drops, large.r.bytesHeld]).toEqual([[], 4096]);
  large.take(piece(3, 0, 1025));
  expect([large.drops, [...large.r.partials.keys()], large.r.bytesHeld]).toEqual([["evicted"], [2, 3], 2048 + 1057]);
  large.take(piece(4, 0, 4064));
  expect([large.drops.length, [...large.r.partials.keys()]]).toEqual([3, [4]]);
});

test("incomplete messages that are too old are given up, reliable ones never", () => {
  const { r, drops, take } = receiver("sequenced");
  expect(r.age(0)).toBe(Infinity);
  take(piece(1, 0, 2000), 100);
  take(piece(2, 0, 2000), 200);
  take(piece(1, 0, 2000), 900); // the first counts
  expect([r.age(100 + partialAge - 1), drops]).toEqual([100 + partialAge, []]);
  expect([r.age(100 + partialAge), drops, r.bytesHeld]).toEqual([200 + partialAge, ["aged"], 2032]);
  expect([r.age(1e6), drops.length, r.bytesHeld, r.partials.size]).toEqual([Infinity, 2, 0, 0]);
  const reliable = receiver("reliable-unordered");
  reliable.take(piece(1, 0, 2000), 100);
  expect([reliable.r.age(1e6), reliable.drops, reliable.r.bytesHeld]).toEqual([Infinity, [], 2032]);
});

test("what comes too late counts as stale where it may be lost and where the peer may send", () => {
  const late = (mode: Channel["mode"], allowed = true): [boolean, number] => {
    const { r, stats } = receiver(mode, {}, allowed);
    return [r.outdated(), stats.stale];
  };
  expect(late("unreliable")).toEqual([true, 1]);
  expect(late("sequenced")).toEqual([true, 1]);
  expect(late("unreliable", false)).toEqual([false, 0]);
  expect(late("reliable-ordered")).toEqual([false, 0]);
});

test("one that goes on in the next page counts what it has", () => {
  const { r, got, take } = receiver("reliable-ordered");
  r.add(0, 0, new Uint8Array(2500).fill(9), [true, false, true]);
  expect(r.bytesHeld).toBe(2532);
  take(piece(0, 1, 2500, 9));
  expect([got, r.bytesHeld]).toEqual([["2500 of 9"], 0]);
});
