import { now } from "./deferred";
import { type ConnectTimes, type Link, openLink } from "./link";
import { absolute, exchange } from "./signaling";

/** How to connect to level one, a server of datagrams. */
export interface RawOptions {
  /** Of the data channel, which the server sees. "data" unless set. */
  label?: string;
  protocol?: string;
  token?: string;
  signal?: AbortSignal;
  timeout?: number;
  request?: RequestInit;
}

/** RawEventMap are the events of a RawConn. */
export interface RawEventMap {
  message: MessageEvent<Uint8Array | string>;
  close: Event;
}

/** RawConn is a way for datagrams: they may be lost, and overtake each other. Its events are message and close. */
export class RawConn extends EventTarget {
  /** How long the phases of connecting took. */
  readonly times: ConnectTimes;
  /** Datagrams that were not sent, because the browser could not keep up. */
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

  /** Sends one datagram of at most 1160 bytes, or drops it when it would wait: late it would be of no use. */
  send(data: Uint8Array<ArrayBuffer> | string): boolean {
    if (!this.link.ready(now())) {
      this.dropped++;
      return false;
    }
    this.link.send(data);
    return true;
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

/** Connects to a server of datagrams. Rejects with a ConnectError, or with the signal's reason. */
export async function connectRaw(
  url: string | URL,
  { label = "data", protocol = "", token, signal = new AbortController().signal, timeout, request }: RawOptions = {},
): Promise<RawConn> {
  const authorization = token && `Bearer ${token}`;
  const link = await openLink({
    label,
    init: { protocol },
    exchange: (offer, either) => exchange(absolute(url), offer, authorization, request, [], either),
    timeout,
    signal,
  });
  const { times } = link;
  times.total = times.offer + times.http + times.ice + times.transport;
  return new RawConn(link);
}
