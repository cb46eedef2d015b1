// A session that continues in the next page: the server, with the engine in Go, sees only a new link.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type SavedSender } from "../src/queue";
import { type SavedReceiver } from "../src/reassembly";
import { type SavedSession } from "../src/session";
import { full } from "../src/table";
import { utf8 } from "./bytes";
import { GoProcess } from "./gopeer";
import { Ledger } from "./ledger";
import { number, Server } from "./page";
import { random } from "./sim";

const built = (await import(new URL("../dist/godwit.keep.min.js", import.meta.url).href)) as typeof import("../src/godwit");

const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "loot", mode: "reliable-unordered" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
type Joined = import("../src/godwit").Conn<typeof channels>;
const url = "https://game.example/godwit/";
const key = `godwit ${url}`;
const options = { channels, token: "ticket" };

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

let server: Server;
let leave: EventTarget; // the source of the event pagehide
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
  server = new Server(channels);
  leave = new EventTarget();
  const storage = new Map<string, string>();
  vi.stubGlobal("addEventListener", leave.addEventListener.bind(leave));
  vi.stubGlobal("removeEventListener", leave.removeEventListener.bind(leave));
  vi.stubGlobal("sessionStorage", {
    getItem: (k: string) => storage.get(k) ?? null,
    setItem: (k: string, v: string) => storage.set(k, v),
    removeItem: (k: string) => storage.delete(k),
    clear: () => storage.clear(),
    get length() {
      return storage.size;
    },
  });
  const held = new Set<string>();
  vi.stubGlobal("navigator", {
    locks: {
      async request(name: string, _: LockOptions, f: (lock: object | null) => Promise<unknown>) {
        await null; // as browsers do
        const free = !held.has(name);
        if (free) held.add(name);
        await f(free ? {} : null);
        if (free) held.delete(name);
      },
    },
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const stored = (): number => sessionStorage.length;
const reload = (): boolean => leave.dispatchEvent(new Event("pagehide"));

/** What a saved session has of a channel: its sending and its receiving half. */
function channelOf(saved: string, id: number): [SavedSender, SavedReceiver] {
  return (JSON.parse(saved) as [number, number, SavedSession])[2][7][id]!;
}

/** Lets time pass until p settles, ms at most. */
async function within<T>(ms: number, p: Promise<T>): Promise<T> {
  let settled = false;
  const note = (): void => void (settled = true);
  p.then(note, note);
  for (const end = performance.now() + ms; !settled && performance.now() < end; ) await pass(10);
  if (!settled) throw new Error(`not after ${ms} ms`);
  return p;
}

describe.each([
  ["source", await import("../src/godwit")],
  ["bundle", built],
])("%s", (_, { Conn, connect, keep, resume, RequestError, sessions, suspend }) => {
  test.each([1, 2, 3, 4])("seed %i: pages that end at any moment lose nothing, and get nothing twice", async (seed) => {
    const draw = random(seed);
    server = new Server(channels, (events) => go.mux(channels, true, events));
    const ways = [new Ledger(1, "sequenced"), new Ledger(2, "reliable-unordered"), new Ledger(3, "reliable-ordered")];
    const echoes = ways.map(({ channel, mode }) => new Ledger(channel, mode));
    const listen = (conn: Joined): void => channels.forEach(({ name }, i) => void conn.on(name, (b) => echoes[i]!.take(b)));
    const size = (): number => (draw() < 0.05 ? 5000 : draw() * 300);
    server.loss = 0.1;
    let conn = await within(20_000, connect(url, options));
    for (let page = 0; page < 12; page++) {
      if (page % 3 > 0) listen(conn); // otherwise the program does not listen, and the messages are kept
      for (let i = Math.floor(draw() * 40); i > 0; i--) {
        if (conn.state === "open") conn.send("moves", ways[0]!.next(size()));
        conn.send("loot", ways[1]!.next(size()));
        conn.send("chat", ways[2]!.next(size()));
        await pass(draw() * 30);
      }
      const saved = suspend(conn);
      expect(await conn.closed).toMatchObject({ code: 0, reason: "suspended", remote: false });
      conn = await within(20_000, resume(url, options, saved));
      expect([conn.continued, conn.state, conn.id]).toEqual([true, "open", number(1)]);
    }
    listen(conn);
    const s = server.sessions[0]!;
    for (let i = 0; i < 50 && echoes[2]!.came.length < ways[2]!.sent; i++) await pass(200);
    await pass(500);
    for (const [channel, b] of s.came) {
      const l = ways[channel - 1]!;
      l.take(b);
    }
    for (const l of [...ways, ...echoes]) {
      l.sent = ways[l.channel - 1]!.sent;
      l.check();
    }
    expect(ways[2]!.sent).toBeGreaterThan(100);
    expect([s.hellos, s.moves.at(-1)]).toEqual([1, 12]);
    expect(server.asked.filter((a) => a === "Bearer ticket").length).toBe(1);
  });

  const turn = (type: string): boolean => leave.dispatchEvent(Object.assign(new Event(type), { persisted: true }));

  test.each([connect, keep])("a page that comes back as it was goes on with its session", async (begin) => {
    const conn = await within(500, begin(url, options));
    const events: string[] = [];
    for (const type of ["interrupted", "resumed", "close"] as const) conn.addEventListener(type, () => events.push(type));
    turn("pagehide");
    const asked = server.asked.length;
    await pass(5000);
    expect([events, conn.state, server.asked.length]).toEqual([["interrupted"], "interrupted", asked]);
    conn.send("chat", utf8("late"));
    turn("pageshow");
    await pass(1000);
    expect([events, conn.state, server.sessions.length]).toEqual([["interrupted", "resumed"], "open", 1]);
    expect(server.sessions[0]!.came.length).toBe(1);
    expect(sessionStorage.getItem(key)).toBe(null);
    void conn.close();
    await pass(1000);
  });

  test("a page that comes back after the grace time goes on with the next session", async () => {
    const ids: string[] = [];
    void (async () => {
      for await (const conn of sessions(url, options)) ids.push(conn.id);
    })();
    await pass(500);
    turn("pagehide");
    await pass(40_000);
    turn("pageshow");
    await pass(5000);
    expect(ids).toEqual([number(1), number(2)]);
  });

  test("a page that comes back finds that the next page has its session", async () => {
    const first = await within(500, keep(url, options));
    turn("pagehide");
    const second = await within(2000, keep(url, options));
    expect([second.continued, second.id]).toEqual([true, first.id]);
    const asked = server.asked.length;
    turn("pageshow");
    expect(await within(100, first.closed)).toMatchObject({ code: 6, error: { code: "resume" } });
    await pass(1000);
    expect([second.state, server.sessions.length, server.asked.length]).toEqual(["open", 1, asked]);
    void second.close();
    await pass(1000);
  });

  test("a page that comes back before it has connected goes on to connect", async () => {
    const going = connect(url, options);
    await pass(5);
    turn("pagehide");
    turn("pageshow");
    expect((await within(500, going)).state).toBe("open");
    expect(server.sessions.length).toBe(1);
  });

  test("a page that waits to come back holds no lock, or browsers would not bring it back", async () => {
    await within(500, keep(url, options));
    reload();
    const name = vi.spyOn(navigator.locks, "request");
    const conn = await within(500, keep(url, options));
    const free = async (): Promise<boolean> => {
      let lock: unknown;
      await navigator.locks.request(name.mock.calls[0]![0], { ifAvailable: true }, (l) => void (lock = l));
      return lock !== null;
    };
    expect([conn.continued, await free()]).toEqual([true, false]);
    turn("pagehide");
    await pass(0);
    expect(await free()).toBe(true);
    turn("pageshow");
    await pass(1000);
    expect([conn.state, conn.id]).toEqual(["open", number(1)]);
  });

  test("a page that could not be saved comes back, and leaves alone what another has saved", async () => {
    const first = await within(500, keep(url, options));
    const { setItem } = sessionStorage;
    sessionStorage.setItem = () => {
      throw new DOMException("no room", "QuotaExceededError");
    };
    turn("pagehide");
    sessionStorage.setItem = setItem;
    sessionStorage.setItem(key, "another");
    turn("pageshow");
    await pass(1000);
    expect([first.state, sessionStorage.getItem(key)]).toEqual(["open", "another"]);
  });

  test("messages that have left or come in part go on, both ways, and no piece of them is sent again", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    const mux = s.mux as import("../src/mux").Mux;
    const channel = s.channel!;
    const big = (n: number): Uint8Array => new Uint8Array(5000).map((_, i) => i * n);
    const [send, fromServer] = [channel.send, channel.fromServer];
    const least = { up: 2, down: 2 }; // large packets that arrive
    channel.send = (b) => (b.length < 500 || least.up-- > 0) && send.call(channel, b);
    channel.fromServer = (b) => (b.length < 500 || least.down-- > 0) && fromServer.call(channel, b);
    const fate = first.send("chat", big(3), { receipt: true });
    await pass(100);
    mux.send(performance.now(), 2, big(5));
    s.flush();
    await pass(60);
    mux.send(performance.now(), 2, utf8("small"));
    s.flush();
    await pass(60);
    first.send("chat", utf8("late"), { deadline: 1000 }); // it has expired when the next page continues
    first.send("chat", utf8("kept"));
    const saved = suspend(first);
    expect([await fate, channel.readyState]).toEqual(["abandoned", "closed"]);
    const [[, messages]] = channelOf(saved, 3);
    const [, sent, acked] = messages[0]!;
    expect([sent > 2, acked.filter(Boolean).length]).toEqual([true, 2]);
    await pass(2000);
    const second = await within(1000, resume(url, options, saved));
    const heard: Uint8Array[] = [];
    second.on("loot", (b) => heard.push(b));
    await pass(2000);
    expect(s.came).toEqual([
      [3, big(3)],
      [3, utf8("kept")],
    ]);
    expect(heard.map((b) => b.length).sort()).toEqual([5, 5000]);
    expect(heard.find((b) => b.length > 5)).toEqual(big(5));
    expect(mux.channelStats(3).duplicates).toBe(0);
    expect(second.channelStats("loot").duplicates).toBe(0);
    expect([second.stats().queued, second.stats().held, mux.stats().queued]).toEqual([0, 0, 0]);
    const [, [base]] = channelOf(suspend(second), 2);
    expect(base, "nothing is missing: the small one came before").toBe(2);
    await pass(500);
  });

  test("a session goes on in a page with another bundle", async () => {
    const plain = (await import(new URL("../dist/godwit.js", import.meta.url).href)) as typeof built;
    for (const [a, b] of [
      [built, plain],
      [plain, built],
    ] as const) {
      server = new Server(channels);
      const conn = await within(500, a.connect(url, options));
      conn.send("chat", new Uint8Array(5000));
      const next = await within(1000, b.resume(url, options, a.suspend(conn as never)));
      await pass(300);
      expect([next.continued, server.sessions[0]!.came.map(([, m]) => m.length)]).toEqual([true, [5000]]);
      void next.close();
      await pass(300);
    }
  });

  test("requests: one of the page ends with it, one of the server is served by the next page", async () => {
    const first = await within(500, connect(url, options));
    const asked: string[] = [];
    first.handle("where", () => new Promise(() => {}));
    server.sessions[0]!.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where"), ...utf8("Ann")));
    await pass(100);
    const call = expect(first.request("upper", utf8("x"))).rejects.toThrow(RequestError);
    const saved = suspend(first);
    await call;
    const second = await within(5000, resume(url, options, saved));
    second.handle("where", (b) => {
      asked.push(Buffer.from(b).toString());
      return utf8("here");
    });
    const reply = second.request("upper", utf8("abc"));
    await pass(300);
    expect(Buffer.from((await reply)!).toString()).toBe("ABC");
    expect(asked).toEqual(["Ann"]);
    expect(server.answers.map(({ id, payload }) => [id, Buffer.from(payload).toString()])).toEqual([[9, "here"]]);
  });

  const where = Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where"), ...utf8("Ann"));
  const here = (conn: Joined): Joined => {
    conn.handle("where", () => utf8("here"));
    return conn;
  };
  const answers = (): unknown[] => server.answers.map(({ type, id, payload }) => [type, id, Buffer.from(payload).toString()]);

  test("a request that was sent while there was no page is served by the next", async () => {
    const saved = suspend(await within(500, connect(url, options)));
    server.sessions[0]!.mux.send(performance.now(), 0, where);
    await within(1000, resume(url, options, saved).then(here));
    await pass(200);
    expect(answers()).toEqual([[4, 9, "here"]]);
  });

  test("a request outlives a page that goes before the server is heard", async () => {
    const first = await within(500, keep(url, options));
    first.handle("where", () => new Promise(() => {}));
    server.sessions[0]!.mux.send(performance.now(), 0, where);
    await pass(100);
    reload();
    server.dark = true;
    void keep(url, options).catch(() => {});
    await pass(100);
    reload();
    server.dark = false;
    const third = await within(1000, keep(url, options).then(here));
    await pass(200);
    expect([third.continued, answers()]).toEqual([true, [[4, 9, "here"]]]);
  });

  test("a page that goes before the server is heard leaves the session as it was", async () => {
    const first = await within(500, keep(url, options));
    first.handle("where", () => new Promise(() => {}));
    const s = server.sessions[0]!;
    const mux = s.mux as import("../src/mux").Mux;
    const channel = s.channel!;
    first.send("chat", utf8("arrives"));
    await pass(100);
    const { fromServer } = channel;
    let large = 1; // large packets that arrive
    channel.fromServer = (b) => (b.length < 500 || large-- > 0) && fromServer.call(channel, b);
    mux.send(performance.now(), 0, where);
    for (const b of [new Uint8Array(5000).fill(1), utf8("heard by nobody")]) {
      mux.send(performance.now(), 2, b);
      s.flush();
      await pass(60);
    }
    first.send("chat", new Uint8Array(100_000), { key: "map" });
    first.send("chat", utf8("waits"), { deadline: 60_000 });
    await pass(60);
    reload();
    const saved = sessionStorage.getItem(key)!;
    const [[, messages]] = channelOf(saved, 3);
    const [, [base, partials]] = channelOf(saved, 2);
    expect([messages.length, messages[0]![0], base]).toEqual([2, 1, 0]);
    expect(partials, "one in part, and one of which there is no more").toEqual([
      [0, [expect.any(Array), { b: expect.any(String) }]],
      [1, null],
    ]);
    const [, sent, acked] = messages[0]!;
    expect([sent > 0 && sent < acked.length, acked.includes(true)]).toEqual([true, true]);
    server.dark = true;
    void keep(url, options).catch(() => {});
    await pass(100);
    reload();
    const again = JSON.parse(sessionStorage.getItem(key)!) as unknown[];
    expect(again).toEqual(Object.assign(JSON.parse(saved), { 1: again[1] }));
  });

  test("a deadline is one of the wall clock, for the clock of the next page begins again", async () => {
    const first = await within(500, connect(url, options));
    const { came } = server.sessions[0]!;
    server.dark = true;
    first.send("chat", utf8("expires"), { deadline: 1000 });
    first.send("chat", utf8("stays"), { deadline: 5000 });
    const saved = suspend(first);
    await pass(2000);
    server.dark = false;
    const before = performance.now();
    const now = performance.now.bind(performance);
    Object.assign(performance, { now: () => now() - before });
    await within(1000, resume(url, options, saved));
    await pass(500);
    expect(came.map(([, b]) => Buffer.from(b).toString())).toEqual(["stays"]);
  });

  test("sequenced messages that nobody has heard end with their page", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    s.mux.send(performance.now(), 1, utf8("old"));
    s.mux.send(performance.now(), 3, utf8("kept"));
    s.flush();
    await pass(100);
    const second = await within(1000, resume(url, options, suspend(first)));
    const heard: string[] = [];
    for (const name of ["moves", "chat"] as const) second.on(name, (b) => heard.push(Buffer.from(b).toString()));
    await pass(500);
    expect(heard).toEqual(["kept"]);
  });

  test("what had arrived before a message that had not does not stop those behind it", async () => {
    const first = await within(500, connect(url, options));
    const { channel, came } = server.sessions[0]!;
    const { send } = channel!;
    channel!.send = (b) => !Buffer.from(b as Uint8Array).includes("one") && send.call(channel, b);
    for (const word of ["one", "two"]) {
      first.send("chat", utf8(word));
      await pass(50);
    }
    const fourth = first.send("chat", utf8("three"));
    const saved = suspend(first);
    const [[, messages]] = channelOf(saved, 3);
    const acked = messages.map((m) => m[2][0]);
    expect([acked, fourth]).toEqual([[false, true, false], undefined]);
    await within(1000, resume(url, options, saved));
    await pass(500);
    expect(came.map(([, b]) => Buffer.from(b).toString())).toEqual(["one", "two", "three"]);
  });

  test("suspend from a handler keeps what came in the same packet", async () => {
    const first = await within(500, connect(url, options));
    const heard: string[] = [];
    const note = (b: Uint8Array): number => heard.push(Buffer.from(b).toString());
    let saved = "";
    first.on("chat", (b) => {
      note(b);
      saved = suspend(first);
    });
    const { mux } = server.sessions[0]!;
    for (const word of ["a", "b", "c"]) mux.send(performance.now(), 3, utf8(word));
    mux.send(performance.now(), 0, where);
    await pass(100);
    expect(heard).toEqual(["a"]);
    const second = await within(1000, resume(url, options, saved).then(here));
    second.on("chat", note);
    await pass(200);
    expect([heard, answers()]).toEqual([["a", "b", "c"], [[4, 9, "here"]]]);
  });

  test("suspend from a handler keeps what came before anybody listened", async () => {
    const first = await within(500, connect(url, options));
    const heard: string[] = [];
    const { mux } = server.sessions[0]!;
    for (const word of ["a", "b", "c"]) mux.send(performance.now(), 3, utf8(word));
    await pass(100);
    let saved = "";
    first.on("chat", (b) => {
      heard.push(Buffer.from(b).toString());
      saved = suspend(first);
    });
    expect(heard).toEqual(["a"]);
    const second = await within(1000, resume(url, options, saved));
    second.on("chat", (b) => heard.push(Buffer.from(b).toString()));
    await pass(200);
    expect(heard).toEqual(["a", "b", "c"]);
  });

  test("a page that goes before its session goes on begins no other", async () => {
    await within(500, keep(url, options));
    reload();
    server.dark = true;
    const going = expect(keep(url, options)).rejects.toMatchObject({ code: "closed" });
    await pass(100);
    reload();
    await pass(100);
    await going;
    expect(server.asked.filter((a) => a.startsWith("Bearer"))).toEqual(["Bearer ticket"]);
  });

  test("a page that cannot reach the server gives up when the grace time is over", async () => {
    const saved = suspend(await within(500, connect(url, options)));
    server.dark = true;
    await expect(within(40_000, resume(url, options, saved))).rejects.toMatchObject({ code: "closed", retryAfter: 0 });
  });

  test("a page that goes while its session closes says so at once", async () => {
    const conn = await within(500, connect(url, options));
    conn.send("chat", utf8("x"));
    void conn.close(300, "bye");
    reload();
    server.dark = true; // nothing that the page sends later arrives
    await pass(100);
    expect(server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test.each([true, false])(
    "a session that its program has closed is said to be, and kept by nobody; the page may come back: %s",
    async (persisted) => {
      const conn = await within(500, keep(url, options));
      conn.send("chat", utf8("x"));
      void conn.close(300, "bye");
      leave.dispatchEvent(Object.assign(new Event("pagehide"), { persisted }));
      expect(stored()).toBe(0);
      await pass(100);
      expect([server.sessions[0]!.closed, await conn.closed]).toMatchObject([[300, "bye"], { code: 300, reason: "bye" }]);
      const next = await within(500, keep(url, options));
      expect([next.continued, next.id]).toEqual([false, number(2)]);
    },
  );

  test("an attempt that is given up at once takes nothing", async () => {
    const first = await within(500, keep(url, options));
    reload();
    const enough = new AbortController();
    const given = keep(url, { ...options, signal: enough.signal });
    enough.abort(new Error("mounted twice"));
    const next = keep(url, options);
    await expect(given).rejects.toThrow("mounted twice");
    expect([(await within(500, next)).continued, (await next).id]).toEqual([true, first.id]);
  });

  test("a page that goes on to another server leaves alone what was kept of the first, whatever the query is", async () => {
    const first = await within(500, keep(url, options));
    reload();
    const other = await within(500, keep("https://game.example/other/", options));
    expect([other.continued, other.id]).toEqual([false, number(2)]);
    reload();
    const again = await within(500, keep(`${url}?room=5#x`, options));
    expect([again.continued, again.id]).toEqual([true, first.id]);
  });

  test("a session that its program closes while the page goes is kept by nobody", async () => {
    const conn = await within(500, keep(url, options));
    leave.addEventListener("pagehide", () => void conn.close(300, "bye"));
    turn("pagehide");
    expect(await conn.closed).toMatchObject({ code: 300, reason: "bye" });
    await pass(0);
    expect(stored()).toBe(0);
  });

  test("a session that its program has closed is not to be suspended", async () => {
    const conn = await within(500, connect(url, options));
    conn.send("chat", utf8("x"));
    const ended = conn.close(300, "bye");
    expect(suspend(conn)).toBe("");
    expect(await within(500, ended)).toMatchObject({ code: 300, reason: "bye", lostOut: 0 });
    await pass(100);
    expect(server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test("a session that is suspended when it is interrupted looks for no link", async () => {
    const conn = await within(500, connect(url, options));
    let saved = "";
    conn.addEventListener("interrupted", () => void (saved = suspend(conn)));
    server.sessions[0]!.channel!.end();
    const asked = server.asked.length;
    await pass(60_000);
    expect([saved.length > 0, server.asked.length]).toEqual([true, asked]);
  });

  test.each([true, false])("keep goes on over reloads, without another token; locks %s", async (locks) => {
    if (!locks) vi.stubGlobal("navigator", {}); // as on pages without TLS
    let conn = await within(500, keep(url, options));
    expect(conn.continued).toBe(false);
    for (let i = 0; i < 3; i++) {
      conn.send("chat", utf8(`page ${i}`));
      reload();
      conn = await within(500, keep(url, options));
      expect([conn.continued, conn.id]).toEqual([true, number(1)]);
    }
    await pass(200);
    expect(server.sessions[0]!.came.map(([, b]) => Buffer.from(b).toString())).toEqual(["page 0", "page 1", "page 2"]);
    expect(server.asked.filter((a) => a.startsWith("Bearer"))).toEqual(["Bearer ticket"]);
    expect([server.sessions[0]!.hellos, server.sessions[0]!.moves], "who it is it says once").toEqual([1, [1, 2, 3]]);
  });

  test("a page that is left before it has the lock leaves the session to the next", async () => {
    await within(500, keep(url, options));
    reload();
    let give = (): void => {};
    const { locks } = navigator;
    vi.stubGlobal("navigator", {
      locks: {
        request: (name: string, o: LockOptions, f: (lock: Lock | null) => unknown) =>
          new Promise<void>((got) => (give = got)).then(() => locks.request(name, o, f)),
      },
    });
    const left = keep(url, options);
    left.catch(() => {});
    await pass(100);
    expect(stored()).toBe(0);
    reload();
    give();
    await expect(left).rejects.toThrow();
    vi.stubGlobal("navigator", { locks });
    const conn = await within(500, keep(url, options));
    expect([conn.continued, conn.id, stored()]).toEqual([true, number(1), 0]);
  });

  test("a session is closed at once if the time for its messages is no number", async () => {
    const conn = await within(500, connect(url, options));
    conn.send("chat", utf8("one"));
    server.dark = true;
    await within(500, conn.close(0, "", Number.NaN));
  });

  test("a page to which locks are denied goes on, and once", async () => {
    const denied = async (_: string, __: LockOptions, f?: (lock: object | null) => unknown): Promise<never> => {
      void f?.({});
      throw new DOMException("denied", "SecurityError");
    };
    await within(500, keep(url, options));
    for (const late of [false, true]) {
      reload();
      vi.stubGlobal("navigator", {
        locks: { request: (name: string, o: LockOptions, f: () => unknown) => denied(name, o, late ? f : undefined) },
      });
      const conn = await within(500, keep(url, options));
      await pass(5000);
      expect([conn.continued, conn.id, conn.state]).toEqual([true, number(1), "open"]);
    }
    expect(server.sessions[0]!.moves).toEqual([1, 2]);
  });

  test("a channel that the server opened goes on, with what was sent on it", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    const bag = { name: "bag", mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 } as const;
    s.open("4 bag reliable-ordered both 100 1000", full(bag));
    await pass(200);
    first.send(first.channels[0]!.name, utf8("one"));
    const second = await within(5000, resume(url, options, suspend(first)));
    expect(second.channels).toEqual([expect.objectContaining(bag)]);
    const { name } = second.channels[0]!;
    const heard: string[] = [];
    second.on(name, (b) => heard.push(Buffer.from(b).toString()));
    second.send(name, utf8("two"));
    await pass(300);
    expect([heard, s.opened]).toEqual([["one", "two"], [4]]);
  });

  test("what cannot go on is a new session", async () => {
    const next = async (): Promise<Joined> => within(1000, keep(url, options));
    let conn = await next();

    reload();
    await pass(31_000); // beyond the grace time
    conn = await next();
    expect(server.asked.filter((a) => a.startsWith("Godwit-Resume"))).toEqual([]);
    expect([conn.continued, conn.id]).toEqual([false, number(2)]);

    reload();
    server.sessions[1]!.token.fill(0); // the server was restarted
    conn = await next();
    expect([conn.continued, conn.id]).toEqual([false, number(3)]);

    reload();
    sessionStorage.setItem(key, sessionStorage.getItem(key)!.replace("[4,", "[3,")); // another release
    conn = await next();
    expect([conn.continued, conn.id]).toEqual([false, number(4)]);

    reload();
    sessionStorage.clear();
    conn = await next();
    for (let i = 0; i < 4; i++) for (const name of ["chat", "loot"] as const) conn.send(name, new Uint8Array(250_000));
    reload(); // with more than can be saved
    expect(sessionStorage.getItem(key)).toBe(null);
    expect(await conn.closed).toMatchObject({ code: 0, reason: "", remote: false });
  });

  test("what is saved has 2 Mi characters at most; a larger session ends with its page", async () => {
    const goes = async (name: string): Promise<[number | undefined, unknown]> => {
      sessionStorage.clear();
      const conn = await within(500, keep(url, options));
      conn.send("chat", new Uint8Array(10), { key: name });
      reload();
      return [sessionStorage.getItem(key)?.length, (await conn.closed).reason];
    };
    const [length] = await goes("k");
    const left = (2 << 20) - length!;
    expect(await goes("k".repeat(1 + left))).toEqual([2 << 20, "suspended"]);
    expect(await goes("k".repeat(2 + left))).toEqual([undefined, ""]);
    await pass(100);
    expect(server.sessions.map((s) => s.closed)).toEqual([null, null, [0, ""]]);
  });

  test("one session after the other, each of which goes on when the page is loaded again", async () => {
    const seen: [string, boolean][] = [];
    const page = async (): Promise<void> => {
      for await (const { id, continued } of sessions(url, options, keep)) seen.push([id, continued]);
    };
    const first = page();
    await pass(200);
    reload();
    await first;
    const second = page();
    await pass(500);
    server.sessions[0]!.close(2); // shutdown
    await pass(1500);
    server.sessions[1]!.close(300); // a code of the program
    await pass(200);
    await second;
    expect(seen).toEqual([
      [number(1), false],
      [number(1), true],
      [number(2), false],
    ]);
  });

  test("a page without storage has a session of its own", async () => {
    vi.unstubAllGlobals();
    server = new Server(channels);
    const denied = (): never => {
      throw new DOMException("no", "SecurityError");
    };
    Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: denied });
    const conn = await within(500, keep(url, options)).finally(() => Reflect.deleteProperty(globalThis, "sessionStorage"));
    expect([conn.state, conn.continued]).toEqual(["open", false]);
  });

  test("no timer outlives a session, however it ends", async () => {
    const none = vi.getTimerCount();
    const over = async (): Promise<void> => {
      await pass(5000);
      expect(vi.getTimerCount()).toBe(none);
    };
    const join = (): Promise<Joined> => within(500, connect(url, options));
    const first = await join();
    first.send("chat", utf8("x"));
    void first.close();
    await over();
    await join();
    server.sessions[1]!.close(300);
    await over();
    const saved = suspend(await join());
    await over();
    const silent = await join();
    server.dark = true;
    await pass(4000);
    expect(silent.state).toBe("interrupted");
    void silent.close();
    await over();
    await expect(within(40_000, resume(url, options, saved))).rejects.toThrow();
    await over();
    void new Conn(url, options).close();
    await over();
  });

  test("a copy of the tab gets a session of its own", async () => {
    await within(500, keep(url, options));
    reload();
    const copy = sessionStorage.getItem(key)!;
    const conn = await within(500, keep(url, options));
    sessionStorage.setItem(key, copy);
    const other = await within(500, keep(url, options));
    await pass(5000);
    expect([conn.id, conn.state, other.id, other.state, other.continued]).toEqual([number(1), "open", number(2), "open", false]);
  });

  test("a signal gives up going on: before it begins, and while it is not known whether it may", async () => {
    await within(500, keep(url, options));
    reload();
    const enough = new Error("enough");
    const given = { ...options, signal: AbortSignal.abort(enough) };
    await expect(keep(url, given)).rejects.toBe(enough);
    await expect(resume(url, given, sessionStorage.getItem(key)!)).rejects.toBe(enough);
    const giving = new AbortController();
    const going = keep(url, { ...options, signal: giving.signal });
    giving.abort(enough);
    await expect(going).rejects.toBe(enough);
    await pass(5000);
    expect(server.asked).toEqual(["Bearer ticket"]);
  });

  test("a session that is not open is not saved, and a snapshot that is used up is refused", async () => {
    const conn = new Conn(url, options);
    expect(suspend(conn)).toBe("");
    await pass(500);
    const saved = suspend(conn);
    expect(suspend(conn)).toBe("");
    await within(500, resume(url, options, saved));
    await pass(500);
    await expect(within(500, resume(url, options, saved))).rejects.toMatchObject({ code: "resume", status: 410 });
    for (const at of [Date.now() + 1, Date.now() - 30_001]) {
      // of a clock that was set back; too old
      const other = JSON.stringify(Object.assign(JSON.parse(saved) as unknown[], { 1: at }));
      await expect(within(500, resume(url, options, other))).rejects.toMatchObject({ code: "resume", status: 0 });
    }
    const late = JSON.stringify(Object.assign(JSON.parse(saved) as unknown[], { 1: Date.now() - 30_000 }));
    await expect(within(500, resume(url, options, late)), "which is for the server to say").rejects.toMatchObject({
      code: "resume",
      status: 410,
    });
    await expect(within(500, resume(url, options, "{}"))).rejects.toMatchObject({ code: "resume", status: 0 });
  });
});
