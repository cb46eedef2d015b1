// How a session begins or fails: tokens, second attempts, signals, and what is released when there is no session.
import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { Conn } from "../src/conn";
import { connect, sessions } from "../src/connect";
import { ConnectError } from "../src/error";
import { type ConnectOptions } from "../src/options";
import { utf8 } from "./bytes";
import { channels, client, pass, url } from "./client";

const page = client();

describe("an option", () => {
  test.each([NaN, 0, 1, 1149])("ceiling %d is refused", (ceiling) => {
    const wrong = expect.objectContaining({ code: "option", message: `godwit: ceiling is ${ceiling}: at least 1150` });
    expect(() => new Conn(url, { channels, ceiling })).toThrow(wrong);
  });

  test("the least ceiling is one packet", () => {
    expect(() => new Conn(url, { channels, ceiling: 1150 })).not.toThrow();
  });

  test.each([-1, -Infinity, Infinity])("ceiling %d is no limit, and costs no timers", async (ceiling) => {
    const conn = await page.join({ ceiling });
    const timers = vi.spyOn(globalThis, "setTimeout");
    for (let i = 0; i < 20; i++) conn.send("chat", new Uint8Array(900));
    await pass(4000);
    expect(page.server.sessions[0]!.came.length).toBe(20);
    expect(timers.mock.calls.length).toBeLessThan(400);
  });

  test.each([
    [2000, 1000, 2200],
    [8000, 7000, 8800],
  ])("ceiling %d limits the bytes of a second", async (ceiling, least, most) => {
    const conn = await page.join({ ceiling });
    for (let i = 0; i < 1000; i++) conn.send("chat", new Uint8Array(900));
    await pass(5000);
    const before = conn.stats().bytesOut;
    await pass(10_000);
    const rate = (conn.stats().bytesOut - before) / 10;
    expect(rate).toBeGreaterThan(least);
    expect(rate).toBeLessThan(most);
  });

  test.each([NaN, -1])("timeout %d is refused", async (timeout) => {
    const message = `godwit: timeout is ${timeout}: at least 0`;
    await expect(connect(url, { channels, timeout })).rejects.toMatchObject({ code: "option", message });
  });

  test("timeout Infinity is a long one", async () => {
    expect((await page.join({ timeout: Infinity })).state).toBe("open");
  });

  test("request with a header that cannot be is told as that", async () => {
    const error = await connect(url, { channels, request: { headers: { "X-A": "a\nb" } } }).catch((e: unknown) => e);
    expect(`${error}`).toMatch(/invalid header value/);
  });
});

describe("a token", () => {
  test("of a function is fetched once more when the server refuses it", async () => {
    const tokens = ["old", "new"];
    const token = (): string => {
      page.refuse(tokens.length > 1 ? 401 : 0, "token");
      return tokens.shift()!;
    };
    const joined = connect(url, { channels, token });
    await pass(200);
    expect([(await joined).state, page.server.asked]).toEqual(["open", ["Bearer old", "Bearer new"]]);
  });

  test("of a function that is refused twice is refused", async () => {
    const token = vi.fn(async () => "t");
    page.refuse(401, "token");
    await expect(connect(url, { channels, token })).rejects.toMatchObject({ code: "token", status: 401 });
    expect([token.mock.calls.length, page.server.asked.length]).toEqual([2, 2]);
  });

  test("that is a string is used once", async () => {
    page.refuse(401, "token");
    await expect(connect(url, { channels, token: "t" })).rejects.toMatchObject({ code: "token" });
    expect(page.server.asked).toEqual(["Bearer t"]);
  });

  test("that there is not is not asked for again, and no header tells of it", async () => {
    page.refuse(401, "token");
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "token" });
    expect(page.server.own).toEqual([null]);
  });

  test("whose function throws is not fetched once more, and nothing is asked", async () => {
    const cause = new TypeError("Failed to fetch");
    const token = vi.fn(() => {
      throw cause;
    });
    const message = "godwit: the option token has thrown: Failed to fetch";
    const why = { code: "token", status: 0, retryAfter: 0, message, cause };
    await expect(connect(url, { channels, token })).rejects.toMatchObject(why);
    expect([token.mock.calls.length, page.server.asked]).toEqual([1, []]);
  });

  test("whose function throws a ConnectError has that as the reason", async () => {
    const mine = new ConnectError("mine", "log in first");
    const conn = new Conn(url, { channels, token: () => Promise.reject(mine) });
    await expect(conn.opened).rejects.toBe(mine);
    expect(await conn.closed).toMatchObject({ code: 6, reason: "godwit: log in first", remote: false, error: mine });
  });

  test("is of no use against another refusal, which says when to come again", async () => {
    const token = vi.fn(() => "t");
    page.refuse(503, "full");
    page.server.retryAfter = "7";
    await expect(connect(url, { channels, token })).rejects.toMatchObject({ code: "full", retryAfter: 7000 });
    expect(token.mock.calls.length).toBe(1);
  });
});

/** Makes the handshakes of the first n peer connections fail. */
function failing(n: number): void {
  const Opens = RTCPeerConnection;
  class Fails extends Opens {
    override async setRemoteDescription(d: RTCSessionDescriptionInit): Promise<void> {
      if (n-- <= 0) return super.setRemoteDescription(d);
      Object.assign(this, { connectionState: "failed" });
      this.onconnectionstatechange!(new Event("x"));
    }
  }
  vi.stubGlobal("RTCPeerConnection", Fails);
}

describe("a handshake that is lost", () => {
  test("is tried once more", async () => {
    failing(1);
    const conn = await page.join();
    expect([conn.state, page.server.asked.length]).toEqual(["open", 2]);
  });

  test("is tried twice at most", async () => {
    failing(2);
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "link", retryAfter: 0 });
    expect(page.server.asked.length).toBe(2);
  });

  test("is tried once more with a token that is fetched afresh", async () => {
    failing(1);
    let n = 0;
    await page.join({ token: () => `t${++n}` });
    expect(page.server.asked).toEqual(["Bearer t1", "Bearer t2"]);
  });

  test("is not tried once more with a token that may be good for one use", async () => {
    failing(1);
    await expect(connect(url, { channels, token: "t" })).rejects.toMatchObject({ code: "link" });
    expect(page.server.asked).toEqual(["Bearer t"]);
  });

  test("that can never be is not tried once more", async () => {
    vi.stubGlobal("RTCPeerConnection", undefined);
    const token = vi.fn(() => "t");
    await expect(connect(url, { channels, token })).rejects.toMatchObject({ code: "link", retryAfter: undefined });
    expect(token.mock.calls.length).toBe(1);
  });
});

describe("a signal", () => {
  test("that is aborted already asks nothing, and its reason is the reason", async () => {
    const token = vi.fn(() => "t");
    const conn = new Conn(url, { channels, token, signal: AbortSignal.abort("enough") });
    await expect(conn.opened).rejects.toBe("enough");
    expect(await conn.closed).toStrictEqual({ code: 6, reason: "enough", remote: false, lostOut: 0, lostIn: 0 });
    expect([token.mock.calls.length, page.server.asked]).toEqual([0, []]);
  });

  test("ends an attempt, and its reason is the reason", async () => {
    let asked: AbortSignal | null | undefined;
    vi.stubGlobal("fetch", (_: URL, { signal }: RequestInit) => ((asked = signal), new Promise(() => {})));
    const stop = new AbortController();
    const conn = new Conn(url, { channels, signal: stop.signal });
    await pass(10);
    expect(asked!.aborted).toBe(false);
    const why = new Error("enough");
    stop.abort(why);
    expect([asked!.aborted, conn.state]).toEqual([true, "closed"]);
    await expect(conn.opened).rejects.toBe(why);
    expect(await conn.closed).toStrictEqual({ code: 0, reason: "", remote: false, lostOut: 0, lostIn: 0 });
  });

  test("closes the session when it is open", async () => {
    const stop = new AbortController();
    const conn = await page.join({ signal: stop.signal });
    stop.abort();
    await pass(100);
    expect([conn.state, page.server.sessions[0]!.closed]).toEqual(["closed", [0, ""]]);
  });

  test("is not listened to when the session has ended", async () => {
    const { signal } = new AbortController();
    const conn = await page.join({ signal });
    expect(getEventListeners(signal, "abort").length).toBe(1);
    void conn.close();
    await pass(100);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

test("a signal that is aborted before the wait for the next session ends that wait at once", async () => {
  const stop = new AbortController();
  const all = sessions(url, { channels, signal: stop.signal });
  const first = all.next();
  await pass(200);
  await first;
  page.server.sessions[0]!.close(2);
  await pass(100);
  stop.abort(new Error("enough"));
  const why = vi.fn();
  all.next().catch(why);
  await pass(5);
  expect(why).toHaveBeenCalledWith(stop.signal.reason);
});

test("the wait for the next session stops listening to the signal when it is over", async () => {
  const { signal } = new AbortController();
  const all = sessions(url, { channels, signal });
  const first = all.next();
  await pass(200);
  await first;
  page.server.sessions[0]!.close(2);
  const second = all.next();
  await pass(2000);
  const conn = (await second).value!;
  expect([conn.id.endsWith("2"), getEventListeners(signal, "abort").length]).toEqual([true, 1]);
  void conn.close();
  await pass(100);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("a reason that says when to try again ends the wait for the next session nevertheless", async () => {
  const stop = new AbortController();
  const via = vi.fn((at: string | URL, o: ConnectOptions<typeof channels>) => connect(at, o));
  const all = sessions(url, { channels, signal: stop.signal }, via);
  const first = all.next();
  await pass(200);
  await first;
  page.server.sessions[0]!.close(2);
  const why = vi.fn();
  all.next().catch(why);
  await pass(100);
  stop.abort(new ConnectError("later", "enough for now", { retryAfter: 0 }));
  await pass(5000);
  expect(why).toHaveBeenCalledWith(stop.signal.reason);
  expect(via).toHaveBeenCalledTimes(2);
});

test("who leaves the loop over sessions closes the one at hand", async () => {
  const all = sessions(url, { channels });
  const first = all.next();
  await pass(200);
  const conn = (await first).value!;
  void all.return();
  await pass(100);
  expect([conn.state, page.server.sessions[0]!.closed]).toEqual(["closed", [0, ""]]);
});

describe("a session that ends before it is open", () => {
  const by: [string, number, string, object][] = [
    ["for a shutdown", 2, "", { retryAfter: 0, message: "godwit: code 2" }],
    ["for silence", 6, "silent", { retryAfter: 0, message: "godwit: silent" }],
    ["by the program at the server", 300, "banned", { retryAfter: undefined, message: "godwit: banned" }],
    [
      "for what the server takes for a breach of the protocol",
      3,
      "malformed",
      { retryAfter: undefined, message: "godwit: malformed" },
    ],
  ];
  test.each(by)("%s says whether to try again", async (_, code, reason, why) => {
    const conn = new Conn(url, { channels });
    await pass(1);
    const s = page.server.sessions[0]!;
    s.move = (channel) => {
      s.channel = channel;
      s.mux.relink(performance.now(), 50);
      s.mux.close!(performance.now(), code, reason);
    };
    const refused = expect(conn.opened).rejects.toMatchObject({ code: "closed", ...why });
    await pass(200);
    await refused;
    expect(await conn.closed).toMatchObject({ code, reason, remote: true });
  });

  test("because its link goes is to be tried again", async () => {
    const conn = new Conn(url, { channels });
    const refused = expect(conn.opened).rejects.toMatchObject({ code: "closed", message: "godwit: no WELCOME", retryAfter: 0 });
    await pass(1);
    const s = page.server.sessions[0]!;
    s.move = (channel) => void (s.channel = channel);
    s.receive = () => {};
    await pass(100);
    s.channel!.end();
    await refused;
    expect([await conn.closed, conn.id]).toMatchObject([{ code: 3, reason: "no WELCOME", remote: false }, ""]);
  });

  test("by close is not to be tried again", async () => {
    const conn = new Conn(url, { channels });
    void conn.close(300, "no");
    await expect(conn.opened).rejects.toMatchObject({ code: "closed", message: "godwit: no", retryAfter: undefined });
    await pass(200);
    expect(page.server.sessions.filter((s) => s.hellos)).toEqual([]);
  });

  test("by close in the moment in which its link opens leaves no link", async () => {
    const Opens = RTCPeerConnection;
    let conn: Conn | undefined;
    let closes = 0;
    vi.stubGlobal(
      "RTCPeerConnection",
      class extends Opens {
        override createDataChannel(...args: Parameters<RTCPeerConnection["createDataChannel"]>): RTCDataChannel {
          const channel = super.createDataChannel(...args);
          let opened = (): void => {};
          return Object.defineProperty(channel, "onopen", {
            get: () => () => {
              opened();
              void conn!.close();
            },
            set: (f) => (opened = f),
          });
        }
        override close(): void {
          closes++;
          super.close();
        }
      },
    );
    conn = new Conn(url, { channels }) as unknown as Conn;
    conn.opened.catch(() => {});
    await pass(200);
    expect([conn.state, closes, conn.stats().packetsOut]).toEqual(["closed", 1, 0]);
  });
});

test("the phases of connecting are timed, and the session has its number", async () => {
  const begun = new Conn(url, { channels });
  expect(begun.times).toEqual({ offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 });
  void begun.close();
  const conn = await page.join();
  const { offer, http, ice, transport, hello, total } = conn.times;
  expect([total, offer + http + ice + transport + hello, hello, conn.id]).toEqual([60, 60, 20, "0000000000000001"]);
});

test("a path that the first attempt found is not taken for that of the second", async () => {
  const Opens = RTCPeerConnection;
  let first = true;
  class Fails extends Opens {
    override async setRemoteDescription(d: RTCSessionDescriptionInit): Promise<void> {
      if (!first) return super.setRemoteDescription(d);
      first = false;
      setTimeout(() => {
        Object.assign(this, { iceConnectionState: "connected", connectionState: "failed" });
        this.oniceconnectionstatechange!(new Event("x"));
        setTimeout(() => this.onconnectionstatechange!(new Event("x")), 300);
      }, 100);
    }
  }
  vi.stubGlobal("RTCPeerConnection", Fails);
  const conn = new Conn(url, { channels });
  await pass(1000);
  const { ice, transport, hello, total } = conn.times;
  expect([conn.state, page.server.asked.length, ice, transport, hello, total]).toEqual(["open", 2, 40, 0, 20, 460]);
});

test("who fails leaves no timer, does not listen to the page, and is no unhandled rejection", async () => {
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  page.refuse(403, "forbidden");
  const conn = new Conn(url, { channels });
  conn.send("chat", utf8("x"));
  await pass(0);
  const { error } = await conn.closed;
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", unhandled);
  expect(error).toMatchObject({ code: "forbidden", status: 403 });
  expect([unhandled.mock.calls.length, page.timers, page.heard]).toEqual([0, 0, []]);
});
