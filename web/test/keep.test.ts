// Which page continues a session, and when: reloads, tabs, locks, storage and tokens.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { utf8 } from "./bytes";
import { channels, clients, type Joined, key, options, pass, stubPage, unstubPage, url, within } from "./keeping";
import { fingerprint, number, Server } from "./page";

let server: Server;
let leave: EventTarget; // the source of the event pagehide
beforeEach(() => {
  leave = stubPage();
  server = new Server(channels);
});
afterEach(unstubPage);

const stored = (): number => sessionStorage.length;
const reload = (): boolean => leave.dispatchEvent(new Event("pagehide"));

describe.each(clients)("%s", (_, { Conn, connect, keep, resume, sessions, suspend }) => {
  const turn = (type: string): boolean => leave.dispatchEvent(Object.assign(new Event(type), { persisted: true }));

  test.each([connect, keep])("a page that comes back unchanged continues its session", async (begin) => {
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

  test.each(["a URL", "an invite"])("the next page needs no request, and no other invite: it began with %s", async (how) => {
    Object.assign(server, { quick: true, most: 0 });
    const target = how === "a URL" ? url : server.invite();
    const first = await within(500, keep(target, options));
    const asked = server.asked.length;
    first.send("chat", utf8("x"));
    reload();
    expect(sessionStorage.getItem(how === "a URL" ? key : `godwit ${fingerprint}`)).toEqual(expect.any(String));
    const second = await within(500, keep(target, options));
    await pass(100);
    expect([second.continued, second.id, server.asked.length]).toEqual([true, first.id, asked]);
    expect(server.sessions[0]!.came.length).toBe(1);
    void second.close();
    await pass(1000);
  });

  test("a page that comes back after the grace time continues with a new session", async () => {
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

  test("a page that comes back before it has connected still connects", async () => {
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

  test("a page that could not be saved comes back, and does not change what another page has saved", async () => {
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

  test("a page that ends before its session continues begins no other session", async () => {
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

  test("a page that ends while its session closes tells the server at once", async () => {
    const conn = await within(500, connect(url, options));
    conn.send("chat", utf8("x"));
    void conn.close(300, "bye");
    reload();
    server.dark = true; // nothing that the page sends later arrives
    await pass(100);
    expect(server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test.each([true, false])(
    "a session that its program has closed is closed at the server at once, and no page continues it; the page may come back: %s",
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

  test("an attempt that is given up at once does not take the saved session", async () => {
    const first = await within(500, keep(url, options));
    reload();
    const enough = new AbortController();
    const given = keep(url, { ...options, signal: enough.signal });
    enough.abort(new Error("mounted twice"));
    const next = keep(url, options);
    await expect(given).rejects.toThrow("mounted twice");
    expect([(await within(500, next)).continued, (await next).id]).toEqual([true, first.id]);
  });

  test("a session with another server leaves the saved session of the first, and the query of the URL does not matter", async () => {
    const first = await within(500, keep(url, options));
    reload();
    const other = await within(500, keep("https://game.example/other/", options));
    expect([other.continued, other.id]).toEqual([false, number(2)]);
    reload();
    const again = await within(500, keep(`${url}?room=5#x`, options));
    expect([again.continued, again.id]).toEqual([true, first.id]);
  });

  test("a session that its program closes while the page ends is not saved", async () => {
    const conn = await within(500, keep(url, options));
    leave.addEventListener("pagehide", () => void conn.close(300, "bye"));
    turn("pagehide");
    expect(await conn.closed).toMatchObject({ code: 300, reason: "bye" });
    await pass(0);
    expect(stored()).toBe(0);
  });

  test("a session that its program has closed cannot be suspended", async () => {
    const conn = await within(500, connect(url, options));
    conn.send("chat", utf8("x"));
    const ended = conn.close(300, "bye");
    expect(suspend(conn)).toBe("");
    expect(await within(500, ended)).toMatchObject({ code: 300, reason: "bye", lostOut: 0 });
    await pass(100);
    expect(server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test("a session that is suspended when it is interrupted opens no link", async () => {
    const conn = await within(500, connect(url, options));
    let saved = "";
    conn.addEventListener("interrupted", () => void (saved = suspend(conn)));
    server.sessions[0]!.channel!.end();
    const asked = server.asked.length;
    await pass(60_000);
    expect([saved.length > 0, server.asked.length]).toEqual([true, asked]);
  });

  test.each([true, false])("keep continues over reloads, without another token; locks %s", async (locks) => {
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
    expect([server.sessions[0]!.hellos, server.sessions[0]!.moves], "it introduces itself only once").toEqual([1, [1, 2, 3]]);
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

  test.each([Number.NaN, "soon", { drain: 5 }])(
    "a session is closed at once if the time for its messages is %o, which is no number",
    async (drain) => {
      const conn = await within(500, connect(url, options));
      conn.send("chat", utf8("one"));
      server.dark = true;
      await within(500, conn.close(0, "", drain as number));
    },
  );

  test("a page to which locks are denied continues its session, and only once", async () => {
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

  test("a session that cannot continue is replaced by a new one", async () => {
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
    sessionStorage.setItem(key, sessionStorage.getItem(key)!.replace("[6,", "[5,")); // another release
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

  test("one session after the other, each of which continues when the page is loaded again", async () => {
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

  test("a signal ends an attempt to continue: before it begins, and while it waits for the lock", async () => {
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
    await expect(within(500, resume(url, options, late)), "only the server knows that it is too late").rejects.toMatchObject({
      code: "resume",
      status: 410,
    });
    const why = { code: "resume", status: 0, cause: expect.anything() };
    await expect(within(500, resume(url, options, "{}"))).rejects.toMatchObject(why);
  });
});
