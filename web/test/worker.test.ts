// What worker.ts does in a worker, at a page without a browser. interop/ has both halves in browsers.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openLink } from "../src/link";

/** The two ends of a MessageChannel, which pass on objects as they are: those of node cannot transfer a FakeChannel. */
class Port {
  other!: Port;
  onmessage: ((e: { data: unknown }) => void) | null = null;
  closed = false;
  postMessage = (data: unknown): void =>
    queueMicrotask(() => !this.closed && !this.other.closed && this.other.onmessage?.({ data }));
  close(): void {
    this.closed = true;
  }
}

class Pair {
  port1 = new Port();
  port2 = new Port();
  constructor() {
    this.port1.other = this.port2;
    this.port2.other = this.port1;
  }
}

/** A data channel without a browser. */
class FakeChannel {
  readyState = "open";
  binaryType = "";
  bufferedAmount = 7;
  bufferedAmountLowThreshold = 0;
  readonly sent: unknown[] = [];
  onmessage!: (e: unknown) => void;
  onclose!: (e: unknown) => void;
  onopen!: (e: unknown) => void;
  send = (b: unknown): void => void this.sent.push(b);
  close = vi.fn();
}

let page: Port; // the port of the page
let orders: unknown[]; // what the page gets

/** Runs usePage, as a worker does, at a page that says whether it is able, or says nothing. */
async function enter(able?: boolean): Promise<boolean> {
  vi.stubGlobal("postMessage", (greeting: unknown, [port]: [Port]) => {
    expect(greeting).toBe("godwit peer connections");
    page = port;
    page.onmessage = ({ data }) => orders.push(data);
    if (able !== undefined) page.postMessage({ able });
  });
  const { usePage } = await import("../src/worker");
  return usePage();
}

const answer = { type: "answer", sdp: "v=0 answer" } as const;
const channelOfSessions = ["godwit", { ordered: false, maxRetransmits: 0, negotiated: true, id: 0 }];

function open(exchange = async (_: string): Promise<typeof answer> => answer): ReturnType<typeof openLink> {
  const link = openLink({ exchange, timeout: 60_000, signal: new AbortController().signal });
  link.catch(() => {}); // a test looks later
  return link;
}

/** Resolves when the page has got n orders. */
async function ordered(n: number): Promise<void> {
  while (orders.length < n) await null;
}

beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal("MessageChannel", Pair);
  vi.stubGlobal("RTCDataChannel", FakeChannel);
  orders = [];
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  delete (globalThis as { RTCPeerConnection?: unknown }).RTCPeerConnection;
});

test("a page that cannot transfer channels leaves the worker without WebRTC", async () => {
  expect(await enter(false)).toBe(false);
  expect("RTCPeerConnection" in globalThis).toBe(false);
});

test("a browser whose workers have no data channels leaves the worker without WebRTC", async () => {
  vi.unstubAllGlobals();
  vi.stubGlobal("MessageChannel", Pair);
  expect(await enter(true)).toBe(false);
  expect("RTCPeerConnection" in globalThis).toBe(false);
});

test("a page that has not called serve is an error after 30 s, and usePage can be called again", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  let failed: unknown;
  const entered = enter().catch((e: unknown) => (failed = e));
  await vi.advanceTimersByTimeAsync(29_999);
  expect(failed).toBe(undefined);
  await vi.advanceTimersByTimeAsync(1);
  await entered;
  expect(failed).toMatchObject({ message: expect.stringContaining("has not called serve") });
  page.postMessage({ able: true }); // too late
  await vi.advanceTimersByTimeAsync(0);
  expect("RTCPeerConnection" in globalThis).toBe(false);

  const silent = page;
  const again = enter(true);
  expect(await again).toBe(true);
  expect(page).not.toBe(silent);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(page.other.closed).toBe(false);
});

test("usePage asks the page once, and not at all where there is WebRTC", async () => {
  const first = enter(true);
  const { usePage } = await import("../src/worker");
  expect(usePage()).toBe(usePage());
  expect(await first).toBe(true);
  const before = page;
  vi.resetModules();
  expect(await enter(false)).toBe(true);
  expect(page).toBe(before);
});

test("the page opens a link, which works in the worker until the page closes it", async () => {
  expect(await enter(true)).toBe(true);
  let offer = "";
  const opened = open(async (o) => {
    offer = o;
    return answer;
  });
  await ordered(1);
  expect(orders).toEqual([{ id: 1, open: channelOfSessions }]);
  const channel = new FakeChannel();
  page.postMessage({ id: 1, channel });
  page.postMessage({ id: 1, offer: { type: "offer", sdp: "v=0 offer" } });
  await ordered(2);
  expect(offer).toBe("v=0 offer");
  expect(orders[1]).toEqual({ id: 1, answer });
  page.postMessage({ id: 1, answered: true });
  page.postMessage({ id: 1, states: ["connecting", "connected"] });
  channel.onopen(new Event("open"));
  const link = await opened;

  expect(channel.binaryType).toBe("arraybuffer");
  expect(channel.bufferedAmountLowThreshold).toBe(1160);
  expect(link.ready(1000)).toBe(true);
  expect(link.send(Uint8Array.of(1))).toBe(true);
  expect(channel.sent).toEqual([Uint8Array.of(1)]);
  const got: unknown[] = [];
  const ended = vi.fn();
  link.attach({ datagram: (b) => got.push(b), drained() {}, ended });
  channel.onmessage({ data: Uint8Array.of(2).buffer, timeStamp: 1 });
  expect(got).toEqual([Uint8Array.of(2)]);

  page.postMessage({ id: 1, states: ["closed", "closed"] });
  await ordered(3);
  expect(ended).toHaveBeenCalledOnce();
  expect(orders[2]).toEqual({ id: 1, close: true });
  link.close();
  await null;
  expect(orders).toHaveLength(3);
});

test("the channel of the browser tells that it is closed", async () => {
  await enter(true);
  const opened = open();
  await ordered(1);
  const channel = new FakeChannel();
  page.postMessage({ id: 1, channel });
  page.postMessage({ id: 1, offer: { type: "offer", sdp: "" } });
  await ordered(2);
  channel.onclose(new Event("close"));
  await expect(opened).rejects.toMatchObject({ name: "ConnectError", code: "link" });
  expect(orders[2]).toEqual({ id: 1, close: true });
});

test("what fails in the page is the error in the worker", async () => {
  await enter(true);
  const opened = open();
  await ordered(1);
  page.postMessage({ id: 1, failure: "NotAllowedError: too many" });
  await expect(opened).rejects.toMatchObject({ code: "link", message: "godwit: NotAllowedError: too many" });
});

test("who waits for the page when the connection is closed is told that it is closed", async () => {
  await enter(true);
  const pc = new RTCPeerConnection();
  pc.createDataChannel("");
  const offered = pc.setLocalDescription();
  pc.close();
  await expect(offered).rejects.toThrow("closed");
  expect(pc.connectionState).toBe("closed");
});

test("a page that does not answer ends an attempt after 5 s, and its late answers are ignored", async () => {
  await enter(true);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  let failed = false;
  const opened = open();
  opened.catch(() => (failed = true));
  await ordered(1);
  await vi.advanceTimersByTimeAsync(4999);
  expect(failed).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await expect(opened).rejects.toMatchObject({ code: "link" });
  await ordered(2);
  expect(orders[1]).toEqual({ id: 1, close: true });
  page.postMessage({ id: 1, offer: { type: "offer", sdp: "" } });
  page.postMessage({ id: 1, states: ["closed", "closed"] });
  await null;
  expect(orders).toHaveLength(2);
});

test("the worker gets the events of its page", async () => {
  const got: Event[] = [];
  vi.stubGlobal("dispatchEvent", (e: Event) => got.push(e));
  await enter(true);
  page.postMessage({ life: "pagehide", persisted: true });
  page.postMessage({ life: "pageshow", persisted: true });
  while (got.length < 2) await null;
  expect(got).toMatchObject([
    { type: "pagehide", persisted: true },
    { type: "pageshow", persisted: true },
  ]);
});
