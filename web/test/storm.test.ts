// Faults that meet many pages at once, docs/scale.md: how their requests spread, and how long each page waits.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { sessions } from "../src/connect";
import { channels, client, pass, url } from "./client";
import { random } from "./sim";

const page = client();
const pages = 50;
const step = 5; // ms
let asked: number[]; // times of the requests since the fault

beforeEach(() => {
  asked = [];
  page.server.quick = true;
  page.server.most = 0;
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal); // its clock is the real one
});

/** Lets time pass as pass does, but runs promises once a step and not after each timer, of which many pages have many. */
async function run(ms: number): Promise<void> {
  for (; ms > 0; ms -= step) {
    vi.advanceTimersByTime(step);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Opens the sessions of all pages. Returns when each has opened its last one. */
async function play(): Promise<number[]> {
  const opened: number[] = [];
  for (let i = 0; i < pages; i++) {
    void (async () => {
      for await (const _ of sessions(url, { channels })) opened[i] = performance.now();
    })();
  }
  await run(500);
  expect(Object.keys(opened).length).toBe(pages);
  vi.spyOn(Math, "random").mockImplementation(random(1));
  return opened;
}

/** The server dies without a farewell. A server that comes in its place does not know its sessions. */
function die(): void {
  for (const s of page.server.sessions.splice(0)) s.receive = s.flush = () => {};
  const connect = RTCPeerConnection.prototype.setRemoteDescription as (answer: RTCSessionDescriptionInit) => Promise<void>;
  vi.spyOn(RTCPeerConnection.prototype, "setRemoteDescription").mockImplementation(function (
    this: RTCPeerConnection,
    answer: RTCSessionDescriptionInit,
  ) {
    return /^a=ice-ufrag:R/m.test(answer.sdp!) ? new Promise(() => {}) : connect.call(this, answer);
  });
}

/** Lets a front answer the requests. If it returns nothing, the server does. */
function front(answer: (resumes: boolean) => Response | undefined): void {
  const { fetch } = globalThis;
  vi.stubGlobal("fetch", async (url: URL, init: RequestInit) => {
    asked.push(performance.now());
    return answer(`${new Headers(init.headers).get("Authorization")}`.startsWith("Godwit-Resume")) ?? fetch(url, init);
  });
}

const refusal = (status: number, code: string, more = {}, headers = {}): Response =>
  new Response(JSON.stringify({ code, error: "no", ...more }), { status, headers });
const unknown = (): Response => refusal(410, "resume", { reason: "unknown", instance: "a" });

/** Returns the largest number of requests in ms milliseconds. */
function worst(ms: number, times = asked): number {
  let from = 0;
  return Math.max(
    ...times.map((t, i) => {
      while (t - times[from]! >= ms) from++;
      return i - from + 1;
    }),
  );
}

/** Lets the fault meet all pages. Returns the longest wait for a new session, in ms. */
async function suffer(answer: (resumes: boolean) => Response | undefined): Promise<number> {
  const opened = await play();
  die();
  front(answer);
  const fault = performance.now();
  for (let t = 0; t < 60_000 && !opened.every((at) => at > fault); t += 100) await run(100);
  expect(opened.filter((at) => at > fault).length).toBe(pages);
  expect(worst(100), "requests in the worst 100 ms").toBeLessThan(asked.length / 3);
  expect(worst(10), "requests in the worst 10 ms").toBeLessThan(asked.length / 12);
  return Math.max(...opened) - fault;
}

describe(`a node with ${pages} pages dies`, () => {
  test("and the front knows it", async () => {
    expect(await suffer((resumes) => (resumes ? refusal(410, "resume", { reason: "ended" }) : undefined))).toBeLessThan(4500);
    expect(asked.length).toBe(2 * pages);
  });

  test("and requests go to a server that does not know the sessions", async () => {
    expect(await suffer((resumes) => (resumes ? unknown() : undefined))).toBeLessThan(8500);
    expect(asked.length).toBe(6 * pages);
  });

  test("and the front takes as many requests a second as there are pages", async () => {
    let second = 0;
    let taken = 0;
    let refused = 0;
    const longest = await suffer((resumes) => {
      if (second !== (second = Math.floor(performance.now() / 1000))) taken = 0;
      if (++taken <= pages) return resumes ? unknown() : undefined;
      refused++;
      return refusal(503, "full", {}, { "Retry-After": "1" });
    });
    expect(refused).toBeGreaterThan(pages);
    expect(longest).toBeLessThan(20_000);
  });
});

test("pages whose new links are silent ask again at different times", async () => {
  page.server.quick = false;
  await play();
  vi.spyOn(page.server, "carry").mockImplementation(() => {});
  const [first] = page.server.sessions;
  front(() => undefined);
  while (!asked.length) await run(10);
  expect(first!.closed).toBe(null);
  await run(4000);
  const again = asked.slice(pages);
  expect(again.length).toBe(pages);
  expect(again[0]! - asked[0]!).toBeGreaterThan(3250);
  expect(worst(100, again)).toBeLessThan(pages / 2);
});

describe("a page", () => {
  const lose = (): void => page.server.sessions[0]!.channel!.end();
  const draw = (v: number): unknown => vi.spyOn(Math, "random").mockReturnValue(v);

  test.each([
    [0, 500],
    [0.5, 625],
    [0.96, 740],
  ])("whose draw is %d asks %d ms after a link without a request has begun", async (share, ms) => {
    const conn = await page.join();
    let interrupted = 0;
    conn.addEventListener("interrupted", () => (interrupted = performance.now()));
    die();
    draw(share);
    front(unknown);
    while (!asked.length) await pass(1);
    expect(asked[0]! - interrupted).toBeGreaterThanOrEqual(ms);
    expect(asked[0]! - interrupted).toBeLessThan(ms + 2);
  });

  test("waits for at most a second after each server that does not know its session", async () => {
    const conn = await page.join();
    die();
    draw(0.999);
    front(unknown);
    while (!asked.length) await pass(10);
    await pass(3500);
    expect((await conn.closed).error).toMatchObject({ code: "resume", status: 410 });
    expect(asked.length).toBe(5);
  });

  test("counts the servers that do not know its session also when a busy one answers between them", async () => {
    const conn = await page.join();
    die();
    draw(0);
    front(() => (asked.length % 2 ? unknown() : refusal(503, "full")));
    await pass(28_000);
    expect((await conn.closed).error).toMatchObject({ code: "resume", status: 410 });
    expect(asked.length).toBe(9);
  });

  test("starts the count again for another server", async () => {
    const conn = await page.join();
    die();
    draw(0);
    front(() => refusal(410, "resume", { reason: "unknown", instance: asked.length < 5 ? "a" : "b" }));
    await pass(10_000);
    expect((await conn.closed).error).toMatchObject({ code: "resume", status: 410 });
    expect(asked.length).toBe(9);
  });

  test("whose new link is refused asks after a quarter of a second", async () => {
    const conn = await page.join();
    page.server.refuses = { status: 503, code: "full", error: "no room" };
    front(() => undefined);
    draw(0);
    lose();
    await pass(250);
    expect(asked).toEqual([]);
    await pass(200);
    expect(asked.length).toBe(1);
    await pass(200);
    expect(conn.state).toBe("open");
  });

  test("whose new link ends in the moment in which it opens asks after a quarter of a second", async () => {
    page.server.quick = false;
    const conn = await page.join();
    const create = RTCPeerConnection.prototype.createDataChannel;
    vi.spyOn(RTCPeerConnection.prototype, "createDataChannel").mockImplementationOnce(function (this: RTCPeerConnection, ...how) {
      const channel = create.apply(this, how) as RTCDataChannel & { end(): void };
      let opened = (): void => {};
      Object.defineProperty(channel, "onopen", {
        set: (f: () => void) => (opened = f),
        get: () => () => {
          opened();
          channel.end();
        },
      });
      return channel;
    });
    front(() => undefined);
    draw(0);
    lose();
    await pass(240);
    expect(asked.length).toBe(1);
    await pass(60);
    expect(asked.length).toBe(2);
    await pass(200);
    expect(conn.state).toBe("open");
  });

  test("whose new link ends before a packet asks after a quarter of a second", async () => {
    page.server.quick = false;
    const conn = await page.join();
    const { carry } = page.server;
    page.server.carry = () => {};
    const made = vi.spyOn(RTCPeerConnection.prototype, "createDataChannel");
    front(() => undefined);
    draw(0);
    lose();
    await pass(100);
    page.server.carry = carry;
    (made.mock.results[0]!.value as { end(): void }).end();
    await pass(240);
    expect(asked.length).toBe(1);
    await pass(20);
    expect(asked.length).toBe(2);
    await pass(200);
    expect(conn.state).toBe("open");
  });

  test("whose race without UDP is refused does not ask at once", async () => {
    Object.assign(page.server, { quick: false, sockets: true, tcp: false });
    const conn = await page.join();
    lose();
    await pass(1000);
    expect([conn.state, conn.stats().links]).toEqual(["open", 2]);
    front(() => refusal(503, "full", {}, { "Retry-After": "2" }));
    draw(0);
    lose();
    await pass(1990);
    expect(asked.length).toBe(1);
    await pass(20);
    expect(asked.length).toBe(2);
  });
});
