// The client as a page uses it, from its source and from the bundle, with a simulated page and server.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Channel, full } from "../src/table";
import { utf8 } from "./bytes";
import { carryTime, number, Server } from "./page";

const built = (await import(new URL("../dist/godwit.min.js", import.meta.url).href)) as typeof import("../src/godwit");

const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
const url = "https://game.example/godwit/";

let server: Server;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
  server = new Server(channels);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const text = (b: Uint8Array | undefined): string => Buffer.from(b!).toString();

describe.each([
  ["source", await import("../src/godwit")],
  ["bundle", built],
])("%s", (_, { Conn, connect, ConnectError, RequestError, SendError, connectRaw, sessions }) => {
  async function join(options: { token?: string } = {}): Promise<InstanceType<typeof Conn<typeof channels>>> {
    const conn = new Conn(url, { channels, ...options });
    await pass(200);
    await conn.opened;
    return conn;
  }

  test.each([
    ["the page's clock", undefined],
    ["the time of day", () => Date.now()],
    ["nothing", () => NaN],
  ])("events that are stamped with %s", async (_, clock) => {
    server.clock = clock ?? server.clock;
    const conn = await join();
    conn.send("chat", utf8("hi"));
    await pass(10_000);
    expect([conn.state, server.sessions[0]!.came.length]).toEqual(["open", 1]);
    expect(conn.stats().rtt).toBeGreaterThan(15);
    expect(conn.stats().rtt).toBeLessThan(50);
  });

  test.each([20, 60, 240, 1000])("%d messages a second cost a timer for each acknowledgement", async (rate) => {
    const conn = await join();
    conn.on("moves", () => {});
    const s = server.sessions[0]!;
    await pass(1000);
    const before = conn.stats().packetsOut;
    const timers = vi.spyOn(globalThis, "setTimeout");
    for (let i = 0; i < 5 * rate; i++) {
      s.mux.send(performance.now(), 1, utf8("here"));
      s.flush();
      await pass(1000 / rate);
    }
    const ours = timers.mock.calls.filter(([, delay]) => delay !== carryTime).length;
    timers.mockRestore();
    expect(ours).toBeLessThan(1.2 * (conn.stats().packetsOut - before));
  });

  test("messages, receipts, requests both ways, statistics, and the end", async () => {
    const conn = new Conn(url, { channels, token: "ticket", hello: utf8("hi") });
    const heard: string[] = [];
    const fate = conn.send("chat", utf8("first words"), { receipt: true });
    conn.on("chat", (b) => heard.push(text(b)));
    expect(conn.state).toBe("connecting");
    await pass(200);
    await conn.opened;
    expect([conn.state, conn.id, server.asked]).toEqual(["open", number(1), ["Bearer ticket"]]);
    expect([await fate, heard]).toEqual(["delivered", ["first words"]]);
    const { offer, http, ice, transport, hello, total } = conn.times;
    expect(total).toBeGreaterThan(0);
    expect(offer + http + ice + transport + hello).toBeCloseTo(total);

    const reply = conn.request("upper", utf8("abc"));
    conn.handle("where", (b) => utf8(`here, ${text(b)}`));
    server.sessions[0]!.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where"), ...utf8("Ann")));
    await pass(200);
    expect(text(await reply)).toBe("ABC");
    expect(server.answers.map(({ type, id, payload }) => [type, id, text(payload)])).toEqual([[4, 9, "here, Ann"]]);

    const { rtt, packetsIn, packetsOut, bytesIn, bytesOut, rate, drops, links, queued, held } = conn.stats();
    for (const n of [rtt, packetsIn, packetsOut, bytesIn, bytesOut, rate]) expect(n).toBeGreaterThan(0);
    expect([links, queued, held, drops]).toEqual([1, 0, 0, {}]);
    expect(conn.channelStats("chat")).toEqual({
      messagesOut: 1,
      messagesIn: 1,
      bytesOut: 11,
      bytesIn: 11,
      wireOut: 11,
      wireIn: 11,
      dropped: 0,
      stale: 0,
      duplicates: 0,
    });

    const ended = vi.fn();
    conn.addEventListener("close", ({ why }) => ended(why));
    const unanswered = expect(conn.request("never")).rejects.toMatchObject({ name: "RequestError", code: "response-lost" });
    await pass(100);
    void conn.close(300, "enough");
    await pass(200);
    await unanswered;
    expect(await conn.closed).toMatchObject({ code: 300, reason: "enough", remote: false });
    expect(ended).toHaveBeenCalledWith({ code: 300, reason: "enough", remote: false, lostOut: 0, lostIn: 0 });
    expect([conn.state, server.sessions[0]!.closed]).toEqual(["closed", [300, "enough"]]);
    expect(() => conn.send("chat", utf8("x"))).toThrow(SendError);
    await expect(conn.request("x")).rejects.toThrow(SendError);
    expect(RequestError.name.length).toBeGreaterThan(0);
  });

  test("the end comes after the results of requests and messages, and says how many bytes were given up", async () => {
    const conn = await join();
    const told: string[] = [];
    conn.addEventListener("close", ({ why }) => told.push(`close ${why.lostOut} ${why.lostIn}`));
    const ask = async (): Promise<void> => void (await conn.request("never").catch((e) => told.push(e.code)));
    void ask();
    await pass(100);
    void conn.send("chat", new Uint8Array(1000), { receipt: true }).then((fate) => told.push(fate));
    void conn.request("never").catch((e) => told.push(e.code));
    void conn.close(300, "", 0);
    expect(() => conn.send("chat", utf8("x"))).toThrow(SendError);
    expect([conn.state, told]).toEqual(["closed", []]);
    await pass(200);
    expect(told.slice(0, 3).sort()).toEqual(["abandoned", "response-lost", "send-failed"]);
    expect(told.slice(3)).toEqual(["close 1000 0"]);
  });

  test("close delivers what is queued, longer than 2 s, and then tells the end", async () => {
    const conn = await join();
    const fates: string[] = [];
    for (let i = 0; i < 9; i++) {
      void conn.send("chat", new Uint8Array(100 << 10), { receipt: true }).then((fate) => fates.push(fate));
    }
    const ended = vi.fn();
    conn.addEventListener("close", ended);
    void conn.close();
    await pass(2500);
    expect([conn.state, ended.mock.calls.length]).toEqual(["closed", 0]);
    await pass(10_000);
    expect([fates.length, new Set(fates), ended.mock.calls.length]).toEqual([9, new Set(["delivered"]), 1]);
    expect(await conn.closed).toEqual({ code: 0, reason: "", remote: false, lostOut: 0, lostIn: 0 });
    expect(server.sessions[0]!.came.length).toBe(9);
  });

  test("however much a program asks, there is room for what must be said", async () => {
    const conn = await join();
    const s = server.sessions[0]!;
    conn.handle("where", () => new Uint8Array(60_000));
    const ask = (id: number): void => void s.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, id, 5, ...utf8("where")));
    for (let id = 1; id < 60; id++) ask(id);
    s.open("3 loot reliable-ordered both 100 1000");
    s.flush();
    for (let n = 65_000; n > 1; n >>= 1) {
      for (let i = 0; i < 4; i++) conn.request("upper", new Uint8Array(n)).catch(() => {});
    }
    await expect(conn.request("upper", new Uint8Array(65_000))).rejects.toMatchObject({ code: "budget" });
    await pass(10_000);
    expect([conn.state, s.opened, server.answers.length]).toEqual(["open", [3], 59]);
    expect(new Set(server.answers.map((c) => c.words))).toEqual(new Set(["the reply is too large"]));
  });

  test("a request that comes with WELCOME finds a handler that is set when connect has returned", async () => {
    const joined = connect(url, { channels }).then((conn) => conn.handle("where", () => utf8("here")));
    await pass(1);
    const s = server.sessions[0]!;
    const { move } = s;
    s.move = (channel) => {
      move.call(s, channel);
      s.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where")));
    };
    await pass(300);
    await joined;
    expect(server.answers.map(({ type, payload }) => [type, text(payload)])).toEqual([[4, "here"]]);
  });

  test("who comes to messages when not all were kept is told", async () => {
    const small = [{ name: "chat", mode: "reliable-ordered", maxMessage: 500, queueLimit: 1000 }] as const;
    server = new Server(small);
    const conn = new Conn(url, { channels: small });
    await pass(200);
    for (let i = 0; i < 10; i++) {
      conn.send("chat", new Uint8Array(200).fill(i)); // the server echoes it
      await pass(100);
    }
    const heard: number[] = [];
    const all = async (): Promise<void> => {
      for await (const b of conn.messages("chat")) heard.push(b[0]!);
    };
    await expect(all()).rejects.toMatchObject({ code: "overflow" });
    expect(heard).toEqual([0, 1, 2, 3]);
  });

  test.each([
    [-1, 65_535],
    [1e9, 65_535],
    [300.5, 300],
    [NaN, 0],
  ])("a close with code %f reaches the server", async (given, told) => {
    const conn = await join();
    void conn.close(given, "bye");
    await pass(100);
    expect(server.sessions[0]!.closed).toEqual([told, "bye"]);
    expect(await conn.closed).toMatchObject({ code: told });
  });

  test("listeners go as they came", async () => {
    const conn = await join();
    const heard = vi.fn((e: import("../src/godwit").ConnCloseEvent) => void e.why);
    conn.addEventListener("close", heard);
    conn.removeEventListener("close", heard);
    await conn.close();
    expect(heard).not.toHaveBeenCalled();
  });

  test("fields of a channel that are undefined have their defaults", () => {
    const unset = { direction: undefined, maxMessage: undefined, queueLimit: undefined, priority: undefined };
    const c = {
      name: "a",
      mode: "sequenced",
      ...unset,
      guarantee: undefined,
      weight: undefined,
      copies: undefined,
    } as unknown as Channel;
    expect(full(c)).toEqual(full({ name: "a", mode: "sequenced" }));
    expect(() => new Conn(url, { channels: [c] })).not.toThrow();
  });

  test("errors say what to do", async () => {
    const conn = await join();
    const thrown = (f: () => unknown): string => {
      try {
        f();
      } catch (e) {
        const { name, code } = e as InstanceType<typeof SendError>;
        expect(name).toBe("SendError");
        return code;
      }
      return "";
    };
    expect(thrown(() => conn.send("none" as "chat", utf8("")))).toBe("channel");
    expect(thrown(() => conn.send("moves", new Uint8Array(20_000)))).toBe("size");
    expect(thrown(() => conn.send("moves", utf8("x"), { deadline: -1 }))).toBe("deadline");
    const full = (): void => {
      for (;;) conn.send("chat", new Uint8Array(200_000));
    };
    expect(thrown(full)).toBe("budget");
    expect(thrown(() => conn.send("chat", "hello" as unknown as Uint8Array))).toBe("type");
    expect(thrown(() => new Conn(url, { channels, hello: new Uint8Array(1025) }))).toBe("size");
    await expect(conn.request("x", "{}" as unknown as Uint8Array)).rejects.toMatchObject({ code: "type" });
    await expect(conn.request("x", utf8(""), { signal: AbortSignal.abort(new Error("mine")) })).rejects.toThrow("mine");
    for (const [wrong, why] of [
      [undefined, "channels is not an array"],
      [[{ name: "a b", mode: "sequenced" }], "a name has 1 to 64 bytes"],
      [[...channels, channels[0]], 'channel "moves": the name is taken'],
      [[{ name: "a" }], "mode is not unreliable or sequenced or reliable-unordered or reliable-ordered"],
      [[{ name: "a", mode: "sequenced", direction: "up" }], "direction is not both or to-server or to-client"],
      [[{ name: "a", mode: "sequenced", priority: 8 }], "priority is not 0 to 7"],
    ]) {
      const options = { channels: wrong } as unknown as { channels: typeof channels };
      await expect(connect(url, options)).rejects.toMatchObject({
        name: "ConnectError",
        code: "table",
        message: expect.stringContaining(why as string),
      });
    }
    await expect(connect(url, undefined as never)).rejects.toThrow(ConnectError);

    server.dark = true;
    const lost = new Conn(url, { channels });
    const refused = expect(lost.opened).rejects.toMatchObject({ code: "network", status: 0, retryAfter: 0 });
    await pass(100);
    await refused;
    const { error } = await lost.closed;
    expect(error?.cause).toBeInstanceOf(TypeError);
  });

  test("a session outlives its link, and ends when the server has forgotten it", async () => {
    const conn = await join();
    const events: string[] = [];
    for (const type of ["interrupted", "resumed", "close"] as const) conn.addEventListener(type, () => events.push(type));
    server.loss = 0.1;
    const s = server.sessions[0]!;
    for (let i = 0; i < 400; i++) {
      conn.send("chat", utf8(`${i}`));
      if (i === 100) s.channel!.end();
      server.dark = i >= 100 && i < 300;
      await pass(50);
    }
    await pass(5000);
    expect(events).toEqual(["interrupted", "resumed"]);
    expect(s.came.map(([, b]) => text(b))).toEqual(Array.from({ length: 400 }, (_, i) => `${i}`));
    expect([server.sessions.length, s.moves, s.hellos]).toEqual([1, [1], 1]);
    const iterated: string[] = [];
    void (async () => {
      for await (const b of conn.messages("chat")) iterated.push(text(b));
    })();
    await pass(0);
    expect(iterated.length).toBe(400);

    server.loss = 0;
    s.token.fill(0);
    s.channel!.end();
    await pass(5000);
    expect(events.slice(2)).toEqual(["interrupted", "close"]);
    expect((await conn.closed).error).toMatchObject({ code: "resume", status: 410 });
  });

  test("a session goes on over a new link however much is asked", async () => {
    const conn = await join();
    server.dark = true;
    const sizes = [65_000, 65_000, 65_000, 34_000]; // more are refused
    const all = Promise.all(sizes.map((n) => conn.request("upper", new Uint8Array(n).fill(97))));
    await expect(conn.request("upper", new Uint8Array(1000))).rejects.toMatchObject({ code: "budget" });
    server.sessions[0]!.channel!.end();
    await pass(1000);
    expect(conn.state).toBe("interrupted");
    server.dark = false;
    await pass(25_000);
    expect((await all).map((b) => text(b).length)).toEqual(sizes);
    expect(conn.state).toBe("open");
  });

  test("a link that goes before WELCOME ends the attempt at once, and another is of use", async () => {
    let packets = 0;
    server.carry = (f) => void (packets++ || setTimeout(f, 10)); // HELLO
    const refused = expect(new Conn(url, { channels }).opened).rejects.toMatchObject({ code: "closed", retryAfter: 0 });
    await pass(100);
    server.sessions[0]!.channel!.end();
    await pass(100);
    await refused;
  });

  test("a new session when the server was not heard for the grace time, and tried for over links that say nothing", async () => {
    const ids: string[] = [];
    const failed = vi.fn();
    const run = async (): Promise<void> => {
      for await (const conn of sessions(url, { channels })) ids.push(conn.id);
    };
    run().then(failed, failed);
    await pass(200);
    server.dark = true;
    await pass(40_000);
    server.dark = false;
    server.loss = 1; // only signaling arrives
    await pass(20_000);
    expect(server.sessions.length).toBeGreaterThan(1);
    expect(ids).toEqual([number(1)]);
    server.loss = 0;
    await pass(20_000);
    expect(ids.length).toBe(2);
    expect(failed).not.toHaveBeenCalled();
  });

  test("one session after the other, until the server is there and while it may be", async () => {
    const stop = new AbortController();
    const { signal } = stop;
    const ids: string[] = [];
    const run = async (): Promise<void> => {
      for await (const conn of sessions(url, { channels, signal })) ids.push(conn.id);
    };
    let all = run();
    await pass(200);
    server.sessions[0]!.close(2); // shutdown
    await pass(100);
    server.dark = true;
    await pass(30_000);
    expect(server.asked.length).toBeGreaterThan(4);
    expect(server.asked.length).toBeLessThan(12);
    server.dark = false;
    server.refusal = 503;
    await pass(11_000);
    expect(ids).toEqual([number(1)]);
    server.refusal = 0;
    await pass(11_000);
    expect(ids).toEqual([number(1), number(2)]);
    server.sessions[1]!.close(300); // a code of the program
    await pass(100);
    await all;

    all = run();
    await pass(200);
    server.refusal = 403;
    server.says = { code: "forbidden", error: "no" };
    let refused = expect(all).rejects.toMatchObject({ code: "forbidden" });
    server.sessions[2]!.close(2);
    await pass(1000);
    await refused;

    server.refusal = 0;
    all = run();
    await pass(200);
    refused = expect(all).rejects.toThrow("enough");
    server.sessions[3]!.close(2);
    await pass(100);
    stop.abort(new Error("enough"));
    await pass(0);
    await refused;
    expect(ids).toEqual([number(1), number(2), number(3), number(4)]);
  });

  test.each(["refusal", "foreign"] as const)(
    "a large Retry-After of a %s neither ends a session nor makes requests without a pause",
    async (who) => {
      const conn = await join();
      server.sessions[0]!.channel!.end();
      server.retryAfter = "2592000";
      server[who] = 503;
      await pass(1000);
      expect(server.asked.length).toBe(2);
      server[who] = 0;
      await pass(16_000);
      expect([conn.state, server.sessions.length]).toEqual(["open", 1]);
    },
  );

  test.each([NaN, Infinity, -1, 1e300])(
    "a program that says retryAfter: %d makes no requests without a pause",
    async (retryAfter) => {
      let asked = 0;
      const stop = new AbortController();
      const token = (): string => {
        if (asked++) throw new ConnectError("mine", "not now", { retryAfter });
        return "t";
      };
      const run = async (): Promise<void> => {
        for await (const _ of sessions(url, { channels, token, signal: stop.signal }));
      };
      const done = run().catch(() => {});
      await pass(200);
      server.sessions[0]!.close(2);
      await pass(65_000);
      expect(asked).toBeGreaterThan(2);
      expect(asked).toBeLessThan(30);
      stop.abort();
      await pass(100);
      await done;
    },
  );

  test("a server that does not know the session is not the last to be asked, unless it is the only one", async () => {
    const conn = await join();
    server.sessions[0]!.channel!.end();
    server.refusal = 410;
    server.says = { code: "resume", error: "not here", reason: "unknown", instance: "a" };
    await pass(1000);
    expect(conn.state).toBe("interrupted");
    server.refusal = 0;
    await pass(5000);
    expect([conn.state, server.sessions.length]).toEqual(["open", 1]);

    server.sessions[0]!.channel!.end();
    server.refusal = 410;
    const asked = server.asked.length;
    await pass(12_000);
    expect((await conn.closed).error).toMatchObject({ code: "resume", status: 410 });
    expect(server.asked.length - asked).toBe(5);
  });

  test("sessions go on while there is no token, and something else answers", async () => {
    let fail = false;
    const token = (): string => {
      if (fail) throw new TypeError("Failed to fetch");
      return "t";
    };
    const ids: string[] = [];
    const failed = vi.fn();
    const run = async (): Promise<void> => {
      for await (const conn of sessions(url, { channels, token })) ids.push(conn.id);
    };
    run().then(failed, failed);
    await pass(200);
    fail = true;
    server.sessions[0]!.close(2);
    await pass(5000);
    fail = false;
    server.foreign = 404;
    await pass(10_000);
    server.foreign = 200;
    await pass(10_000);
    server.foreign = 0;
    await pass(11_000);
    expect(ids).toEqual([number(1), number(2)]);
    expect(failed).not.toHaveBeenCalled();
    fail = true;
    await expect(connect(url, { channels, token })).rejects.toMatchObject({
      code: "token",
      message: expect.stringContaining("Failed to fetch"),
    });
  });

  test("nothing is heard on a channel to the server", async () => {
    const table = [{ name: "up", mode: "sequenced", direction: "to-server" }] as const;
    const conn = new Conn(url, { channels: table });
    expect(() => conn.on("up" as never, () => {})).toThrow('channel "up" is to-server');
    expect(() => conn.send("none" as never, utf8(""))).toThrow('no channel "none": there is up');
    expect(() => conn.send("up", new Uint8Array(20_000))).toThrow(
      'channel "up": 20000 bytes, and maxMessage is 16384: raise it at both ends',
    );
    void conn.close();
    await pass(100);
  });

  test("bytes of every kind", async () => {
    const conn = await join();
    const heard: string[] = [];
    conn.on("chat", (b) => heard.push(text(b)));
    const { buffer } = Uint8Array.from(utf8("abcd"));
    for (const b of [new Uint8Array(buffer, 1, 2), buffer, new DataView(buffer, 3), new Uint16Array(buffer, 2, 1)])
      conn.send("chat", b);
    await pass(200);
    expect(heard).toEqual(["bc", "abcd", "d", "cd"]);
    conn.handle("where", () => new DataView(buffer));
    server.sessions[0]!.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where")));
    await pass(200);
    expect(server.answers.map(({ payload }) => text(payload))).toEqual(["abcd"]);
  });

  test("level one", async () => {
    const raw = connectRaw(url, { token: "x" });
    await pass(200);
    const conn = await raw;
    expect([conn.dropped, conn.times.total > 0, server.asked]).toEqual([0, true, ["Bearer x"]]);
    expect(() => conn.send({} as never)).toThrow("is not bytes");
    expect(() => conn.send(new Uint8Array(1161))).toThrow("at most 1160");
    expect(() => conn.send("é".repeat(581))).toThrow("at most 1160");
    expect(conn.send("é".repeat(580))).toBe(true);
    expect(conn.send(new Uint8Array(new SharedArrayBuffer(4)))).toBe(true);
    conn.close();
    expect([conn.send("late"), conn.dropped]).toEqual([false, 1]);
  });
});
