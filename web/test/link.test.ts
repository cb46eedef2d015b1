// One data channel: its events, when the browser would send soon, and how it opens and ends.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ConnectError } from "../src/error";
import { Link, type LinkConfig, noTimes, openLink } from "../src/link";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

class Channel {
  binaryType = "";
  readyState = "open";
  bufferedAmount = 0;
  bufferedAmountLowThreshold = -1;
  full = false;
  readonly sent: unknown[] = [];
  onopen?: () => void;
  onclose!: () => void;
  onbufferedamountlow!: () => void;
  onmessage!: (e: { data: ArrayBuffer | string; timeStamp: number }) => void;
  send(b: unknown): void {
    if (this.full) throw new Error("OperationError");
    this.sent.push(b);
  }
}

class Connection {
  connectionState = "connected";
  closed = 0;
  onconnectionstatechange!: () => void;
  close(): void {
    this.closed++;
  }
}

function made() {
  const channel = new Channel();
  const pc = new Connection();
  const early = vi.fn();
  const link = new Link(pc as unknown as RTCPeerConnection, channel as unknown as RTCDataChannel, noTimes(), early);
  const heard: [string, number][] = [];
  const owner = {
    datagram: (b: Uint8Array | string, at: number) =>
      void heard.push([typeof b === "string" ? b : Buffer.from(b).toString("hex"), at]),
    drained: vi.fn(),
    ended: vi.fn(),
  };
  const come = (data: ArrayBuffer | string, timeStamp: number): void => channel.onmessage({ data, timeStamp });
  return { channel, pc, early, link, heard, owner, come };
}

const bytes = (...b: number[]): ArrayBuffer => Uint8Array.from(b).buffer;

test("what comes before there is an owner waits for it", () => {
  const { link, heard, owner, come, channel } = made();
  expect(channel.binaryType).toBe("arraybuffer");
  vi.advanceTimersByTime(5000);
  come(bytes(1), 4990);
  come("two", 4995);
  channel.onbufferedamountlow();
  link.attach(owner);
  expect(heard).toEqual([
    ["01", 5000],
    ["two", 5000],
  ]);
  come(bytes(3, 4), 4999);
  expect(heard[2]).toEqual(["0304", 4999]); // the time of the event
  channel.onbufferedamountlow();
  expect([owner.drained.mock.calls.length, owner.ended.mock.calls.length]).toEqual([1, 0]);
});

test.each([
  [4000.5, false],
  [4000, true],
  [6000, true],
  [5999.5, false],
  [Number.NaN, true],
  [1e12, true],
])("events that are stamped with %d at 5000", (stamp, strange) => {
  const { link, heard, owner, come } = made();
  link.attach(owner);
  vi.advanceTimersByTime(5000);
  come("a", stamp);
  expect(heard).toEqual([["a", strange ? 5000 : stamp]]);
  come("b", 4999); // the first event has shown which clock it has
  expect(heard[1]).toEqual(["b", strange ? 5000 : 4999]);
});

describe("the end", () => {
  test("is told once, by the channel or by the connection", () => {
    for (const how of ["close", "failed", "closed"]) {
      const { link, heard, owner, come, channel, pc } = made();
      link.attach(owner);
      pc.connectionState = "disconnected"; // this state may be temporary
      pc.onconnectionstatechange();
      expect(owner.ended).not.toHaveBeenCalled();
      for (let i = 0; i < 2; i++) {
        pc.connectionState = how;
        if (how === "close") channel.onclose();
        else pc.onconnectionstatechange();
      }
      come("late", 0);
      channel.onbufferedamountlow();
      expect([owner.ended.mock.calls.length, heard, owner.drained.mock.calls.length]).toEqual([1, [], 0]);
    }
  });

  test("before there is an owner it is told to who opens, and to an owner that comes then", () => {
    const { early, channel, link, owner } = made();
    channel.onclose();
    expect(early).toHaveBeenCalledTimes(1);
    channel.readyState = "closed";
    link.attach(owner);
    expect([owner.ended.mock.calls.length, early.mock.calls.length]).toEqual([1, 1]);
  });

  test("is not told to who asked for it", () => {
    const { channel, link, owner, pc } = made();
    link.attach(owner);
    link.close();
    channel.onclose();
    expect([pc.closed > 0, owner.ended.mock.calls.length]).toEqual([true, 0]);
  });

  test("that comes by itself closes the connection", () => {
    const { channel, link, owner, pc } = made();
    link.attach(owner);
    expect(pc.closed).toBe(0);
    channel.onclose();
    expect(pc.closed).toBe(1);
  });
});

test("whether the browser has taken a datagram", () => {
  const { channel, link } = made();
  expect(link.send("x")).toBe(true);
  channel.full = true;
  expect([link.send("y"), channel.sent]).toEqual([false, ["x"]]);
});

describe("the browser's queue", () => {
  test("takes two of the largest messages, with those that have just left", () => {
    const { channel, link } = made();
    channel.bufferedAmount = 2320;
    expect([link.ready(0), link.slow(), channel.bufferedAmountLowThreshold]).toEqual([true, false, 1160]);
    expect([link.ready(0, 1), link.ready(0)]).toEqual([false, true]);
    channel.bufferedAmount = 1000;
    expect([link.ready(0), link.ready(0, 1320), link.ready(0, 1)]).toEqual([true, true, false]);
  });

  test("that was full for half a second gets more only when it is empty, until it was for a second", () => {
    const { channel, link } = made();
    const now = (t: number, waiting: number): [ready: boolean, slow: boolean, threshold: number] => {
      channel.bufferedAmount = waiting;
      return [link.ready(t), link.slow(), channel.bufferedAmountLowThreshold];
    };
    expect(now(1000, 0)).toEqual([true, false, 1160]);
    expect(now(1500, 2321)).toEqual([false, false, 1160]);
    expect(now(1501, 2321)).toEqual([false, true, 0]);
    expect(now(1600, 1)).toEqual([false, true, 0]);
    expect(now(1600, 0)).toEqual([true, true, 0]);
    expect(now(2500, 0)).toEqual([true, true, 0]);
    expect(now(2501, 1)).toEqual([true, false, 1160]);
    expect(now(2501, 2320)).toEqual([true, false, 1160]);
    expect(now(3100, 2320), "which is not full").toEqual([true, false, 1160]);
  });

  test("that is full again meanwhile begins again", () => {
    const { channel, link } = made();
    link.ready(1000);
    channel.bufferedAmount = 5000;
    expect([link.ready(1501), link.ready(2400), link.slow()]).toEqual([false, false, true]);
    channel.bufferedAmount = 0;
    expect([link.ready(3399), link.slow()]).toEqual([true, true]);
    expect([link.ready(3400), link.slow()]).toEqual([true, false]);
  });
});

describe("opening", () => {
  const answer = { type: "answer", sdp: "v=0\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 7777 typ host\r\n" } as const;

  /** A browser in which each step takes some time, and a configuration for openLink. */
  function browser(more: Partial<LinkConfig> = {}) {
    const made: Fake[] = [];
    class Fake extends Connection {
      readonly channel = new Channel();
      readonly asked: unknown[] = [];
      localDescription = { sdp: "offer" };
      iceConnectionState = "new";
      oniceconnectionstatechange!: () => void;
      constructor() {
        super();
        made.push(this);
      }
      createDataChannel(...args: unknown[]): Channel {
        this.asked.push(...args);
        return this.channel;
      }
      async setLocalDescription(): Promise<void> {
        vi.advanceTimersByTime(1);
      }
      async setRemoteDescription(d: unknown): Promise<void> {
        this.asked.push(d);
        vi.advanceTimersByTime(3);
        this.ice("checking");
        vi.advanceTimersByTime(1);
        this.ice("connected");
        vi.advanceTimersByTime(8);
        this.ice("connected"); // a second time counts nothing
        this.channel.onopen!();
      }
      ice(state: string): void {
        this.iceConnectionState = state;
        this.oniceconnectionstatechange();
      }
    }
    vi.stubGlobal("RTCPeerConnection", Fake);
    const config: LinkConfig = {
      label: "mine",
      init: { protocol: "p" },
      exchange: async (offer) => {
        expect(offer).toBe("offer");
        vi.advanceTimersByTime(2);
        return answer;
      },
      timeout: undefined,
      signal: new AbortController().signal,
      ...more,
    };
    return { made, config, Fake };
  }

  test("takes its phases' times, on a channel that orders and repeats nothing", async () => {
    const { made, config } = browser();
    const link = await openLink(config);
    expect(link.times).toEqual({ offer: 1, http: 2, ice: 4, transport: 8, hello: 0, total: 0 });
    expect(made[0]!.asked).toEqual(["mine", { ordered: false, maxRetransmits: 0, protocol: "p" }, answer]);
    expect(made[0]!.closed).toBe(0);
  });

  test("ends with the connection, which says where no UDP comes from", async () => {
    const { config, Fake, made } = browser();
    Fake.prototype.setRemoteDescription = async function () {
      this.connectionState = "failed";
      this.onconnectionstatechange();
    };
    const error = await openLink(config).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({
      code: "link",
      retryAfter: 0,
      message: expect.stringContaining("no UDP from 192.0.2.1 7777: the browser or the network"),
    });
    expect(made[0]!.closed).toBeGreaterThan(0);
    const nowhere = await openLink({ ...config, exchange: async () => ({ type: "answer", sdp: "" }) }).catch((e: unknown) => e);
    expect(nowhere).toMatchObject({ message: expect.stringContaining("no UDP: the browser or the network may block it") });
  });

  test("ends with the exchange, whose error is told as it is", async () => {
    const refused = new ConnectError("full", "no room");
    const { config, made } = browser({ exchange: () => Promise.reject(refused) });
    await expect(openLink(config)).rejects.toBe(refused);
    expect(made[0]!.closed).toBe(1);
    const other = browser({ exchange: () => Promise.reject(new TypeError("odd")) });
    await expect(openLink(other.config)).rejects.toMatchObject({
      code: "link",
      message: "godwit: odd",
      cause: expect.any(TypeError),
    });
  });

  test("ends with the connection though the browser never settles the promise of the answer, as for a closed connection", async () => {
    const { config, Fake } = browser();
    Fake.prototype.setRemoteDescription = function () {
      this.connectionState = "failed";
      this.onconnectionstatechange();
      return new Promise(() => {});
    };
    await expect(openLink(config)).rejects.toMatchObject({ code: "link", retryAfter: 0 });
  });

  test("with an answer that the browser refuses is with something other than the server", async () => {
    const { config, Fake, made } = browser();
    const cause = new DOMException("no SDP", "OperationError");
    Fake.prototype.setRemoteDescription = () => Promise.reject(cause);
    await expect(openLink(config)).rejects.toMatchObject({ code: "foreign", status: 0, retryAfter: 0, cause });
    expect(made[0]!.closed).toBe(1);
  });

  test("ends with the signal, before and on the way", async () => {
    const enough = new Error("enough");
    const before = browser({ signal: AbortSignal.abort(enough) });
    await expect(openLink(before.config)).rejects.toBe(enough);
    expect(before.made.length).toBe(0);
    const stop = new AbortController();
    const during = browser({ signal: stop.signal });
    during.Fake.prototype.setRemoteDescription = async () => stop.abort(enough); // the channel never opens
    await expect(openLink(during.config)).rejects.toBe(enough);
    expect(during.made[0]!.closed).toBe(1);
  });

  test("ends when it is late, which says how far it came", async () => {
    const late = new AbortController();
    const limits: number[] = [];
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => (limits.push(ms), late.signal));
    const waits = browser({
      timeout: 77,
      exchange: (_, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    });
    const first = openLink(waits.config).catch((e: unknown) => e);
    await Promise.resolve();
    late.abort(new DOMException("late", "TimeoutError"));
    expect(await first).toMatchObject({
      code: "timeout",
      retryAfter: 0,
      cause: late.signal.reason,
      message: expect.stringContaining("no answer in 77 ms"),
    });
    const again = new AbortController();
    vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => (limits.push(ms), again.signal));
    const silent = browser();
    silent.Fake.prototype.setRemoteDescription = async () => again.abort();
    const second = await openLink(silent.config).catch((e: unknown) => e);
    expect(second).toMatchObject({
      code: "timeout",
      message: expect.stringContaining("no UDP from 192.0.2.1 7777: its port may be closed"),
    });
    expect([limits, silent.made[0]!.closed]).toEqual([[77, 15_000], 1]);
  });
});
