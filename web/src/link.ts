import { deferred, now } from "./deferred";
import { answeredBy, type Home, typeRefused, type Written } from "./direct";
import { ConnectError, option, words } from "./error";
import { type LinkName, type LinkOffer, type LinkPipe, type LinkType } from "./options";

/** First round trip in ms, and first, lowest and highest rate in bytes per second of a link. */
export const defaults = { rtt: 100, rate: 64 << 10, floor: 8 << 10, ceiling: 256 << 10 };

// The largest number of bytes in the queue of the browser, from which nothing can be taken back: two of the largest
// messages.
const maxBuffered = 2 * 1160;

// The number of bytes in the queue of the browser from which a WebSocket gets no more.
export const maxSocket = 4096;

export const defaultTimeout = 15_000; // ms

// If the queue has been full for stuckAfter ms, the path is broken, and the browser will start again slowly: with one
// packet a round trip, and twice as many after each. Until the queue was empty for carefulFor ms, the browser gets a
// datagram only when its queue is empty: otherwise datagrams would be old when they leave.
const stuckAfter = 500;
const carefulFor = 1000;

/** The durations of the phases of connecting, in ms. */
export interface ConnectTimes {
  /** Until the offer was made. */
  offer: number;
  /** Until the answer of the server had arrived or, with an invite, until the page had written it. */
  http: number;
  /** Until a path was found; 0 if the browser has not reported it. */
  ice: number;
  /** Until the data channel was open: DTLS and SCTP. */
  transport: number;
  /** Until the session was open: HELLO and WELCOME. */
  hello: number;
  total: number;
}

export const noTimes = (): ConnectTimes => ({ offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 });

/** LinkOwner has the events of a Link. */
export interface LinkOwner {
  /** A datagram arrived, at on the clock of the page. */
  datagram(b: Uint8Array | string, at: number): void;
  /** The queue of the browser has room again. */
  drained(): void;
  /** The server does not let the page in, for a reason in JSON. Only of a link without a request. */
  refused?(b: Uint8Array): void;
  /** The link has ended. The last event. */
  ended(): void;
}

const nobody: LinkOwner = { datagram() {}, drained() {}, ended() {} };

/** Link is one data channel and its peer connection, or a pipe of a LinkType. */
export class Link {
  private waiting = 0; // bytes in the queue of the browser
  private lastReady = 0; // when that queue last had room
  private carefulUntil = 0;
  private readonly backlog: (Uint8Array | string)[] = []; // datagrams that arrived before attach
  /** The datagram before each packet until a packet of the server has arrived, if the page was not let in by a request. */
  admit: Uint8Array<ArrayBuffer> | undefined;
  /** What its answer told of the server. */
  home: Home = [];

  constructor(
    private readonly pc: RTCPeerConnection | undefined,
    private readonly pipe: RTCDataChannel | LinkPipe,
    readonly times: ConnectTimes,
    ended: () => void,
    readonly name: LinkName = "webrtc",
    /** Whether the link neither loses nor reorders. There is no event drained then. */
    readonly reliable = false,
  ) {
    this.owner = { datagram: (b) => this.backlog.push(b), drained() {}, ended };
    (pipe as RTCDataChannel).binaryType = "arraybuffer";
    this.careful(0, maxBuffered / 2);
    let strange: boolean | undefined; // the events have another clock, as in some polyfills
    pipe.onmessage = ({ data, timeStamp: at }: MessageEvent<ArrayBuffer | string>) => {
      // The event has the time already. To read the clock again takes 2 to 3 µs.
      strange ??= !(Math.abs(now() - at) < 1000);
      const b = typeof data === "string" ? data : new Uint8Array(data);
      if (this.admit) {
        if (b[0] === typeRefused) return this.owner.refused?.(b as Uint8Array);
        this.admit = undefined;
      }
      this.owner.datagram(b, strange ? now() : at);
    };
    pipe.onbufferedamountlow = () => this.owner.drained();
    pipe.onclose = () => this.end();
    if (pc) pc.onconnectionstatechange = () => /failed|closed/.test(pc.connectionState) && this.end();
  }

  private owner: LinkOwner;

  /** Sets the owner, which gets the datagrams that have arrived already. */
  attach(owner: LinkOwner): void {
    this.owner = owner;
    for (const b of this.backlog) owner.datagram(b, now());
    if (!/open|1/.test(this.pipe.readyState)) this.end(); // a WebSocket has numbers
  }

  /**
   * Returns whether the browser would send a datagram soon. Call it when there is one to send; sent is the size of the
   * one that was just sent.
   */
  ready(t: number, sent = 0): boolean {
    const waiting = (this.waiting = sent ? this.waiting + sent : this.pipe.bufferedAmount);
    if (this.reliable) return waiting < maxSocket;
    if (waiting > maxBuffered && t - this.lastReady > stuckAfter) this.careful(t + carefulFor, 0);
    else if (this.carefulUntil && t >= this.carefulUntil) this.careful(0, maxBuffered / 2);
    if (waiting > (this.carefulUntil ? 0 : maxBuffered)) return false;
    this.lastReady = t;
    return true;
  }

  /** Returns whether a datagram may wait in the browser for seconds. */
  slow(): boolean {
    return this.carefulUntil > 0;
  }

  private careful(until: number, threshold: number): void {
    this.carefulUntil = until;
    this.pipe.bufferedAmountLowThreshold = threshold;
  }

  /**
   * Returns whether the browser has taken the datagram. If not, the channel is closing or the queue of the browser is
   * full, and the datagram is lost.
   */
  send(b: Uint8Array<ArrayBuffer> | string): boolean {
    try {
      if (this.admit) this.pipe.send(this.admit);
      this.pipe.send(b as string); // the types have an overload for each
      return true;
    } catch {
      return false;
    }
  }

  private end(): void {
    const { owner } = this;
    this.close(); // browsers limit open connections to a few hundred
    owner.ended();
  }

  /** Ends the link. The owner gets no event. */
  close(): void {
    this.owner = nobody;
    ((this.pc ?? this.pipe) as LinkPipe).close(1000); // which a peer connection ignores
  }
}

/** The configuration of a link. */
export interface LinkConfig {
  label?: string; // the label and init of sessions unless set
  init?: RTCDataChannelInit;
  exchange: (offer: string, signal: AbortSignal) => Promise<Written | undefined>;
  timeout: number | undefined; // 15 s unless set
  signal: AbortSignal;
}

function foreign(cause: unknown): never {
  throw new ConnectError("foreign", "the answer is not SDP: check the path, and what stands before the server", {
    cause,
    retryAfter: 0,
  });
}

/** Opens a link, and sets the durations in times. Throws a ConnectError, or the reason of the signal. */
export async function openLink(
  { label = "godwit", init = { negotiated: true, id: 0 }, exchange, timeout = defaultTimeout, signal }: LinkConfig,
  times = noTimes(),
): Promise<Link> {
  option("timeout", timeout, 0);
  let last = now();
  const lap = (): number => -last + (last = now());
  const late = AbortSignal.timeout(Math.min(timeout, 1e9)); // no browser accepts Infinity
  const either = AbortSignal.any([signal, late]);
  signal.throwIfAborted();

  const { promise: opened, resolve, reject } = deferred<unknown>();
  opened.catch(() => {}); // it may reject before it is awaited
  either.onabort = () => reject(either.reason);
  let link: Link | undefined;
  let server: string | undefined;
  const noPath = (): string => (server ? `no UDP from ${server}` : "no UDP");
  try {
    const pc = new RTCPeerConnection(); // some extensions remove it
    const channel = pc.createDataChannel(label, { ordered: false, maxRetransmits: 0, ...init });
    link = new Link(pc, channel, times, () =>
      reject(new ConnectError("link", `${noPath()}: the browser or the network may block it`, { retryAfter: 0 })),
    );
    channel.onopen = resolve;
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState === "connected") times.ice ||= lap();
    };
    await pc.setLocalDescription();
    times.offer = lap();
    // The offer needs no candidates, because the server answers every address that sends valid checks.
    const answer = await exchange(pc.localDescription!.sdp, either);
    times.http = lap();
    if (!answer) throw new ConnectError("link", "the server has no WebRTC");
    link.admit = answer.admit;
    link.home = answeredBy(`${answer.sdp}`);
    server = link.home[1];
    // If the link ends, pc is closed, and the promise of setRemoteDescription may never settle.
    await Promise.all([pc.setRemoteDescription(answer).catch(foreign), opened]);
    times.transport = lap();
    return link;
  } catch (e) {
    link?.close();
    signal.throwIfAborted();
    if (late.aborted) {
      const why = server
        ? `${noPath()}: its port may be closed, or ${link!.admit ? "the invite was used or has expired" : "Config.RTC.Public is wrong"}`
        : `no answer in ${timeout} ms`;
      throw new ConnectError("timeout", why, { cause: e, retryAfter: 0 });
    }
    throw e instanceof ConnectError
      ? e
      : new ConnectError("link", link ? words(e) : "no WebRTC: the browser has none or disables it", {
          cause: e,
        });
  }
}

export const webSocket: LinkType = {
  name: "websocket",
  lossless: true,
  dial: ({ address, ticket }) =>
    new WebSocket(address.replace("http", "ws"), ["godwit.1", `ticket.${ticket}`]) as unknown as LinkPipe,
};

/**
 * Opens a link that the server has offered, and sets the duration in times. Throws a ConnectError, also if the signal
 * aborts, which nobody else may listen to.
 */
export function openOffered(
  { name, lossless, dial }: LinkType,
  offer: LinkOffer,
  times: ConnectTimes,
  signal: AbortSignal,
): Promise<Link> {
  const { promise, resolve, reject } = deferred<Link>();
  const began = now();
  const fail = (cause?: unknown): void =>
    reject(new ConnectError("link", `no ${name} opens: a proxy may not pass it on`, { cause, retryAfter: 0 }));
  try {
    const pipe = dial(offer);
    const link = new Link(undefined, pipe, times, fail, name, lossless);
    pipe.onopen = () => {
      signal.onabort = null;
      times.transport = now() - began;
      resolve(link);
    };
    signal.onabort = () => {
      link.close();
      fail(signal.reason);
    };
  } catch (e) {
    fail(e); // the policy of the page forbids it, or the browser has none
  }
  return promise;
}
