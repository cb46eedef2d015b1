// The links of a Conn over time: what the page does to them, when it ends, and that nothing of an attempt stays.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Conn } from "../src/conn";
import { connect } from "../src/connect";
import { keep } from "../src/keep";
import { type ConnectOptions } from "../src/options";
import { fallen } from "../src/race";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, told, url } from "./client";
import { fakeLink } from "./page";

const page = client();
const host = "game.example";
let stored: Map<string, string>;
let changed: (e: Event) => void; // listener of navigator.connection

beforeEach(() => {
  page.server.sockets = true;
  stored = new Map();
  const storage = {
    getItem: (k: string) => stored.get(k) ?? null,
    setItem: (k: string, v: string) => stored.set(k, v),
    removeItem: (k: string) => stored.delete(k),
  };
  vi.stubGlobal("localStorage", storage);
  vi.stubGlobal("sessionStorage", storage);
  const connection = { addEventListener: (_: string, f: (e: Event) => void) => (changed = f), removeEventListener: () => {} };
  vi.stubGlobal("navigator", { connection });
});

const begin = (options: Partial<ConnectOptions<typeof channels>> = {}): Joined => new Conn(url, { channels, ...options });

describe("on a WebSocket", () => {
  let conn: Joined;
  beforeEach(async () => {
    page.server.udp = false;
    page.server.fails = true; // an attempt takes a second
    conn = begin();
    await pass(2000);
    expect([conn.link, page.server.asked.length]).toEqual(["websocket", 1]);
  });

  // Chromium's event says that its estimates of the round trip and the rate have changed; on a desktop it has no type.
  test("a network that was measured again is the same network", async () => {
    for (let i = 0; i < 5; i++) {
      changed(new Event("change"));
      await pass(2000);
    }
    expect([conn.link, page.server.asked.length, fallen(host)]).toEqual(["websocket", 1, true]);
  });

  test("a page that is gone, but may come back, asks for nothing", async () => {
    await pass(27_000);
    page.fire("pagehide");
    await pass(5000);
    expect([conn.state, page.server.asked.length]).toEqual(["interrupted", 1]);
  });

  test("a network that has changed is tried once, and then again after 30 seconds", async () => {
    page.fire("online");
    await pass(30_500); // an attempt takes a second
    expect(page.server.asked.length).toBe(2);
    await pass(1000);
    expect([conn.link, page.server.asked.length]).toEqual(["websocket", 3]);
  });

  test("on which the server is heard and does not hear, WebRTC is not tried beside the search for a link", async () => {
    const [s] = page.server.sessions;
    await pass(25_000);
    page.refuse(503);
    page.server.retryAfter = "10";
    s!.receive = () => {};
    s!.flush = () => {};
    while (conn.state === "open") await pass(100);
    delete (s as Partial<typeof s>)!.flush;
    s!.mux.send(performance.now(), 2, utf8("x"));
    s!.flush();
    await pass(100);
    expect([conn.state, page.server.asked.length]).toEqual(["open", 2]);
    await pass(2700); // WebRTC would be tried 30 seconds after the WebSocket has opened
    expect([conn.state, page.server.asked.length]).toEqual(["open", 2]);
  });

  test("a session that closes asks for nothing", async () => {
    await pass(28_000);
    page.server.dark = true;
    conn.send("chat", utf8("x"));
    void conn.close();
    await pass(2000);
    expect([conn.state, page.server.asked.length]).toEqual(["closed", 1]);
  });

  test("a session that the server closes during an attempt leaves no timer", async () => {
    await pass(28_900);
    expect(page.server.asked.length).toBe(2);
    page.server.sessions[0]!.close(0);
    await pass(5000);
    expect([conn.state, page.timers]).toEqual(["closed", 0]);
  });

  test("a browser that takes nothing more does not keep a session that has ended", async () => {
    const { channel } = page.server.sessions[0]!;
    channel!.bufferedAmount = 5000;
    page.server.dark = true;
    conn.send("chat", utf8("x"));
    void conn.close();
    await pass(6000);
    expect([conn.state, page.timers, channel!.readyState]).toEqual(["closed", 0, 3]);
  });
});

describe("where UDP neither arrives nor fails", () => {
  beforeEach(() => void (page.server.udp = false));

  test("the attempt to open WebRTC ends when the WebSocket does, because the next race has its own", async () => {
    const closes = vi.spyOn(RTCPeerConnection.prototype, "close");
    const conn = begin();
    await pass(1000);
    expect([conn.link, closes.mock.calls.length]).toEqual(["websocket", 0]);
    page.server.sessions[0]!.channel!.end();
    await pass(200);
    expect([conn.state, page.server.asked.length, closes.mock.calls.length]).toEqual(["open", 2, 1]);
  });

  test("a link that opens when the page is frozen is closed", async () => {
    page.server.others = [{ type: "webtransport" }];
    const conn = begin({ links: ["webrtc", fakeLink(1000)] });
    await pass(510);
    page.server.udp = true;
    await pass(200);
    expect([conn.state, conn.link, page.server.opened.length]).toEqual(["open", "webrtc", 1]);
    page.fire("pagehide");
    await pass(2000);
    expect([conn.state, conn.link, page.server.closes]).toEqual(["interrupted", "webrtc", [1000]]);
  });
});

test("a browser without WebRTC has no timer for it", async () => {
  vi.stubGlobal("RTCPeerConnection", undefined);
  const timers: number[] = [];
  for (const links of [["websocket"], ["webrtc", "websocket"]] as const) {
    const conn = begin({ links });
    await pass(500);
    expect(conn.link).toBe("websocket");
    timers.push(page.timers);
    void conn.close();
    await pass(500);
  }
  expect(timers[1]).toBe(timers[0]);
});

describe("a page that takes its session back, where UDP arrives, opens no WebSocket", () => {
  test("after a reload", async () => {
    const first = keep(url, { channels });
    await pass(500);
    await first;
    page.fire("pagehide", false);
    await pass(100);
    const next = keep(url, { channels });
    await pass(500);
    const conn = await next;
    expect([conn.continued, conn.link, page.server.opened]).toEqual([true, "webrtc", []]);
  });

  test("after it was frozen", async () => {
    const conn = begin();
    await pass(500);
    page.fire("pagehide");
    await pass(1000);
    page.fire("pageshow");
    await pass(500);
    expect([conn.state, conn.link, page.server.opened]).toEqual(["open", "webrtc", []]);
  });

  test("but where UDP does not arrive any more, after the head start", async () => {
    const conn = begin();
    await pass(500);
    page.fire("pagehide");
    page.server.udp = false;
    page.fire("pageshow");
    await pass(499);
    expect(page.server.opened).toEqual([]);
    await pass(200);
    expect([conn.state, conn.link]).toEqual(["open", "websocket"]);
  });
});

describe("an attempt", () => {
  beforeEach(() => void (page.server.udp = false));

  test.each([
    ["before the answer", 50],
    ["in the head start", 200],
    ["while the WebSocket opens", 510],
    ["before WELCOME", 525],
  ])("that is closed %s leaves neither a timer nor a link", async (_, at) => {
    page.server.delay = 100;
    const conn = begin();
    const lost = expect(conn.opened).rejects.toMatchObject({ code: "closed" });
    await pass(at);
    void conn.close();
    await pass(100); // the page of the test looks every 40 ms whether UDP arrives, and has the answer after 100
    await lost;
    if (at < 525) expect(page.timers).toBe(0);
    await pass(5000);
    const { opened, closes } = page.server;
    expect([conn.state, page.timers, page.heard, closes.length]).toEqual(["closed", 0, [], opened.length]);
  });

  test("ends with its timeout, however far it is", async () => {
    const limits: [ms: number, c: AbortController, at: number][] = [];
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      limits.push([ms, new AbortController(), performance.now()]);
      setTimeout(() => limits.at(-1)![1].abort(new DOMException("late", "TimeoutError")), ms);
      return limits.at(-1)![1].signal;
    });
    page.server.tcp = false;
    page.server.delay = 4000;
    const began = performance.now();
    begin({ timeout: 13_000, token: "once" });
    await pass(20_000);
    expect(limits.map(([ms, , at]) => ms + at - began)).toEqual([13_000, 13_000]);
  });

  test("whose timeout is over before the head start opens no WebSocket", async () => {
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      const c = new AbortController();
      setTimeout(() => c.abort(new DOMException("late", "TimeoutError")), ms);
      return c.signal;
    });
    const conn = begin({ timeout: 300, token: "once" });
    const late = expect(conn.opened).rejects.toMatchObject({ code: "timeout" });
    await pass(5000);
    await late;
    expect([page.server.opened, page.timers]).toEqual([[], 0]);
  });
});

test.each([NaN, -1, "soon"])("a timeout of %j is refused, before anything is asked", async (timeout) => {
  for (const links of [undefined, ["websocket"] as const]) {
    const why = { code: "option", message: `godwit: timeout is ${timeout}: at least 0` };
    const options = { channels, timeout: timeout as number, ...(links && { links }) };
    await expect(connect(url, options)).rejects.toMatchObject(why);
  }
  expect(page.server.asked).toEqual([]);
});

test("a session that is closed has no event room any more", async () => {
  const conn = await page.join();
  expect(() => {
    for (;;) conn.send("chat", new Uint8Array(60_000));
  }).toThrow("queueLimit");
  const events = told(conn);
  conn.addEventListener("room", () => events.push("room"));
  void conn.close();
  await pass(10_000);
  expect(events).toEqual(["close"]);
});
