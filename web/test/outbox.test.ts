// Which piece is sent when, and the fate of messages: packet by packet, without a link.
import { describe, expect, test } from "vitest";
import { type MessageOptions, Outbox } from "../src/outbox";
import { appendHeader } from "../src/packet";
import { Flight, type SentPacket } from "../src/sent";
import { type Channel, full } from "../src/table";
import { Writer } from "../src/varint";
import { view } from "./view";

type Line = Partial<Channel> & Pick<Channel, "mode">;

/** An outbox; a test takes its packets one at a time. Messages are named by their fill. */
class Box {
  readonly o = new Outbox();
  readonly fates: string[] = [];
  readonly flight = new Flight();
  private readonly w = new Writer();

  constructor(...lines: Line[]) {
    this.w.b = new Uint8Array(1150);
    this.o.open(full({ name: "control", mode: "reliable-ordered" }), true);
    lines.forEach((c, i) => this.o.open(full({ name: `c${i + 1}`, ...c }), c.direction !== "to-client"));
  }

  /** Sends a message of size bytes, and notes its fate. */
  send(ch: number, name: number, size = 10, t = 0, more: MessageOptions = {}): void {
    this.o.send(t, ch, new Uint8Array(size).fill(name), {
      receipt: (fate, sent) => this.fates.push(`${name} ${fate}${sent ? "" : " unsent"}`),
      ...more,
    });
  }

  /** Sends a message without a receipt. */
  quiet(ch: number, name: number, size = 10, t = 0): void {
    this.o.send(t, ch, new Uint8Array(size).fill(name));
  }

  /** Returns the next packet, with room for space bytes, and the names of its pieces: "3", or "3.1" for a fragment. */
  packet(t = 0, space = 1100, copies?: { overdue: number; loss: number; only?: boolean }): [SentPacket, string] {
    const p = this.flight.open(t);
    this.w.n = 0;
    appendHeader(this.w, p.number);
    const end = this.w.n + space;
    if (!copies?.only) this.o.fill(this.w, end, t, p);
    if (copies) this.o.repeat(this.w, end, copies.overdue, p, copies.loss);
    p.eliciting = true;
    this.flight.push(p);
    const frames = this.w.n > 3 ? view(this.w.b.slice(0, this.w.n))!.frames : [];
    return [
      p,
      frames
        .map((f) => Number.parseInt(f.payload!.slice(0, 2), 16) + (f.kind === "fragment" ? `.${f.index ?? 0}` : ""))
        .join(" "),
    ];
  }

  said(t = 0, space = 1100): string {
    return this.packet(t, space)[1];
  }
}

describe("which piece goes next", () => {
  test("priority is strict", () => {
    const b = new Box(
      { mode: "unreliable", priority: 3 },
      { mode: "unreliable", priority: 1 },
      { mode: "unreliable", priority: 2 },
    );
    for (const ch of [1, 2, 3]) for (const n of [0, 1]) b.quiet(ch, 10 * ch + n);
    expect(b.said()).toBe("20 21 30 31 10 11");
    expect([b.said(), b.o.hasWork(0), b.o.hasWork(0)]).toEqual(["", false, false]);
  });

  test("channels of one priority share by weight", () => {
    const b = new Box({ mode: "unreliable", weight: 3 }, { mode: "unreliable", weight: 1 });
    for (let i = 0; i < 40; i++) for (const ch of [1, 2]) b.quiet(ch, ch, 100);
    const sent = [0, 0, 0];
    for (let i = 0; i < 4; i++) for (const name of b.said(0, 900).split(" ")) sent[Number(name)]!++;
    expect(sent).toEqual([0, 24, 8]);
  });

  test("a channel that was idle gets no more than its share for that", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "unreliable" });
    b.quiet(2, 2, 100);
    for (let i = 0; i < 20; i++) b.quiet(1, 1, 100);
    b.said();
    expect([b.o.hasWork(0), b.o.hasWork(0)]).toEqual([true, true]);
    for (let i = 0; i < 10; i++) b.quiet(2, 2, 100);
    const names = b.said(0, 850).split(" ");
    expect(names.filter((n) => n === "1").length).toBeGreaterThanOrEqual(3);
  });

  test("what does not fit lets smaller ones pass, and is noted", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "unreliable", priority: 1 });
    b.quiet(1, 1, 600);
    b.quiet(2, 2, 50);
    expect([b.said(0, 614), b.o.backlog], "600 bytes take 615 at most").toEqual(["2", true]);
    expect([b.said(0, 615), b.o.backlog]).toEqual(["1", false]);
  });

  test("a guaranteed share goes before priority, and what is beyond it waits its turn", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "unreliable", priority: 7, guarantee: 10_000 });
    for (let i = 0; i < 30; i++) for (const ch of [1, 2]) b.quiet(ch, ch, 500, 1000);
    const order = Array.from({ length: 8 }, () => b.said(1000)).join(" ");
    expect(order).toBe("2 2 2 2 2 1 1 1 1 1 1 1 1 1 1 1"); // a quarter of a second: 2500 bytes
    b.said(1000);
    expect(b.said(1100), "a tenth of a second later").toBe("2 2");
    expect(b.said(1100)).toBe("1 1");
  });

  test("fragments of a message leave in order, and others in between", () => {
    const b = new Box({ mode: "reliable-ordered", priority: 1 }, { mode: "unreliable" });
    b.send(1, 1, 2500);
    expect(b.said()).toBe("1.0");
    b.quiet(2, 2);
    expect([b.said(), b.said()]).toEqual(["2 1.1", "1.2"]);
  });

  test("unreliable messages wait while nobody answers", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "reliable-ordered" });
    b.quiet(1, 1);
    b.send(2, 2);
    b.o.quiet = true;
    expect([b.o.hasWork(0), b.said(), b.o.hasWork(0)]).toEqual([true, "2", false]);
    b.o.quiet = false;
    expect([b.o.hasWork(0), b.said()]).toEqual([true, "1"]);
  });

  test("a reliable channel sends no message that is 4096 beyond one that has not arrived", () => {
    const b = new Box({ mode: "reliable-unordered" });
    const s = b.o.senders[1]!;
    b.send(1, 1);
    const [first] = b.packet();
    s.nextID = 4095; // the earlier messages have arrived
    b.send(1, 2);
    b.send(1, 3);
    expect([b.said(), s.queue.length]).toEqual(["2", 1]);
    b.o.acked(first);
    expect(b.said()).toBe("3");
    const free = new Box({ mode: "unreliable" });
    for (const name of [1, 2]) free.send(1, name);
    free.said(0, 25);
    free.o.senders[1]!.nextID = 5000;
    expect(free.said()).toBe("2");
  });
});

describe("the fate of messages", () => {
  test("receipts: delivered, lost, and of fragments when all or the first is known", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "reliable-unordered" });
    b.send(1, 1, 2000);
    b.send(1, 2, 2000);
    b.send(2, 3, 2000);
    const [p0, p1, p2, p3, p4, p5] = Array.from({ length: 6 }, () => b.packet()) as [SentPacket, string][];
    expect([p0, p1, p2, p3, p4, p5].map((p) => p![1])).toEqual(["1.0", "3.0", "1.1", "3.1", "2.0", "2.1"]);
    b.o.acked(p0![0]);
    b.o.acked(p3![0]);
    expect(b.fates).toEqual([]);
    b.o.acked(p2![0]);
    b.o.lost(p4![0]);
    expect(b.fates).toEqual(["1 delivered", "2 lost"]);
    b.o.lost(p5![0]);
    b.o.lost(p1![0]);
    expect([b.o.settled(), b.o.senders[2]!.lost]).toEqual([false, 1]);
    const [again, names] = b.packet();
    expect([names, b.o.retransmits, b.o.senders[2]!.lost]).toEqual(["3.0", 1, 0]);
    b.o.acked(again);
    expect([b.fates, b.o.settled()]).toEqual([["1 delivered", "2 lost", "3 delivered"], true]);
    expect(b.o.senders.map((s) => [s.cost, s.waiting.length, s.queue.length])).toEqual([
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
    ]);
  });

  test("a piece that arrives after all is not sent again", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1);
    const [p] = b.packet();
    b.o.lost(p);
    expect(b.o.hasWork(0)).toBe(true);
    b.o.acked({ ...p, pieces: b.o.senders[1]!.waiting[0]!.pieces });
    expect([b.fates, b.o.senders[1]!.lost, b.said()]).toEqual([["1 delivered"], 0, ""]);
  });

  test("only the newest packet that a piece was in says that it is lost", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1);
    const [old] = b.packet();
    const carried = { ...old, pieces: [...old.pieces] };
    expect(b.o.again(old)).toBe(true);
    expect(b.o.again(old)).toBe(false);
    const [young, names] = b.packet();
    expect(names).toBe("1");
    b.o.lost(carried);
    expect([b.o.senders[1]!.lost, b.said()]).toEqual([0, ""]);
    b.o.lost(young);
    expect(b.said()).toBe("1");
  });

  test("a new link has all that was under way sent again, in whichever packet", () => {
    const b = new Box({ mode: "reliable-ordered" }, { mode: "unreliable" });
    b.send(1, 1);
    b.send(2, 2);
    const [p] = b.packet();
    b.packet(0, 1100, { overdue: -1, loss: 0.5 }); // with a copy of 1
    b.o.forgotten(p);
    expect(b.fates).toEqual(["2 lost"]);
    expect(b.said()).toBe("1");
  });

  test("ordered messages count until those before them have arrived", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1);
    const [p1] = b.packet();
    b.send(1, 2);
    const [p2] = b.packet();
    b.o.acked(p2);
    expect([b.fates, b.o.senders[1]!.cost, b.o.unsettled(), b.o.settled()]).toEqual([["2 delivered"], 2 * 42, 20, false]);
    b.o.acked(p1);
    expect([b.fates, b.o.senders[1]!.cost, b.o.unsettled(), b.o.settled()]).toEqual([["2 delivered", "1 delivered"], 0, 0, true]);
  });

  test("a deadline drops what waits, from the first on, but no reliable message that was sent in part", () => {
    const b = new Box({ mode: "reliable-ordered" }, { mode: "unreliable", priority: 1 });
    b.send(1, 1, 2000, 0, { deadline: 100 });
    b.send(2, 2, 2000, 0, { deadline: 100 });
    b.send(2, 3, 10, 0, { deadline: 101 });
    expect([b.said(), b.said(50, 1040)]).toEqual(["1.0", "1.1"]);
    b.send(1, 4, 2000, 60, { deadline: 100 });
    expect([b.said(99, 1040), b.said(99, 1040)]).toEqual(["4.0", "4.1"]);
    b.send(1, 5, 2000, 60, { deadline: 100 });
    expect(b.said(99, 1040)).toBe("5.0");
    expect(b.said(100, 1040)).toBe("5.1 3");
    expect(b.fates).toEqual(["2 expired unsent"]);
    expect(b.o.senders[2]!.counted).toMatchObject({ dropped: 1, messagesOut: 1 });
  });

  test("what has not begun is dropped at its deadline, though something lost waits to go before it", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1);
    const [p] = b.packet();
    b.send(1, 2, 10, 0, { deadline: 100 });
    b.o.lost(p);
    expect([b.said(100, 5), b.fates, b.said(100)]).toEqual(["", ["2 expired unsent"], "1"]);
  });

  test("a reliable message that was not begun by its deadline is dropped, too", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1, 10, 0, { deadline: 100 });
    expect([b.said(100), b.fates, b.o.settled()]).toEqual(["", ["1 expired unsent"], true]);
  });

  test("what is given up is not taken for arrived, nor counted twice, when its packet arrives after all", () => {
    const b = new Box({ mode: "unreliable" });
    b.send(1, 1);
    const [p] = b.packet();
    b.send(1, 2);
    b.o.lost({ ...p, pieces: [...p.pieces] });
    b.o.acked(p);
    expect([b.fates, b.o.senders[1]!.cost]).toEqual([["1 lost"], 42]);
  });

  test("two packets with one piece may both arrive", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1);
    const [p1] = b.packet(10);
    b.send(1, 2);
    const [p2] = b.packet(10);
    const [copy, names] = b.packet(20, 30, { overdue: -1, loss: 0.1, only: true });
    expect(names).toBe("2");
    for (const p of [p2, copy, p1]) b.o.acked(p);
    expect([b.fates, b.o.settled(), b.o.senders[1]!.cost]).toEqual([["2 delivered", "1 delivered"], true, 0]);
  });

  test("a timeout gives up nothing: of what is unreliable an answer may still come", () => {
    const b = new Box({ mode: "unreliable" });
    b.send(1, 1);
    const [p] = b.packet();
    expect([b.o.again(p), b.fates, b.o.settled()]).toEqual([false, [], true]);
    b.o.acked(p);
    expect(b.fates).toEqual(["1 delivered"]);
  });

  test("a message drops the one with its key along with what is older, where it needs more room", () => {
    const b = new Box({ mode: "unreliable", maxMessage: 200, queueLimit: 396 });
    b.send(1, 1, 10, 0, { key: 1 });
    b.send(1, 2, 100);
    b.send(1, 3, 100);
    b.send(1, 4, 200, 0, { key: 1 });
    expect([b.fates, b.o.senders[1]!.cost, b.said()]).toEqual([["1 dropped unsent", "2 dropped unsent"], 364, "3 4"]);
  });

  test("a large unreliable message that was sent in part is dropped at its deadline", () => {
    const b = new Box({ mode: "unreliable" });
    b.send(1, 1, 2000, 0, { deadline: 100 });
    expect([b.said(0), b.said(100)]).toEqual(["1.0", ""]);
    expect([b.fates, b.o.senders[1]!.counted.dropped]).toEqual([["1 expired"], 0]);
  });

  test("unreliable messages that waited for more than 250 ms while nobody answered are dropped", () => {
    const b = new Box({ mode: "unreliable" }, { mode: "reliable-ordered" });
    b.send(1, 1, 10, 0);
    b.send(2, 2, 10, 0);
    b.send(1, 3, 10, 1);
    b.o.outdate(250);
    expect(b.fates).toEqual([]);
    b.o.outdate(251);
    expect(b.fates).toEqual(["1 expired unsent"]);
    expect(b.said(251)).toBe("3 2");
  });

  test("a key takes the place of what waits, not of what was sent in part", () => {
    const b = new Box({ mode: "reliable-ordered" }, { mode: "sequenced" });
    for (const [name, key] of [
      [1, 5],
      [2, 6],
      [3, 5],
    ] as const)
      b.send(1, name, 10, 0, { key });
    expect([b.fates, b.said()]).toEqual([["1 replaced unsent"], "3 2"]);
    b.send(1, 4, 2000, 0, { key: "a" });
    expect(b.said()).toBe("4.0");
    b.send(1, 5, 10, 0, { key: "a" });
    expect([b.said(), b.fates.length]).toEqual(["4.1 5", 1]);
    b.send(2, 6);
    b.send(2, 7); // the newest replaces all others on this channel
    expect([b.fates.at(-1), b.said()]).toEqual(["6 replaced unsent", "7"]);
    b.send(1, 8);
    b.send(1, 9);
    expect(b.said()).toBe("8 9");
  });

  test("a full queue: what a message replaces counts as room", () => {
    const b = new Box({ mode: "reliable-ordered", maxMessage: 100, queueLimit: 3 * 132 });
    for (const name of [1, 2, 3]) b.send(1, name, 100, 0, { key: name });
    expect(() => b.send(1, 4, 0)).toThrow("its queueLimit of 396 bytes is reached");
    b.send(1, 5, 100, 0, { key: 2 });
    expect([b.o.senders[1]!.cost, b.fates, b.said()]).toEqual([396, ["2 replaced unsent"], "1 5 3"]);
  });

  test("a full unreliable queue drops the oldest, but finishes what was sent in part if it can", () => {
    const b = new Box({ mode: "unreliable", maxMessage: 2000, queueLimit: 2 * 2032 });
    b.send(1, 1, 2000);
    b.send(1, 2, 2000);
    b.said();
    b.send(1, 3, 2000);
    expect(b.fates).toEqual(["2 dropped unsent"]);
    b.said();
    expect(b.said()).toBe("3.0"); // 1 waits for its acknowledgement
    b.send(1, 4, 2000);
    expect([b.fates.at(-1), b.said(), b.said()], "if there is another to drop").toEqual(["3 dropped", "4.0", "4.1"]);
    b.send(1, 5, 2000);
    expect([b.fates.slice(2), b.o.senders[1]!.cost]).toEqual([["1 dropped"], 2 * 2032]);
  });

  test("the end abandons all, and says what was sent", () => {
    const b = new Box({ mode: "reliable-ordered" }, { mode: "unreliable" });
    b.o.send(0, 0, new Uint8Array(50));
    b.send(1, 1, 100);
    const [p] = b.packet();
    b.send(1, 2, 200);
    b.send(2, 3, 300);
    b.o.lost({ ...p, pieces: [...p.pieces] });
    expect(b.o.unsettled(), "of reliable messages, and none of channel 0").toBe(300);
    b.o.abandon();
    expect(b.fates).toEqual(["1 abandoned", "2 abandoned unsent", "3 abandoned unsent"]);
    b.o.acked(p);
    b.o.lost(p);
    expect([b.fates.length, b.o.settled(), b.o.hasWork(0), b.o.senders[1]!.lost]).toEqual([3, true, false, 0]);
  });

  test("nobody asks for an unreliable message, and nothing of it is kept", () => {
    const b = new Box({ mode: "unreliable" });
    b.quiet(1, 1);
    const [p, names] = b.packet();
    const s = b.o.senders[1]!;
    expect([names, p.pieces, s.cost, s.waiting, s.counted]).toMatchObject(["1", [], 0, [], { messagesOut: 1, dropped: 0 }]);
  });

  test("what is wrong with a message", () => {
    const b = new Box({ mode: "unreliable", direction: "to-client" }, { mode: "unreliable", maxMessage: 10 });
    expect(() => b.send(1, 1)).toThrow("only the server sends on it");
    expect(() => b.send(2, 1, 11)).toThrow("11 bytes, and maxMessage is 10");
    expect(() => b.send(2, 1, 10, 5, { deadline: 5 })).toThrow("the deadline has passed");
    b.send(2, 1, 10, 5, { deadline: 6 });
    expect(b.said(5)).toBe("1");
  });

  test("bytes are copied, small and large", () => {
    const b = new Box({ mode: "reliable-ordered" });
    for (const size of [10, 20_000, 16 << 10, 10, 16_380, 10]) {
      const bytes = new Uint8Array(size).fill(7);
      b.o.send(0, 1, bytes);
      bytes.fill(8);
    }
    const all: string[] = [];
    for (let s; (s = b.said()); ) all.push(...s.split(" "));
    expect(new Set(all.map((s) => s.split(".")[0]))).toEqual(new Set(["7"]));
    expect(all.length).toBe(3 + 20 + 16 + 16);
  });
});

describe("copies in spare bytes", () => {
  const copies = { overdue: -1, loss: 0.1, only: true };
  const start = (...lines: Line[]): Box => {
    const b = new Box(...lines);
    lines.forEach((_, i) => b.send(i + 1, i + 1));
    b.said(10);
    return b;
  };
  const rides = (b: Box, n: number, how = copies, space = 1100): string[] =>
    Array.from({ length: n }, () => b.packet(20, space, how)[1]);

  test("of reliable messages, as often as the loss asks for", () => {
    expect(rides(start({ mode: "unreliable" }, { mode: "reliable-ordered" }), 5)).toEqual(["2", "2", "2", "", ""]);
    const often = (loss: number): number =>
      rides(start({ mode: "reliable-ordered" }), 9, { ...copies, loss }).filter(Boolean).length;
    expect([0.02, 0.05, 0.1, 0.3, 0.5].map(often)).toEqual([2, 3, 3, 6, 6]);
  });

  test("as often as the channel says, or never", () => {
    const often = (copy: number): number => rides(start({ mode: "reliable-ordered", copies: copy }), 9).filter(Boolean).length;
    expect([1, 5, -1].map(often)).toEqual([1, 5, 0]);
    expect(rides(start({ mode: "reliable-ordered", copies: -1 }), 2, { ...copies, overdue: 10 })).toEqual(["", ""]);
  });

  test("not of large ones, nor where there is no room, nor twice in a packet", () => {
    const b = new Box({ mode: "reliable-ordered" });
    b.send(1, 1, 513);
    b.send(1, 2, 512);
    const both = b.packet(10, 1100, { overdue: -1, loss: 0.1 })[1];
    expect(both, "they have just left in it").toBe("1 2");
    expect(rides(b, 1, copies, 512 + 14)).toEqual([""]);
    expect(rides(b, 1, copies, 512 + 15)).toEqual(["2"]);
    expect([b.o.copies, b.o.retransmits]).toEqual([1, 0]);
    expect(rides(b, 1)).toEqual(["2"]);
  });

  test("first of the channels that go first, of each the newest first, or the oldest if they are overdue", () => {
    const b = new Box({ mode: "reliable-ordered", priority: 1 }, { mode: "reliable-ordered" });
    for (const name of [1, 2]) for (const ch of [1, 2]) b.send(ch, 10 * ch + name);
    b.said(10);
    expect(rides(b, 1)).toEqual(["22 21 12 11"]);
    expect(rides(b, 1, { ...copies, overdue: 10 })).toEqual(["21 22 11 12"]);
    expect(rides(b, 1, { ...copies, overdue: 9 })).toEqual(["22 21 12 11"]);
  });

  test("an overdue one counts as sent again", () => {
    const b = start({ mode: "reliable-ordered", copies: 1 });
    expect(rides(b, 2)).toEqual(["1", ""]);
    expect(rides(b, 2, { ...copies, overdue: 10 }), "at 20, when it was overdue").toEqual(["1", "1"]);
    expect(rides(b, 2)).toEqual(["", ""]);
    expect(rides(b, 1, { ...copies, overdue: 19 })).toEqual([""]);
  });

  test("again when a message was sent again, and one that finds no room stays overdue", () => {
    const b = start({ mode: "reliable-ordered", copies: 1 });
    const p = { pieces: b.o.senders[1]!.waiting[0]!.pieces };
    expect(rides(b, 2)).toEqual(["1", ""]);
    b.o.lost({ ...b.flight.packets.at(-2)!, ...p });
    expect(b.said(30)).toBe("1");
    expect(rides(b, 2, { ...copies, overdue: 29 })).toEqual(["1", ""]);
    const full = start({ mode: "reliable-ordered", copies: 1 });
    expect(rides(full, 3)).toEqual(["1", "", ""]);
    expect(rides(full, 1, { ...copies, overdue: 10 }, 5)).toEqual([""]);
    expect(rides(full, 3, { ...copies, overdue: 10 }), "which counts as sent again, and one copy").toEqual(["1", "1", ""]);
  });

  test("of 64 messages at each end at most", () => {
    const b = new Box({ mode: "reliable-ordered" });
    for (let i = 0; i < 130; i++) b.send(1, i, 1);
    while (b.o.hasWork(10)) b.said(10);
    const [newest] = rides(b, 1, copies, 1100);
    expect(newest!.split(" ").map(Number)).toEqual(Array.from({ length: 64 }, (_, i) => 129 - i));
    const [oldest] = rides(b, 1, { ...copies, overdue: 10 }, 1100);
    expect(oldest!.split(" ").map(Number).slice(0, 64)).toEqual(Array.from({ length: 64 }, (_, i) => i));
  });

  test("not of what arrived, or is lost", () => {
    const b = new Box({ mode: "reliable-unordered" });
    b.send(1, 1);
    const [p1] = b.packet();
    b.send(1, 2);
    const [p2] = b.packet();
    b.o.acked(p1);
    b.o.lost(p2);
    expect(rides(b, 1)).toEqual([""]);
  });
});

test("a message that is being deflated waits, and one that is too short for that does not", async () => {
  const box = new Box({ mode: "reliable-ordered", compress: true }, { mode: "reliable-ordered", compress: true });
  const deflated = new Promise<void>((resolve) => (box.o.wake = resolve));
  box.send(1, 1, 600);
  box.send(2, 2, 511);
  expect([box.said(), box.said()]).toEqual(["0", ""]); // the first byte of a message as it is
  await deflated;
  expect([box.said(), box.o.senders[1]!.counted.wireOut < 60]).toEqual(["1", true]);
});
