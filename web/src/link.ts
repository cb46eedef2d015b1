import { deferred, now } from "./deferred";
import { ConnectError, option, words } from "./error";

// What may wait in the browser's own queue, where nothing can be taken back: two of the largest messages.
const maxBuffered = 2 * 1160;

// When it has been full for this long the path is broken, and the browser will start over slowly: one packet a round
// trip, and twice as many each time. Until its queue has been empty for a while, only an empty one gets more, or what
// waits in it would be old when it leaves.
const stuckAfter = 500;
const carefulFor = 1000;

/** How long the phases of connecting took, in ms. */
export interface ConnectTimes {
  /** To make the offer. */
  offer: number;
  /** Until the server's answer was in hand. */
  http: number;
  /** Until a path was found; 0 if the browser did not tell. */
  ice: number;
  /** Until the data channel was open: DTLS and SCTP. */
  transport: number;
  /** Until the session was open: hello and welcome. */
  hello: number;
  total: number;
}

export const noTimes = (): ConnectTimes => ({ offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 });

/** What a Link tells its owner. */
export interface LinkOwner {
  /** at is when it came, on the page's clock. */
  datagram(b: Uint8Array | string, at: number): void;
  /** The browser's queue has room again. */
  drained(): void;
  /** The last event. */
  ended(): void;
}

const nobody: LinkOwner = { datagram() {}, drained() {}, ended() {} };

/** Link is one data channel, and the peer connection it is on. */
export class Link {
  private waiting = 0; // bytes in the browser's queue
  private lastReady = 0; // when it had room
  private carefulUntil = 0;
  private readonly backlog: (Uint8Array | string)[] = []; // came before attach

  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly channel: RTCDataChannel,
    readonly times: ConnectTimes,
    ended: () => void,
  ) {
    this.owner = { datagram: (b) => this.backlog.push(b), drained() {}, ended };
    channel.binaryType = "arraybuffer";
    this.careful(0, maxBuffered / 2);
    let strange: boolean | undefined; // the events of some polyfills have another clock
    channel.onmessage = ({ data, timeStamp: at }: MessageEvent<ArrayBuffer | string>) => {
      // The browser has read its clock for the event. To have it read again takes 2 to 3 µs.
      strange ??= !(Math.abs(now() - at) < 1000);
      this.owner.datagram(typeof data === "string" ? data : new Uint8Array(data), strange ? now() : at);
    };
    channel.onbufferedamountlow = () => this.owner.drained();
    channel.onclose = () => this.end();
    pc.onconnectionstatechange = () => /failed|closed/.test(pc.connectionState) && this.end();
  }

  private owner: LinkOwner;

  /** Gives the link its owner, and the owner what has come already. */
  attach(owner: LinkOwner): void {
    this.owner = owner;
    for (const b of this.backlog) owner.datagram(b, now());
    if (this.channel.readyState !== "open") this.end();
  }

  /** Whether the browser would send a datagram soon. Ask when there is one, and tell what has just been sent. */
  ready(t: number, sent = 0): boolean {
    const waiting = (this.waiting = sent ? this.waiting + sent : this.channel.bufferedAmount);
    if (waiting > maxBuffered && t - this.lastReady > stuckAfter) this.careful(t + carefulFor, 0);
    else if (this.carefulUntil && t >= this.carefulUntil) this.careful(0, maxBuffered / 2);
    if (waiting > (this.carefulUntil ? 0 : maxBuffered)) return false;
    this.lastReady = t;
    return true;
  }

  /** Whether a datagram may wait in the browser for seconds. */
  slow(): boolean {
    return this.carefulUntil > 0;
  }

  private careful(until: number, threshold: number): void {
    this.carefulUntil = until;
    this.channel.bufferedAmountLowThreshold = threshold;
  }

  /** Reports whether the browser has taken it. If not, the channel is closing or the browser's queue full: it is lost. */
  send(b: Uint8Array<ArrayBuffer> | string): boolean {
    try {
      this.channel.send(b as string); // the types have one overload for each
      return true;
    } catch {
      return false;
    }
  }

  private end(): void {
    const { owner } = this;
    this.close(); // browsers have room for some hundred that are not
    owner.ended();
  }

  /** Ends the link without a word to its owner. */
  close(): void {
    this.owner = nobody;
    this.pc.close();
  }
}

/** How a link is opened. */
export interface LinkConfig {
  label: string;
  init: RTCDataChannelInit;
  exchange: (offer: string, signal: AbortSignal) => Promise<RTCSessionDescriptionInit>;
  timeout: number | undefined; // 15 s unless set
  signal: AbortSignal;
}

function foreign(cause: unknown): never {
  throw new ConnectError("foreign", "the answer is not SDP: check the path, and what stands before the server", {
    cause,
    retryAfter: 0,
  });
}

/** Opens a link, and notes in times how long that took. Throws a ConnectError, or the signal's reason. */
export async function openLink(
  { label, init, exchange, timeout = 15_000, signal }: LinkConfig,
  times = noTimes(),
): Promise<Link> {
  option("timeout", timeout, 0);
  let last = now();
  const lap = (): number => -last + (last = now());
  const late = AbortSignal.timeout(Math.min(timeout, 1e9)); // no browser takes Infinity
  const either = AbortSignal.any([signal, late]);
  signal.throwIfAborted();

  const { promise: opened, resolve, reject } = deferred<unknown>();
  opened.catch(() => {}); // it may come when nobody looks
  either.onabort = () => reject(either.reason);
  let link: Link | undefined;
  let server: string | undefined;
  const noPath = (): string => (server ? `no UDP from ${server}` : "no UDP");
  try {
    const pc = new RTCPeerConnection(); // some extensions take it away
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
    // Candidates of ours are of no use to a server that answers whoever checks.
    const answer = await exchange(pc.localDescription!.sdp, either);
    times.http = lap();
    server = / udp \d+ (\S+ \d+) /i.exec(`${answer.sdp}`)?.[1];
    // A link that ends closes pc, which then need not say what becomes of the answer.
    await Promise.all([pc.setRemoteDescription(answer).catch(foreign), opened]);
    times.transport = lap();
    return link;
  } catch (e) {
    link?.close();
    signal.throwIfAborted();
    if (late.aborted) {
      const why = server
        ? `${noPath()}: its port may be closed, or Config.RTC.Public wrong`
        : `no answer to the offer in ${timeout} ms`;
      throw new ConnectError("timeout", why, { cause: e, retryAfter: 0 });
    }
    throw e instanceof ConnectError
      ? e
      : new ConnectError("link", link ? words(e) : "no WebRTC: the browser has none, or an extension or a policy disables it", {
          cause: e,
        });
  }
}
