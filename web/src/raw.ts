import { type Bytes, bytesOf, view } from "./bytes";
import { now } from "./deferred";
import { SendError } from "./error";
import { type ConnectTimes, type Link, openLink } from "./link";
import { absolute, exchange } from "./signaling";

const largest = 1160; // bytes of a datagram

/** The options of connectRaw. */
export interface RawOptions {
  /** Label of the data channel, which the server gets. "data" unless set. */
  label?: string;
  protocol?: string;
  token?: string;
  signal?: AbortSignal;
  timeout?: number;
  request?: RequestInit;
}

/** The events of a RawConn. */
export interface RawEventMap {
  message: MessageEvent<Uint8Array | string>;
  close: Event;
}

/**
 * RawConn sends and receives datagrams, which may be lost and may arrive in another order. Its events are message and
 * close.
 */
export class RawConn extends EventTarget {
  /** How long the phases of connecting took. */
  readonly times: ConnectTimes;
  /** Number of datagrams that were not sent, because the queue of the browser was full or the connection has ended. */
  dropped = 0;

  /** @internal */
  constructor(private readonly link: Link) {
    super();
    this.times = link.times;
    link.attach({
      datagram: (data) => this.dispatchEvent(new MessageEvent("message", { data })),
      drained: () => {},
      ended: () => this.dispatchEvent(new Event("close")),
    });
  }

  /**
   * Sends one datagram of at most 1160 bytes, and returns whether the browser has taken it. If the datagram would have
   * to wait, it is dropped, because it would be old later. In a UDP packet it takes its size, rounded up to a multiple
   * of four, plus 65 bytes. A datagram that is larger than the path carries is always lost, without an error. Throws a
   * SendError if data is too large, or neither bytes nor a string.
   */
  send(data: Bytes | string): boolean {
    const b = typeof data === "string" ? bytesOf(data) : view(data);
    if (b.length > largest) throw new SendError("size", `the datagram has ${b.length} bytes: at most ${largest}`);
    // Browsers do not send from shared memory.
    const own = b.buffer instanceof ArrayBuffer ? (b as Uint8Array<ArrayBuffer>) : b.slice();
    const sent = this.link.ready(now()) && this.link.send(typeof data === "string" ? data : own);
    if (!sent) this.dropped++;
    return sent;
  }

  close(): void {
    this.link.close();
  }
}

/** The events of a RawConn, typed. */
export interface RawConn {
  addEventListener<K extends keyof RawEventMap>(
    type: K,
    listener: (event: RawEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof RawEventMap>(
    type: K,
    listener: (event: RawEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** Connects to a server of datagrams. Rejects with a ConnectError, or with the reason of the signal. */
export async function connectRaw(
  url: string | URL,
  { label = "data", protocol = "", token, signal = new AbortController().signal, timeout, request }: RawOptions = {},
): Promise<RawConn> {
  const authorization = token && `Bearer ${token}`;
  const link = await openLink({
    label,
    init: { protocol },
    exchange: async (offer, either) => (await exchange(absolute(url), offer, authorization, request, [], either)).sdp,
    timeout,
    signal,
  });
  const { times } = link;
  times.total = times.offer + times.http + times.ice + times.transport;
  return new RawConn(link);
}
