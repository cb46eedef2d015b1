// What webtransport.ts makes of the WebTransport of a browser.
import { expect, test, vi } from "vitest";
import { deferred } from "../src/deferred";
import { type LinkPipe } from "../src/options";
import { webtransport } from "../src/webtransport";

/** A WebTransport without a browser. Each datagram that is written waits in taken until the test takes it. */
class Fake {
  static last: Fake;
  readonly opening = deferred<void>();
  readonly ending = deferred<unknown>();
  readonly ready = this.opening.promise;
  readonly closed = this.ending.promise;
  readonly sent: number[][] = [];
  readonly taken: (() => void)[] = [];
  private source!: ReadableStreamDefaultController<Uint8Array>;
  closes = 0;
  datagrams: Record<string, unknown>;

  constructor(
    readonly url: string,
    readonly options: { serverCertificateHashes: { algorithm: string; value: Uint8Array }[] },
  ) {
    Fake.last = this;
    const writer = {
      write: (b: Uint8Array) => {
        this.sent.push([...b]);
        return new Promise<void>((resolve) => this.taken.push(resolve));
      },
    };
    const readable = new ReadableStream<Uint8Array>({ start: (c) => void (this.source = c) });
    this.datagrams = { readable, writable: { getWriter: () => writer } };
    Fake.change(this.datagrams);
  }

  static change = (_: Record<string, unknown>): void => {};

  arrive(...b: number[]): void {
    this.source.enqueue(Uint8Array.from(b));
  }

  finish(): void {
    this.source.close();
  }

  close(): void {
    this.closes++;
  }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

async function opened(): Promise<{ pipe: LinkPipe; wt: Fake; events: unknown[] }> {
  vi.stubGlobal("WebTransport", Fake);
  const pipe = webtransport.dial({
    type: "webtransport",
    address: "https://udp.example:7777/",
    ticket: "t_1",
    hashes: ["AAEC/w=="],
  });
  const events: unknown[] = [];
  Object.assign(pipe, {
    onopen: () => events.push("open"),
    onclose: () => events.push("close"),
    onbufferedamountlow: () => events.push("low"),
    onmessage: (e: MessageEvent) => events.push([...e.data]),
  });
  expect(pipe.readyState).toBe("connecting");
  expect(() => pipe.send(new Uint8Array(1))).toThrow(TypeError);
  const wt = Fake.last;
  wt.opening.resolve();
  await settle();
  expect([pipe.readyState, events]).toEqual(["open", ["open"]]);
  events.length = 0;
  return { pipe, wt, events };
}

test("it is opened with the ticket in the query, and with the hashes", async () => {
  const { wt } = await opened();
  expect([webtransport.name, webtransport.lossless]).toEqual(["webtransport", false]);
  expect(wt.url).toBe("https://udp.example:7777/?ticket=t_1");
  expect(wt.options).toMatchObject({
    congestionControl: "low-latency",
    requireUnreliable: true,
    serverCertificateHashes: [{ algorithm: "sha-256", value: Uint8Array.from([0, 1, 2, 255]) }],
  });
  expect(wt.datagrams["outgoingMaxAge"]).toBe(500);
});

test("a certificate of a CA needs no hashes", () => {
  vi.stubGlobal("WebTransport", Fake);
  webtransport.dial({ type: "webtransport", address: "https://udp.example/", ticket: "t" });
  expect(Fake.last.options.serverCertificateHashes).toEqual([]);
});

test("datagrams arrive, and leave as copies", async () => {
  const { pipe, wt, events } = await opened();
  wt.arrive(1, 2);
  wt.arrive(3);
  await settle();
  expect(events).toEqual([[1, 2], [3]]);
  const b = Uint8Array.from([4, 5]);
  pipe.send(b);
  b[0] = 6;
  pipe.send(b.subarray(0, 1));
  expect(wt.sent).toEqual([[4, 5], [6]]);
});

test("what the browser has not taken is counted, and there is an event when it is less", async () => {
  const { pipe, wt, events } = await opened();
  pipe.bufferedAmountLowThreshold = 10;
  for (const n of [8, 8, 8]) pipe.send(new Uint8Array(n));
  const amounts = [pipe.bufferedAmount];
  for (const take of wt.taken) {
    take();
    await settle();
    amounts.push(pipe.bufferedAmount);
  }
  expect([amounts, events]).toEqual([[24, 16, 8, 0], ["low"]]);
});

test("Safari has only createWritable", async () => {
  const other: number[][] = [];
  Fake.change = (d) => {
    delete d["writable"];
    d["createWritable"] = () => ({ getWriter: () => ({ write: async (b: Uint8Array) => void other.push([...b]) }) });
  };
  const { pipe } = await opened();
  Fake.change = () => {};
  pipe.send(Uint8Array.from([7]));
  expect(other).toEqual([[7]]);
});

test.each(["resolves", "rejects"])("its end is the event close, also if closed %s", async (how) => {
  const { pipe, wt, events } = await opened();
  if (how === "resolves") wt.ending.resolve({});
  else wt.ending.reject(new Error("lost"));
  await settle();
  expect([pipe.readyState, events]).toEqual(["closed", ["close"]]);
  expect(() => pipe.send(new Uint8Array(1))).toThrow(TypeError);
});

test("one that does not open ends", async () => {
  vi.stubGlobal("WebTransport", Fake);
  const pipe = webtransport.dial({ type: "webtransport", address: "https://udp.example/", ticket: "t" });
  const events: string[] = [];
  pipe.onclose = () => events.push("close");
  Fake.last.opening.reject(new Error("no"));
  Fake.last.ending.reject(new Error("no"));
  await settle();
  expect(events).toEqual(["close"]);
  pipe.close();
  expect(Fake.last.closes).toBe(1);
});

test("the end of the stream of datagrams is not an end by itself", async () => {
  const { wt, events } = await opened();
  wt.finish();
  await settle();
  expect(events).toEqual([]);
});
