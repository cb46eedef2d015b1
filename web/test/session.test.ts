// The client's end of a session, and everything that a server can send, in virtual time.
import { describe, expect, test, vi } from "vitest";
import {
  hello,
  numbered,
  parseControl,
  typeAck,
  typeHere,
  typeOpen,
  typeReject,
  typeReply,
  typeRequest,
  typeShut,
  typeWelcome,
} from "../src/control";
import { RequestError, SendError } from "../src/error";
import { closed, open, renewable } from "../src/session";
import { hex, utf8 } from "./bytes";
import { opened, Pair } from "./pair";

const typeOpened = 9;
const bytesOf = (s: string): number[] => [...utf8(s)];

describe("opening", () => {
  test("says HELLO, and WELCOME opens it, once", () => {
    const p = new Pair();
    expect([p.s.phase, p.s.over()]).toEqual([1, false]);
    p.pass();
    expect(p.said).toEqual([hex(hello(utf8("hi")))]);
    p.welcome().pass();
    expect([p.s.phase, p.s.id, p.s.grace, p.s.token]).toEqual([open, 7n, 30_000, "__79_Pv6-fj39vX08_Lx8A"]);
    p.welcome().pass();
    expect(p.names()).toEqual(["opened"]);
    expect(new Pair().welcome(0x31).pass().s.grace).toBe(30_001);
  });

  test("has five seconds from the first link on", () => {
    const p = new Pair({}, {}, false);
    p.w.ends.length = 0;
    p.s.link(1000, 20);
    p.s.advance(5999);
    expect(p.s.phase).toBe(1);
    p.s.advance(6000);
    expect(p.names()).toEqual(["closed"]);
  });

  test("ends after five seconds without WELCOME, though something is heard", () => {
    const p = new Pair();
    p.w.every(500, 20, () => p.server.send(p.w.now, 1, utf8("x")));
    p.w.run(4900);
    expect(p.names()).toEqual([]);
    p.w.run(200);
    expect(p.told).toEqual([["closed", 3, "no WELCOME", false, 0, 0]]);
  });

  test("no link, no hurry", () => {
    const p = new Pair({}, {}, false);
    expect(p.s.deadline()).toBeGreaterThan(1999);
    p.s.advance(100_000);
    p.s.interrupt(100_000);
    expect([p.s.phase, p.told]).toEqual([0, []]);
  });

  test("ends with its first link", () => {
    const p = new Pair();
    p.s.interrupt(5);
    expect(p.told).toEqual([["closed", 3, "no WELCOME", false, 0, 0]]);
  });

  test("messages wait for WELCOME, in order, 256 KiB of them", () => {
    const p = new Pair();
    for (const word of ["a", "b", "c"]) p.server.send(0, 2, utf8(word));
    p.pass();
    expect(p.told).toEqual([]);
    p.welcome().w.run(100, () => p.told.length > 0);
    expect(p.told).toEqual([["opened"], ["message", 2, "a"], ["message", 2, "b"], ["message", 2, "c"]]);
    const over = new Pair();
    for (const size of [65_504, 65_504, 65_504, 65_504, 1]) over.server.send(0, 2, new Uint8Array(size));
    over.pass(1500);
    expect(over.told).toEqual([["closed", 19, "too much before WELCOME", false, 0, 0]]);
    const full = new Pair();
    for (let i = 0; i < 4; i++) full.server.send(0, 2, new Uint8Array(65_504)); // each counts 32 more
    full.pass(1500);
    expect(full.told).toEqual([]);
  });

  test("what is not known is skipped once, also behind messages that wait", () => {
    const p = new Pair();
    p.s.inbox.push([2, utf8("a")], [0, Uint8Array.of(0x80, 1)]);
    p.s.receive(0, Uint8Array.of(0));
    expect([p.s.inbox.length, p.told]).toEqual([1, []]);
    p.welcome().pass();
    expect(p.told).toEqual([["opened"], ["message", 2, "a"]]);
  });

  test.each([
    [typeRequest, 0, 0, 0, 1, 1, 97],
    [typeReply, 0, 0, 0, 1],
    [typeOpen, ...bytesOf("3 x unreliable both 1 100")],
  ])("nothing else is said before WELCOME: type %d", (...b) => {
    const p = new Pair();
    p.say(...b);
    p.pass();
    expect(p.told).toEqual([["closed", 3, "no WELCOME", false, 0, 0]]);
  });

  test("what a session does not know it skips, or ends for", () => {
    const p = opened();
    p.say(0x80, 1, 2, 3);
    expect([p.pass().s.phase, p.names()]).toEqual([open, ["opened"]]);
    p.say(typeRequest, 0);
    expect(p.pass().told.at(-1)).toEqual(["closed", 3, "malformed", false, 0, 0]);
    expect(p.ended).toEqual([[3, "malformed", 0]]);
  });
});

describe("links", () => {
  test("are counted from the second one on, with HERE", () => {
    const p = opened();
    for (const n of [1, 2]) {
      p.s.link(p.w.now, 20);
      p.server.relink(p.w.now, 20);
      p.pass();
      expect(p.said.at(-1)).toBe(hex(numbered(typeHere, n)));
    }
    expect([p.s.moves, p.names()]).toEqual([2, ["opened"]]);
  });

  test("are silent after three seconds, and resumed by what comes; unreliable messages are refused meanwhile", () => {
    const p = new Pair({ delay: 10 }, { delay: 10, dark: [1000, 5000] }).welcome().pass(900);
    const { heard } = p.s.mux;
    p.w.run(heard + 2990 - p.w.now);
    expect(p.names()).toEqual(["opened"]);
    p.w.run(20);
    expect([p.names(), p.s.interrupted, p.s.phase]).toEqual([["opened", "interrupted"], true, open]);
    p.s.interrupt(p.w.now);
    expect(p.names().length).toBe(2);
    expect(() => p.s.send(p.w.now, 1, utf8("x"))).toThrow("the session is interrupted");
    p.s.send(p.w.now, 2, utf8("y"));
    p.w.run(6000);
    expect([p.names(), p.s.interrupted, p.came]).toEqual([["opened", "interrupted", "resumed"], false, [[2, "y"]]]);
    p.s.send(p.w.now, 1, utf8("z"));
    p.pass();
    expect(p.came.at(-1)).toEqual([1, "z"]);
  });

  test.each([
    [40, 3000],
    [330, 3000],
    [1000, 5000],
    [1500, 6500],
    [2500, 9500],
  ])("are silent on a path with round trips of %i ms after %i ms, and not before", (rtt, limit) => {
    const p = new Pair({ delay: rtt / 2 }, { delay: rtt / 2 }).welcome().pass(30_000);
    p.w.run(180_000);
    expect(p.names()).toEqual(["opened"]);
    for (const e of p.w.ends) e.out = { loss: 1 };
    p.pass(rtt); // what was under way arrives
    const { heard } = p.s.mux;
    p.w.run(heard + limit - 10 - p.w.now);
    expect(p.names()).toEqual(["opened"]);
    p.w.run(20 + limit / 20);
    expect(p.names()).toEqual(["opened", "interrupted"]);
  });

  test("are missed for the grace time, and then it is over", () => {
    const p = opened();
    p.w.ends.length = 0;
    const t = p.w.now;
    p.s.interrupt(t);
    p.s.advance(t + 29_999);
    expect(p.s.phase).toBe(open);
    p.s.advance(t + 30_000);
    expect(p.told.at(-1)).toEqual(["closed", 6, "silent for too long", false, 0, 0]);
  });

  test("that take no fragments end the session, which says why", () => {
    const p = opened({ delay: 10, mtu: 900 }, { delay: 10 });
    p.s.send(p.w.now, 2, new Uint8Array(1000));
    p.w.run(40_000, () => p.s.phase === closed);
    expect(p.told.slice(1)).toEqual([["closed", 6, "path too narrow", false, 1000, 0]]);
    p.pass();
    expect(p.ended).toEqual([[6, "path too narrow", 1000]]);
  });

  test("a malformed datagram resumes nothing", () => {
    const p = opened();
    p.s.interrupt(p.w.now);
    p.s.receive(p.w.now, Uint8Array.of(0));
    expect(p.s.interrupted).toBe(true);
  });
});

describe("requests", () => {
  test("of ours: answered with bytes, without, or refused", async () => {
    const p = opened();
    const [a, b, c] = ["a", "b", "c"].map((name) => p.s.call(p.w.now, name, utf8(`${name}!`)));
    p.pass();
    expect(
      p.said
        .slice(1)
        .map((h) => parseControl(Buffer.from(h, "hex")))
        .map(({ id, words: text, payload }) => [id, text, Buffer.from(payload).toString()]),
    ).toEqual([
      [1, "a", "a!"],
      [2, "b", "b!"],
      [3, "c", "c!"],
    ]);
    p.say(typeReject, 0, 0, 0, 2, ...bytesOf("no"));
    p.say(typeReply, 0, 0, 0, 3, ...bytesOf("yes"));
    p.say(typeAck, 0, 0, 0, 1);
    p.say(typeReply, 0, 0, 0, 9, ...bytesOf("nobody asked"));
    p.pass();
    expect(await a!.promise).toBeUndefined();
    await expect(b!.promise).rejects.toEqual(new RequestError("rejected", "no"));
    expect(Buffer.from((await c!.promise)!).toString()).toBe("yes");
    p.s.failWith(p.w.now, 0, ""); // none of them has a second event
    expect(p.s.phase).toBe(closed);
  });

  test("of ours: how long and how many", () => {
    const p = opened();
    const call = (name: string, size = 0): unknown => p.s.call(p.w.now, name, new Uint8Array(size)).promise.catch(() => {});
    for (const [name, size] of [
      ["", 0],
      ["é".repeat(33), 0],
      ["a", 65_467],
    ] as const)
      expect(() => call(name, size)).toThrow("at most 65466, and a name has 1 to 64 bytes");
    call("é".repeat(32), 65_466);
    p.pass(1000);
    for (let i = 1; i < 1024; i++) {
      call("a");
      if (i % 100 === 0) p.pass(200);
    }
    p.pass(1000);
    expect(() => call("a")).toThrow("too many requests wait");
    expect(p.s.lastID).toBe(1024);
    p.say(typeAck, 0, 0, 0, 5);
    p.pass();
    call("a");
    expect(() => call("a")).toThrow(SendError);
  });

  test("of ours: numbers start again, without 0 and without those that wait", () => {
    const p = opened();
    const call = (): void => void p.s.call(p.w.now, "a", utf8("")).promise.catch(() => {});
    call();
    p.s.lastID = 2 ** 32 - 2;
    call();
    call();
    p.pass();
    expect(p.said.slice(1).map((h) => h.slice(2, 10))).toEqual(["00000001", "ffffffff", "00000002"]);
  });

  test("of ours: 224 KiB may wait in the queue", () => {
    const p = opened();
    const cost = (): number => p.s.mux.outbox.senders[0]!.cost;
    const call = (size: number): void => void p.s.call(p.w.now, "a", new Uint8Array(size)).promise.catch(() => {});
    for (let i = 0; i < 3; i++) call(60_000);
    const left = (224 << 10) - cost();
    expect(() => call(left + 1)).toThrow("await answers first");
    call(left);
  });

  test("of the server: handed on, and answered once", () => {
    const p = opened();
    const ask = (id: number): void => p.say(typeRequest, 0, 0, 0, id, 1, 97, ...bytesOf("what"));
    ask(1);
    ask(2);
    ask(3);
    p.pass();
    expect(p.told.slice(1)).toEqual([1, 2, 3].map((id) => ["request", id, "a", "what"]));
    p.s.answer(p.w.now, 1, utf8("this"));
    p.s.answer(p.w.now, 2);
    p.s.reject(p.w.now, 3, "é".repeat(200));
    for (const id of [1, 2, 3, 4]) {
      p.s.answer(p.w.now, id);
      p.s.reject(p.w.now, id, "no");
    }
    p.pass();
    expect(p.said.slice(1)).toEqual([
      hex(numbered(typeReply, 1, utf8("this"))),
      hex(numbered(typeAck, 2)),
      hex(numbered(typeReject, 3, utf8("é".repeat(128)))),
    ]);
    ask(1);
    expect([p.pass().s.phase, p.s.serving.size], "its number is free again").toEqual([open, 1]);
    ask(1);
    expect(p.pass().told.at(-1)).toEqual(["closed", 3, "malformed", false, 0, 0]);
  });

  test("of the server: 64 at a time", () => {
    const p = opened();
    for (let id = 1; id < 66; id++) p.say(typeRequest, 0, 0, 0, id, 1, 97);
    p.pass(500);
    expect([p.names().filter((n) => n === "request").length, p.s.serving.size]).toEqual([64, 64]);
    expect(p.said.slice(1)).toEqual([hex(numbered(typeReject, 65, utf8("too many requests in flight")))]);
  });

  test("of the server: an answer that is too large is refused", () => {
    const p = opened();
    for (const id of [1, 2]) p.say(typeRequest, 0, 0, 0, id, 1, 97);
    p.pass();
    p.s.answer(p.w.now, 1, new Uint8Array(65_467));
    p.s.answer(p.w.now, 2, new Uint8Array(65_466));
    p.pass(1000);
    expect(
      p.said.slice(1).map((h) => h.slice(0, 10) + (h.length > 200 ? "" : Buffer.from(h.slice(10), "hex").toString())),
    ).toEqual(["0600000001the reply is too large", "0400000002"]);
  });

  test("a server that has asked for too much to be answered ends the session", () => {
    const p = new Pair({ delay: 10, dark: [100, 1e9] }).welcome().pass(90);
    p.s.serving.clear();
    const send = vi.spyOn(p.s.mux, "send").mockImplementation(() => {
      throw new SendError("budget", "full");
    });
    p.s.serving.set(1, ["a", utf8("")]);
    p.s.reject(p.w.now, 1, "no");
    send.mockRestore();
    expect(p.told.at(-1)).toEqual(["closed", 20, "too many requests", false, 0, 0]);
  });
});

describe("the end", () => {
  test("waits for what was sent, takes nothing more, and is told", () => {
    const p = opened();
    p.s.send(p.w.now, 2, utf8("last"));
    p.s.close(p.w.now, 300, "bye", 1000);
    expect([p.s.phase, p.s.closing, p.names()]).toEqual([open, true, ["opened"]]);
    expect(() => p.s.send(p.w.now, 2, utf8("x"))).toThrow("the session has ended");
    p.server.send(p.w.now, 2, utf8("late"));
    p.say(typeRequest, 0, 0, 0, 1, 1, 97);
    p.say(typeOpen, ...bytesOf("3 x unreliable both 100 1000"));
    p.pass(200);
    expect([p.came, p.told.slice(1), p.ended]).toEqual([[[2, "last"]], [["closed", 300, "bye", false, 0, 0]], [[300, "bye", 0]]]);
    expect([p.s.over(), p.s.closing]).toEqual([true, false]);
    p.s.close(p.w.now, 301, "again", 0);
    p.s.finish(301, "again", true);
    expect(p.names()).toEqual(["opened", "closed"]);
  });

  test("waits as long as it is told, if the server is heard", () => {
    const p = opened({ delay: 10 }, { delay: 10 });
    const t = p.w.now;
    const { s } = p;
    s.send(t, 2, utf8("x"));
    p.w.ends[0]!.out = { loss: 1 };
    p.w.every(500, 20, () => p.server.send(p.w.now, 1, utf8("here")));
    s.close(t, 300, "bye", 4000);
    s.close(t, 301, "later", 9000);
    p.w.run(3990);
    expect(s.closing).toBe(true);
    p.w.run(20);
    expect([p.told.at(-1), p.w.now - t]).toEqual([["closed", 300, "bye", false, 1, 0], 4010]);
  });

  test("waits for a silent server no longer than three seconds", () => {
    const p = opened({ delay: 10 }, { delay: 10 });
    p.w.run(2000);
    for (const e of p.w.ends) e.out = { loss: 1 };
    const t = p.w.now;
    p.s.send(t, 2, utf8("x"));
    p.s.close(t, 300, "", 10_000);
    p.w.run(2990);
    expect(p.s.closing).toBe(true);
    p.w.run(20);
    expect(p.told.at(-1)).toEqual(["closed", 300, "", false, 1, 0]);
  });

  test("waits for an acknowledgement that takes four seconds", () => {
    const p = new Pair({ delay: 2000 }, { delay: 2000 }).welcome().pass(20_000);
    const t = p.w.now;
    p.s.send(t, 2, utf8("x"));
    p.s.close(t, 300, "", 10_000);
    p.w.run(3990);
    expect(p.s.closing).toBe(true);
    p.w.run(1000);
    expect([p.told.at(-1), p.came]).toEqual([["closed", 300, "", false, 0, 0], [[2, "x"]]]);
  });

  test("comes at once where there is nothing to wait for", () => {
    const p = opened();
    p.s.close(p.w.now, 300, "", 10_000);
    expect(p.told.at(-1)).toEqual(["closed", 300, "", false, 0, 0]);
    const interrupted = opened();
    interrupted.s.send(interrupted.w.now, 2, utf8("x"));
    interrupted.s.interrupt(interrupted.w.now);
    interrupted.s.close(interrupted.w.now, 300, "", 10_000);
    expect(interrupted.told.at(-1)).toEqual(["closed", 300, "", false, 1, 0]);
    const early = new Pair();
    early.s.close(0, 300, "", 10_000);
    expect(early.told).toEqual([["closed", 300, "", false, 0, 0]]);
    const closing = opened();
    closing.s.send(closing.w.now, 2, utf8("x"));
    closing.s.close(closing.w.now, 300, "mine", 10_000);
    closing.s.interrupt(closing.w.now);
    expect(closing.told.at(-1)).toEqual(["closed", 300, "mine", false, 1, 0]);
  });

  test("by the server is told as the server says it, unless we have begun to close", () => {
    const p = opened();
    p.server.send(p.w.now, 2, utf8("x"));
    p.server.close(p.w.now, 2, "maintenance");
    p.pass();
    expect(p.told.at(-1)).toEqual(["closed", 2, "maintenance", true, 0, 1]);
    expect([2, 6, 0, 3, 300].map(renewable)).toEqual([true, true, false, false, false]);
    const both = opened();
    both.s.send(both.w.now, 2, utf8("abc"));
    both.server.send(both.w.now, 2, utf8("xy"));
    both.s.close(both.w.now, 300, "mine", 10_000);
    both.server.close(both.w.now, 2, "maintenance");
    both.pass();
    expect(both.told.at(-1)).toEqual(["closed", 300, "mine", false, expect.any(Number), 2]);
  });

  test("says of each request whether it was sent", async () => {
    const p = opened();
    const sent = p.s.call(p.w.now, "a", utf8(""));
    p.w.run(1);
    const unsent = p.s.call(p.w.now, "b", utf8(""));
    p.s.failWith(p.w.now, 0, "");
    await expect(sent.promise).rejects.toMatchObject({ code: "response-lost" });
    await expect(unsent.promise).rejects.toMatchObject({ code: "send-failed" });
  });

  test("lets answers come while it waits", async () => {
    const p = opened();
    const call = p.s.call(p.w.now, "a", utf8(""));
    p.w.run(1);
    p.s.close(p.w.now, 300, "", 1000);
    p.say(typeReply, 0, 0, 0, 1, 7);
    p.pass(200);
    expect([await call.promise, p.names()]).toEqual([Uint8Array.of(7), ["opened", "closed"]]);
  });

  test("that this page alone knows of is not said to the server", () => {
    const p = opened();
    p.s.finish(0, "suspended", false);
    expect(() => p.s.send(p.w.now, 2, utf8("x"))).toThrow("the session has ended");
    p.s.close(p.w.now, 300, "", 0);
    p.pass(1000);
    expect([p.ended, p.names(), p.s.over()]).toEqual([[], ["opened", "closed"], false]);
  });

  test("comes when its time has come, though nothing is to be sent", () => {
    const p = opened();
    p.s.send(p.w.now, 2, utf8("x"));
    p.s.close(p.w.now, 300, "", 1000);
    p.s.advance(p.w.now + 999);
    expect(p.s.phase).toBe(open);
    p.s.advance(p.w.now + 1000);
    expect(p.s.phase).toBe(closed);
  });

  test("is over when the server knows, or was told often enough", () => {
    const p = opened();
    p.w.ends[0]!.out = { loss: 1 };
    p.s.failWith(p.w.now, 300, "");
    p.w.run(10);
    expect([p.s.phase, p.s.over()]).toEqual([closed, false]);
    p.w.run(2000);
    expect(p.s.over()).toBe(true);
  });

  test("from a handler is the end, though WELCOME came after it", () => {
    const p = opened();
    p.on = (what) => what === "message" && p.s.failWith(p.w.now, 300, "");
    p.s.inbox.push([2, utf8("a")], [0, Uint8Array.of(typeWelcome, ...new Uint8Array(32))]);
    p.s.receive(p.w.now, Uint8Array.of(0));
    expect([p.names(), p.s.phase]).toEqual([["opened", "message", "closed"], closed]);
  });

  test("from a handler leaves what came after it alone", () => {
    const p = opened();
    p.on = (what) => what === "message" && p.s.failWith(p.w.now, 300, "");
    for (const word of ["a", "b"]) p.server.send(p.w.now, 2, utf8(word));
    p.welcome().pass();
    expect([p.names(), p.s.phase]).toEqual([["opened", "message", "closed"], closed]);
  });
});

test("channels that the server opens", () => {
  const p = opened();
  p.say(typeOpen, ...bytesOf("3 loot reliable-ordered both 100 1000"));
  p.pass();
  expect(p.told.at(-1)).toEqual(["channel", expect.objectContaining({ name: "loot", maxMessage: 100 }), 3, false]);
  expect(p.said.at(-1)).toBe(hex(Uint8Array.of(typeOpened, 3)));
  p.say(typeOpen, ...bytesOf("3 bag reliable-ordered both 100 1000"));
  p.pass();
  expect(p.told.at(-1)).toEqual(["closed", 3, "malformed", false, 0, 0]);
});

test("a message that arrives with the SHUT for which it is late does not reach the next channel with the number", () => {
  const p = opened();
  p.s.closes = true; // as a WELCOME with the number of channels says
  p.say(typeOpen, ...bytesOf("3 loot unreliable both 100 1000"));
  p.pass();
  expect(p.told.at(-1)).toEqual(["channel", expect.objectContaining({ name: "loot" }), 3, false]);
  // What one late packet may bring: a message, and before it the end of a gap in front of SHUT and OPEN.
  const open = [typeOpen, ...bytesOf("3 bag unreliable both 100 1000")];
  p.s.inbox.push([0, Uint8Array.of(typeShut, 3)], [0, Uint8Array.from(open)], [3, utf8("late")]);
  p.say(0x81);
  p.pass();
  expect(p.told.slice(-2)).toEqual([
    ["channelClosed", expect.objectContaining({ name: "loot" }), 3],
    ["channel", expect.objectContaining({ name: "bag" }), 3, false],
  ]);
  expect([p.s.phase, p.s.config.table[3]!.name]).toEqual([2, "bag"]);
});
