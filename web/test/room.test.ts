// The room in the queue of a channel, the event when a full queue has room again, and the status of requests.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Outbox } from "../src/outbox";
import { full } from "../src/table";
import { utf8 } from "./bytes";
import { Server } from "./page";

const built = (await import(new URL("../dist/godwit.min.js", import.meta.url).href)) as typeof import("../src/godwit");

const channels = [
  { name: "small", mode: "reliable-ordered", maxMessage: 500, queueLimit: 1000 },
  { name: "loot", mode: "reliable-unordered", maxMessage: 500, queueLimit: 1000 },
  { name: "moves", mode: "sequenced", maxMessage: 500, queueLimit: 1000 },
  { name: "world", mode: "reliable-ordered", direction: "to-client" },
] as const;
const url = "https://game.example/godwit/";

describe("a queue", () => {
  function outbox(): { o: Outbox; rooms: number[]; send: (size: number, key?: number) => boolean } {
    const o = new Outbox();
    const rooms: number[] = [];
    o.room = (ch) => rooms.push(ch);
    for (const c of channels) o.open(full(c), true);
    const send = (size: number, key = 0): boolean => {
      try {
        o.send(0, 0, new Uint8Array(size), { key, deadline: 1000 });
        return true;
      } catch {
        return false;
      }
    };
    return { o, rooms, send };
  }

  /** Sends the oldest message, and acknowledges it. */
  function deliver(o: Outbox): void {
    const p = { number: 0, sentAt: 0, len: 0, phase: 0, eliciting: true, closing: false, ackTop: 0, pieces: [] };
    const s = o.senders[0]!;
    const [q] = s.queue[0]!.pieces;
    Object.assign(p, { pieces: [q] });
    q!.m.sent = 1;
    s.waiting.push(s.queue.shift()!);
    q!.m.list = s.waiting;
    o.acked(p);
  }

  test("is free for the largest message that send takes", () => {
    const { o, send } = outbox();
    const free = (): number => o.senders[0]!.free();
    expect(free()).toBe(500);
    expect([send(500), free()]).toEqual([true, 436]);
    expect([send(437), send(436), free()]).toEqual([false, true, -1]);
    expect(send(0)).toBe(false);
    deliver(o);
    expect([free(), send(501), send(500), free()]).toEqual([500, false, true, -1]);
    const exact = outbox();
    expect([exact.send(500), exact.send(404), exact.o.senders[0]!.free()], "a message without bytes").toEqual([true, true, 0]);
    expect([exact.send(0), exact.o.senders[0]!.free()]).toEqual([true, -1]);
  });

  test("of an unreliable channel always has room, and where only the server sends there is none", () => {
    const o = new Outbox();
    for (const c of channels) o.open(full(c), c.name !== "world");
    for (let i = 0; i < 9; i++) o.send(0, 2, new Uint8Array(500), { key: i + 1 });
    expect(o.senders.map((s) => s.free())).toEqual([500, 500, 500, -1]);
  });

  test("that refused messages says once that the last of them would fit", () => {
    const { o, rooms, send } = outbox();
    for (let i = 0; i < 7; i++) send(100);
    deliver(o);
    expect(rooms, "nothing was refused").toEqual([]);
    expect([send(100), send(400), send(350)]).toEqual([true, false, false]);
    deliver(o);
    deliver(o);
    expect(rooms, "340 bytes are free").toEqual([]);
    deliver(o);
    expect(rooms).toEqual([0]);
    deliver(o);
    expect([rooms.length, send(350), send(350)]).toEqual([1, true, false]);
    deliver(o);
    expect(rooms).toEqual([0]);
    for (let i = 0; i < 2; i++) deliver(o);
    expect(rooms, "and again after another refusal").toEqual([0, 0]);
    const exact = outbox();
    expect([exact.send(500), exact.send(436), exact.send(500)]).toEqual([true, true, false]);
    deliver(exact.o);
    expect(exact.rooms, "it fits exactly").toEqual([0]);
  });

  test("tells of room that a replaced or an expired message leaves, but not at the end of the session", () => {
    const { o, rooms, send } = outbox();
    send(500, 1);
    expect([send(400), send(400), rooms]).toEqual([true, false, []]);
    expect([send(90, 1), rooms], "a smaller one in its place").toEqual([true, [0]]);
    expect(send(500)).toBe(false);
    o.hasWork(1000);
    expect([rooms, o.senders[0]!.free()], "the deadline of all has passed").toEqual([[0, 0], 500]);
    expect([send(500), send(500)]).toEqual([true, false]);
    o.abandon();
    expect([rooms.length, o.senders[0]!.cost]).toEqual([2, 0]);
  });
});

describe.each([
  ["source", await import("../src/godwit")],
  ["bundle", built],
])("a Conn, %s", (_, { ChannelEvent, Conn, SendError }) => {
  let server: Server;
  const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
    server = new Server(channels);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  async function join(): Promise<InstanceType<typeof Conn<typeof channels>>> {
    const conn = new Conn(url, { channels });
    await pass(500);
    return conn;
  }

  test("says what fits, and has one event for each channel with room again", async () => {
    const conn = await join();
    const rooms: unknown[] = [];
    conn.addEventListener("room", (e) => {
      rooms.push([e instanceof ChannelEvent, e.type, e.channel.name, conn.free("small")]);
      conn.send("small", utf8("from the listener"));
    });
    expect(conn.free("small")).toBe(500);
    for (const name of ["small", "loot", "small"] as const) {
      while (conn.free(name) > 400) conn.send(name, new Uint8Array(450));
      expect(() => conn.send(name, new Uint8Array(450))).toThrow(SendError);
    }
    expect([conn.free("small"), conn.free("moves"), conn.free("world" as never)]).toEqual([4, 500, -1]);
    expect(() => conn.free("none" as never)).toThrow('no channel "none"');
    await pass(500);
    expect(rooms).toEqual([
      [true, "room", "small", 486],
      [true, "room", "loot", 437],
    ]);
    expect(server.sessions[0]!.came.length).toBe(6);
    const end = conn.close();
    expect(conn.free("small")).toBe(-1);
    await pass(500);
    await end;
    expect(conn.free("small")).toBe(-1);
  });

  test("says how far requests and receipts have got", async () => {
    const conn = await join();
    const ask = conn.request("never").catch((e: { code: string }) => e.code);
    expect(conn.status(ask), "not the promise of request itself").toBe(undefined);
    const never = conn.request("never");
    const upper = conn.request("upper", utf8("a"));
    const receipt = conn.send("small", utf8("b"), { receipt: true });
    const states = (): unknown[] => [never, upper, receipt].map((p) => conn.status(p));
    expect(states()).toEqual(["sending", "sending", "sending"]);
    await pass(500);
    expect(states(), "one has no answer yet").toEqual(["waiting", undefined, undefined]);
    expect([await receipt, Buffer.from((await upper)!).toString()]).toEqual(["delivered", "A"]);
    void conn.close();
    const refused = expect(never).rejects.toMatchObject({ code: "response-lost" });
    await pass(500);
    await refused;
    expect(conn.status(never)).toBe(undefined);
    expect(await ask).toBe("response-lost");
  });

  test("a request that never left has failed to be sent", async () => {
    const conn = await join();
    server.dark = true;
    const lost = conn.request("upper");
    const refused = expect(lost).rejects.toMatchObject({ code: "send-failed" });
    expect(conn.status(lost)).toBe("sending");
    const end = conn.close(0, "", 0);
    await pass(500);
    await refused;
    await end;
  });
});
