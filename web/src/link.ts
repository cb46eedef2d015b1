import { ConnectError } from "./errors";

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

/** What a Link tells its owner. */
export interface LinkOwner {
  datagram(b: Uint8Array | string): void;
  /** The browser's queue has room again. */
  drained(): void;
  /** The last event. */
  ended(): void;
}

/** Link is one data channel, and the peer connection it is on. */
export class Link {
  private owner: LinkOwner | null = null;
  private readonly backlog: (Uint8Array | string)[] = []; // came before there was an owner
  private lastReady = 0; // when the browser's queue had room
  private carefulUntil = 0;

  constructor(
    private readonly pc: RTCPeerConnection,
    private readonly channel: RTCDataChannel,
    readonly times: ConnectTimes,
  ) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = maxBuffered / 2;
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      const b = typeof data === "string" ? data : new Uint8Array(data);
      if (this.owner) this.owner.datagram(b);
      else this.backlog.push(b);
    };
    channel.onbufferedamountlow = () => this.owner?.drained();
    channel.onclose = () => this.end();
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed" || pc.connectionState === "closed") this.end();
    };
  }

  /** Gives the link its owner, and the owner what has come already. */
  attach(owner: LinkOwner): void {
    this.owner = owner;
    for (const b of this.backlog) this.owner?.datagram(b);
    if (this.channel.readyState !== "open") this.end();
  }

  /** Whether the browser would send a datagram soon. Ask as long as there is one. */
  ready(t: number): boolean {
    const waiting = this.channel.bufferedAmount;
    if (waiting > maxBuffered && t - this.lastReady > stuckAfter) this.careful(t + carefulFor, 0);
    else if (t >= this.carefulUntil && this.carefulUntil > 0) this.careful(0, maxBuffered / 2);
    if (waiting > (this.carefulUntil > 0 ? 0 : maxBuffered)) return false;
    this.lastReady = t;
    return true;
  }

  private careful(until: number, threshold: number): void {
    this.carefulUntil = until;
    this.channel.bufferedAmountLowThreshold = threshold;
  }

  send(b: Uint8Array<ArrayBuffer> | string): void {
    try {
      // The types have one overload for each.
      if (typeof b === "string") this.channel.send(b);
      else this.channel.send(b);
    } catch {
      // The channel is closing, or the browser's queue full: a datagram that is lost.
    }
  }

  private end(): void {
    const owner = this.owner;
    this.owner = null;
    owner?.ended();
  }

  /** Ends the link without a word to its owner. */
  close(): void {
    this.owner = null;
    this.pc.close();
  }
}

/** How a link is opened. */
export interface LinkConfig {
  label: string;
  init: RTCDataChannelInit;
  exchange: (offer: string, signal: AbortSignal) => Promise<RTCSessionDescriptionInit>;
  timeout: number;
  signal: AbortSignal;
}

/** Opens a link. Throws a ConnectError, or the signal's reason. */
export async function openLink(c: LinkConfig): Promise<Link> {
  const times: ConnectTimes = { offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 };
  let last = performance.now();
  const lap = (): number => -last + (last = performance.now());
  const timeout = AbortSignal.timeout(c.timeout);
  const signal = AbortSignal.any([c.signal, timeout]);
  signal.throwIfAborted();

  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel(c.label, { ordered: false, maxRetransmits: 0, ...c.init });
  const link = new Link(pc, channel, times);
  const failed = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    pc.addEventListener("connectionstatechange", () => {
      if (pc.connectionState === "failed") reject(new ConnectError("link", "WebRTC failed", { retryAfter: 0 }));
    });
  });
  failed.catch(() => {}); // it may come when nobody looks any more
  const opened = new Promise((resolve) => channel.addEventListener("open", resolve));
  pc.addEventListener("iceconnectionstatechange", () => {
    if (pc.iceConnectionState === "connected" && !times.ice) times.ice = lap();
  });
  try {
    await pc.setLocalDescription();
    times.offer = lap();
    // Candidates of ours are of no use to a server that answers whoever checks.
    const answer = await Promise.race([c.exchange(pc.localDescription!.sdp, signal), failed]);
    times.http = lap();
    await Promise.race([pc.setRemoteDescription(answer), failed]);
    await Promise.race([opened, failed]);
    times.transport = lap();
    return link;
  } catch (e) {
    link.close();
    if (timeout.aborted && !c.signal.aborted) {
      const what = times.http ? "UDP does not reach the server, or its answers do not come back" : "no answer to the offer";
      throw new ConnectError("timeout", `not open after ${c.timeout} ms: ${what}`, { cause: e, retryAfter: 0 });
    }
    c.signal.throwIfAborted();
    if (e instanceof ConnectError) throw e;
    throw new ConnectError("link", "WebRTC failed", { cause: e });
  }
}
