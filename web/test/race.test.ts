// Which link carries a session: WebRTC, a WebSocket where WebRTC does not open, and WebRTC again later.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Conn } from "../src/conn";
import { connect } from "../src/connect";
import { ConnectError } from "../src/error";
import { type Links } from "../src/options";
import { fallen } from "../src/race";
import { exchange } from "../src/signaling";
import { fullTable } from "../src/table";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, text, told, url } from "./client";
import { socketTime } from "./page";

const page = client();
const host = "game.example";
let stored: Map<string, string>;
let network: Record<string, (e: Event) => void>; // listeners of navigator.connection
let connection: { type?: string };

beforeEach(() => {
  page.server.sockets = true;
  stored = new Map();
  network = {};
  vi.stubGlobal("localStorage", {
    getItem: (k: string) => stored.get(k) ?? null,
    setItem: (k: string, v: string) => stored.set(k, v),
    removeItem: (k: string) => stored.delete(k),
  });
  connection = Object.assign({ type: "wifi" } as { type?: string }, {
    addEventListener: (type: string, f: (e: Event) => void) => (network[type] = f),
    removeEventListener: (type: string) => delete network[type],
  });
  vi.stubGlobal("navigator", { connection });
});

/** A Conn, and the events of links and interruptions that it has had. */
function begin(options: { links?: Links } = {}): [conn: Joined, events: string[]] {
  const conn = new Conn(url, { channels, ...options });
  const events = told(conn);
  conn.addEventListener("link", () => events.push(conn.link));
  return [conn, events];
}

/** Sends n messages, one every 10 ms. */
async function talk(conn: Joined, from: number, n: number): Promise<void> {
  for (let i = from; i < from + n; i++) {
    conn.send("chat", utf8(`${i}`));
    await pass(10);
  }
}

/** Collects what comes on chat. */
function heard(conn: Joined): string[] {
  const all: string[] = [];
  conn.on("chat", (b) => all.push(text(b)));
  return all;
}

const count = (n: number): string[] => Array.from({ length: n }, (_, i) => `${i}`);

describe("where UDP arrives", () => {
  test("no WebSocket is opened, and nothing is remembered", async () => {
    const [conn, events] = begin();
    await pass(60_000);
    expect([conn.state, conn.link, conn.stats().link, events]).toEqual(["open", "webrtc", "webrtc", []]);
    expect([page.server.opened, page.server.asked.length, stored.size]).toEqual([[], 1, 0]);
    expect(conn.times).toEqual({ offer: 0, http: 0, ice: 40, transport: 0, hello: 20, total: 60 });
    expect(page.server.bodies).toEqual([["offer", null]]);
  });

  test("no timer of the race stays", async () => {
    const [conn] = begin();
    await pass(100);
    const before = page.timers;
    await pass(600);
    expect([conn.state, page.timers]).toEqual(["open", before]);
  });

  // A path is found in one round trip, and the channel is open two later.
  test.each([
    [60, 1],
    [200, 1],
    [400, 1],
    [1000, 1],
    [200, 3],
    [600, 3],
  ])("a round trip of %d ms opens no WebSocket, if the request takes %d of them", async (rtt, trips) => {
    page.server.delay = trips * rtt;
    page.server.ice = rtt;
    page.server.dtls = 2.1 * rtt;
    const [conn] = begin();
    await pass(10_000);
    expect([conn.state, conn.link, page.server.opened, stored.size]).toEqual(["open", "webrtc", [], 0]);
  });
});

describe("where UDP does not arrive", () => {
  beforeEach(() => void (page.server.udp = false));

  test("a WebSocket is opened 500 ms after the request, and carries the session", async () => {
    const [conn, events] = begin();
    const echoes = heard(conn);
    conn.send("chat", utf8("0"));
    await pass(499);
    expect(page.server.opened).toEqual([]);
    await pass(1);
    expect(page.server.opened).toEqual([["wss://game.example/godwit/", ["godwit.1", "ticket.t1"]]]);
    await pass(socketTime + 100);
    expect([conn.state, conn.link, conn.stats().link, events, echoes]).toEqual(["open", "websocket", "websocket", [], ["0"]]);
    expect(conn.times).toEqual({ offer: 0, http: 0, ice: 0, transport: 20, hello: 20, total: 540 });
    expect([page.server.sessions.length, page.server.asked.length]).toEqual([1, 1]);
  });

  test.each([
    [100, 500],
    [400, 1200],
    [2000, 6000],
  ])("if the request takes %d ms, it is opened %d ms after its begin", async (delay, at) => {
    page.server.delay = delay;
    begin();
    await pass(at - 1);
    expect(page.server.opened).toEqual([]);
    await pass(1);
    expect(page.server.opened.length).toBe(1);
  });

  test("except that checks arrive: if the channel does not open, it is opened as much later again", async () => {
    page.server.udp = true;
    page.server.delay = 200;
    page.server.dtls = 60_000;
    const [conn] = begin();
    await pass(1199);
    expect(page.server.opened).toEqual([]);
    await pass(100);
    expect([conn.state, conn.link]).toEqual(["open", "websocket"]);
    expect(conn.times, "ice is that of the link").toEqual({ offer: 0, http: 200, ice: 0, transport: 20, hello: 20, total: 1240 });
  });

  test("it is opened at once when WebRTC has failed", async () => {
    const Fails = class extends RTCPeerConnection {
      override async setRemoteDescription(): Promise<void> {
        Object.assign(this, { connectionState: "failed" });
        this.onconnectionstatechange!(new Event("x"));
      }
    };
    vi.stubGlobal("RTCPeerConnection", Fails);
    const [conn] = begin();
    await pass(100);
    expect([conn.state, conn.link, page.server.asked.length]).toEqual(["open", "websocket", 1]);
  });

  test("the second time within an hour it is opened at once, and after an hour it is not", async () => {
    const opens = async (): Promise<[number, number]> => {
      const { length } = page.server.opened;
      const [conn] = begin();
      await pass(400);
      const early = page.server.opened.length - length;
      await pass(400);
      const both = page.server.opened.length - length;
      void conn.close();
      await pass(100);
      return [early, both];
    };
    expect(await opens()).toEqual([0, 1]);
    expect(fallen(host)).toBe(true);
    expect(await opens()).toEqual([1, 1]);
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(await opens()).toEqual([0, 1]);
  });

  test.each(["online", "change"])(
    "a network that changes (%s) is tried at once, and what was remembered is forgotten",
    async (type) => {
      const [conn, events] = begin();
      await pass(1000);
      expect([conn.link, fallen(host), page.server.asked.length]).toEqual(["websocket", true, 1]);
      connection.type = "cellular";
      if (type === "online") page.fire("online");
      else network["change"]!(new Event(type));
      await pass(0);
      expect([fallen(host), page.server.asked.length]).toEqual([false, 2]);
      page.server.udp = true;
      await pass(100);
      expect([conn.link, events, page.server.closes]).toEqual(["webrtc", ["webrtc"], [1000]]);
      void conn.close();
      await pass(100);
      expect([network, page.heard]).toEqual([{}, []]);
    },
  );

  test("WebRTC that opens later takes the session over: nothing is lost or comes twice", async () => {
    const [conn, events] = begin();
    const echoes = heard(conn);
    await talk(conn, 0, 200);
    expect([conn.link, conn.stats().retransmits + conn.stats().copies]).toEqual(["websocket", 0]);
    page.server.udp = true;
    await talk(conn, 200, 200);
    await pass(500);
    expect([conn.link, events, echoes]).toEqual(["webrtc", ["webrtc"], count(400)]);
    expect([page.server.sessions[0]!.came.length, page.server.sessions[0]!.moves]).toEqual([400, [1]]);
    expect([page.server.asked.length, page.server.opened.length, page.server.closes]).toEqual([1, 1, [1000]]);
    expect(fallen(host), "this network has UDP").toBe(false);
  });

  test("WebRTC is tried again after 30, 60, 120 … 600 s", async () => {
    page.server.fails = true;
    const [conn, events] = begin();
    const at: number[] = [];
    let { length } = page.server.asked;
    await pass(520);
    for (let s = 0; s < 1600; s++) {
      await pass(1000);
      if (page.server.asked.length > length) at.push(s);
      length = page.server.asked.length;
    }
    // An attempt takes a second.
    expect(at).toEqual([0, 29, 90, 211, 452, 933, 1534]);
    expect([conn.link, conn.state, events, page.server.opened.length]).toEqual(["websocket", "open", [], 1]);
    page.server.udp = true;
    await pass(700_000);
    expect([conn.link, events]).toEqual(["webrtc", ["webrtc"]]);
    const asked = page.server.asked.length;
    await pass(700_000);
    expect(page.server.asked.length).toBe(asked);
  });

  test("without a WebSocket the attempt fails as before", async () => {
    page.server.fails = true;
    page.server.sockets = false;
    const conn = new Conn(url, { channels });
    await pass(3000);
    await expect(conn.opened).rejects.toMatchObject({ code: "link", retryAfter: 0 });
    expect([page.server.asked.length, page.server.opened, page.timers]).toEqual([2, [], 0]);
  });

  test("and where TCP does not either, the error is that of WebRTC", async () => {
    page.server.fails = true;
    page.server.element = { ticket: "of nobody" };
    const conn = new Conn(url, { channels, token: "once" });
    await pass(2000);
    await expect(conn.opened).rejects.toMatchObject({ code: "link", message: expect.stringContaining("UDP") });
    expect([page.server.opened.length, page.timers, stored.size]).toEqual([1, 0, 0]);
  });
});

describe("a link that falls silent", () => {
  test("is replaced by a WebSocket at once, and by WebRTC when UDP is back", async () => {
    const [conn, events] = begin();
    const echoes = heard(conn);
    await talk(conn, 0, 100);
    page.server.udp = false;
    await talk(conn, 100, 300);
    await pass(3200 + 2 * socketTime - 3000);
    expect(events).toEqual(["interrupted", "websocket", "resumed"]);
    await talk(conn, 400, 100);
    page.server.udp = true;
    await talk(conn, 500, 100);
    await pass(500);
    expect([events, echoes]).toEqual([["interrupted", "websocket", "resumed", "webrtc"], count(600)]);
    expect(page.server.sessions[0]!.came.length).toBe(600);
    expect(page.server.opened).toEqual([[expect.any(String), ["godwit.1", "ticket.t2"]]]);
  });

  test("that is a WebSocket is replaced by another, with a ticket of its own", async () => {
    page.server.udp = false;
    const [conn, events] = begin();
    await pass(1000);
    page.server.sessions[0]!.channel!.end();
    await pass(200);
    expect([conn.state, conn.link, events]).toEqual(["open", "websocket", ["interrupted", "resumed"]]);
    expect(page.server.opened.map(([, [, ticket]]) => ticket)).toEqual(["ticket.t1", "ticket.t2"]);
    expect(page.server.asked[1]).toMatch(/^Godwit-Resume /);
  });

  test("is no reason for two links: the page that goes has none", async () => {
    page.server.udp = false;
    const [conn] = begin();
    await pass(1000);
    page.fire("pagehide");
    page.server.udp = true;
    await pass(1000);
    expect([conn.state, page.server.closes, page.server.asked.length]).toEqual(["interrupted", [1000], 1]);
    page.fire("pageshow");
    await pass(300);
    expect([conn.state, conn.link]).toEqual(["open", "webrtc"]);
  });
});

describe("where UDP opens, and is gone five seconds later", () => {
  /** Lets seconds pass, in which UDP lasts so long after a move to WebRTC. Returns the times of these moves. */
  async function live(conn: Joined, seconds: number, lifetime: number): Promise<number[]> {
    const at: number[] = [];
    let link = conn.link;
    for (let s = 0; s < seconds; s++) {
      if (conn.link === "webrtc" && link !== "webrtc") at.push(s);
      link = conn.link;
      page.server.udp = link === "websocket" || s - (at.at(-1) ?? -Infinity) < lifetime;
      await pass(1000);
    }
    return at;
  }

  test("WebRTC carries the session ever more rarely, until it lasts", async () => {
    const [conn, events] = begin();
    await pass(5000);
    const at = await live(conn, 500, 5);
    expect(at.map((s, i) => s - (at[i - 1] ?? 0))).toEqual([4, 37, 67, 127, 247]);
    expect([conn.link, events.filter((e) => e === "interrupted").length]).toEqual(["websocket", 6]);
    const [first = 0, second = 0] = await live(conn, 600, 40);
    expect(second - first, "the race after 40 seconds had WebRTC").toBeLessThan(50);
  });

  test("the first link is no reason to be without WebRTC, and a change of network neither", async () => {
    const [conn, events] = begin();
    await pass(5000);
    page.server.udp = false;
    await pass(4000);
    page.server.udp = true;
    await pass(1000);
    page.fire("online");
    page.server.udp = false;
    await pass(4000);
    page.server.udp = true;
    await pass(1000);
    const once = ["interrupted", "websocket", "resumed", "webrtc"];
    expect([events, conn.link]).toEqual([[...once, ...once], "webrtc"]);
  });

  test("without a link over TCP, WebRTC is tried again", async () => {
    page.server.sockets = false;
    const [conn, events] = begin();
    for (let i = 0; i < 3; i++) {
      await pass(5000);
      page.server.udp = false;
      await pass(4000);
      page.server.udp = true;
    }
    await pass(5000);
    expect([conn.state, conn.link, events.length]).toEqual(["open", "webrtc", 6]);
  });
});

describe("a browser without WebRTC", () => {
  beforeEach(() => void vi.stubGlobal("RTCPeerConnection", undefined));

  test("asks without an offer, and opens the WebSocket at once", async () => {
    const [conn] = begin();
    await pass(100);
    expect([conn.state, conn.link, page.server.bodies]).toEqual(["open", "websocket", [["", "application/json"]]]);
    expect(stored.size, "WebRTC was not tried").toBe(0);
    await pass(120_000);
    expect(page.server.asked.length, "WebRTC is not tried").toBe(1);
  });

  test("is told when no answer comes in time", async () => {
    const late = new AbortController();
    vi.spyOn(AbortSignal, "timeout").mockReturnValue(late.signal);
    vi.stubGlobal(
      "fetch",
      (_: URL, { signal }: RequestInit) =>
        new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason))),
    );
    const failed = connect(url, { channels, token: "once" }).catch((e: unknown) => e);
    await pass(10);
    late.abort(new DOMException("late", "TimeoutError"));
    const why = { code: "timeout", message: "godwit: no answer in 15000 ms", retryAfter: 0, cause: late.signal.reason };
    expect(await failed).toMatchObject(why);
  });

  test("is told so where there is no WebSocket", async () => {
    page.server.sockets = false;
    const why = { code: "link", retryAfter: undefined, message: expect.stringContaining("no WebRTC") };
    await expect(connect(url, { channels })).rejects.toMatchObject(why);
  });
});

describe("the option links", () => {
  test("without websocket opens none", async () => {
    page.server.udp = false;
    const [conn] = begin({ links: ["webrtc"] });
    await pass(10_000);
    expect([conn.state, page.server.opened]).toEqual(["connecting", []]);
    page.server.udp = true;
    await pass(200);
    expect([conn.state, conn.link]).toEqual(["open", "webrtc"]);
  });

  test("without webrtc makes no offer, and tries none", async () => {
    const [conn] = begin({ links: ["websocket"] });
    await pass(120_000);
    expect([conn.state, conn.link, page.server.bodies]).toEqual(["open", "websocket", [["", "application/json"]]]);
    expect(stored.size, "nothing has won").toBe(0);
  });

  test("with websocket first keeps the session there", async () => {
    page.server.udp = false;
    const [conn, events] = begin({ links: ["websocket", "webrtc"] });
    await pass(1000);
    page.server.udp = true;
    await pass(120_000);
    expect([conn.link, events, page.server.asked.length]).toEqual(["websocket", [], 1]);
  });

  test("with websocket first opens it beside WebRTC, without a head start", async () => {
    const [conn, events] = begin({ links: ["websocket", "webrtc"] });
    await pass(1000);
    expect([conn.link, conn.state, events, page.server.opened.length]).toEqual(["websocket", "open", [], 1]);
  });

  test("that is empty opens nothing", async () => {
    await expect(connect(url, { channels, links: [] })).rejects.toMatchObject({ code: "link", retryAfter: undefined });
  });

  test.each([[7], [null], ["websocket"], [["WebSocket"]], [["webrtc", "webtransport"]], [[undefined]], [[{}]], [[7]]])(
    "that is %j is refused, before anything is asked",
    async (links) => {
      const why = { code: "option", message: expect.stringContaining("only webrtc,websocket") };
      await expect(connect(url, { channels, links: links as Links })).rejects.toMatchObject(why);
      expect(page.server.asked).toEqual([]);
    },
  );
});

test("what is stored does not matter where it is nonsense, or where there is no storage", () => {
  for (const [v, is] of [
    ["x", false],
    [`${Date.now() + 1}`, false],
    [`${Date.now()}`, true],
  ] as const) {
    stored.set(`godwit ${host}`, v);
    expect(fallen(host), v).toBe(is);
  }
  vi.stubGlobal("localStorage", undefined);
  expect([fallen(host), fallen(host, Date.now()), fallen(host, 0)]).toEqual([false, false, false]);
});

test("the address of a link is its own, or that of the answer without what was for the request", async () => {
  const offer = async (element: object, answer: object = {}): Promise<unknown> => {
    vi.stubGlobal("fetch", async () => {
      const links = [{ type: "websocket", ticket: "abc", ...element }];
      return Object.assign(new Response(JSON.stringify({ links })), answer);
    });
    const from = new URL("http://game.example:8080/a/b?room=1&v=1&app=x&channels=0&kind=browser");
    return (await exchange(from, "", undefined, undefined, fullTable(channels), new AbortController().signal)).links[0]?.address;
  };
  expect(await offer({})).toBe("http://game.example:8080/a/b?room=1");
  expect(await offer({ url: "c?d=1" })).toBe("http://game.example:8080/a/c?d=1");
  expect(await offer({ url: "https://other.example/x" })).toBe("https://other.example/x");
  expect(await offer({ url: 7 })).toBe("http://game.example:8080/a/b?room=1");
  expect(await offer({ ticket: "" })).toBe(undefined);
});

test("an address that is none costs only the WebSocket", async () => {
  page.server.element = { url: "http://[" };
  const [conn] = begin();
  await pass(500);
  expect([conn.state, conn.link]).toEqual(["open", "webrtc"]);
  await expect(connect(url, { channels, links: ["websocket"], token: "once" })).rejects.toMatchObject({ code: "link" });
});

test("a policy that forbids WebSockets is an error of the link", async () => {
  page.server.webrtc = false;
  vi.stubGlobal("WebSocket", function () {
    throw new DOMException("no", "SecurityError");
  });
  const e = await connect(url, { channels, token: "once" }).catch((e: unknown) => e);
  expect(e).toBeInstanceOf(ConnectError);
  expect(e).toMatchObject({ code: "link", retryAfter: 0, message: "godwit: no websocket opens: a proxy may not pass it on" });
});
