import { type Bytes, nothing, view } from "./bytes";
import { CloseCode } from "./close";
import { backoff, deferred, longestBackoff, now, sleep } from "./deferred";
import { ConnectError, GodwitError, option, SendError, words } from "./error";
import { ChannelEvent, type CloseReason, ConnCloseEvent, type ConnEventMap, type OpenedChannel, type OpenedName } from "./event";
import { Inbox } from "./inbox";
import { type ConnectTimes, type Link, noTimes, openLink } from "./link";
import { maxPacket } from "./packet";
import { type Fate } from "./queue";
import { closed, open, renewable, Session, type SessionEvents } from "./session";
import { exchange, signalingURL } from "./signaling";
import { type ChannelStats, type Stats } from "./stats";
import { type Channel, type FullChannel, fullTable, isReliable } from "./table";

/** How to connect. All but channels may be left out. */
export interface ConnectOptions<C extends readonly Channel[]> {
  /** The table of channels, the same as the server's. */
  channels: C;
  /**
   * What the server knows the player by, or what fetches it afresh. A token that is good once must be a function: a
   * string cannot be used again after an attempt that failed or was aborted. If the function throws a ConnectError, that
   * is the reason; anything else is taken for a failure that passes, which sessions tries again.
   */
  token?: string | (() => string | Promise<string>);
  /** The program's own version, which the server may insist on. */
  app?: string;
  /** Goes to the server's program with the opening: at most 1024 bytes. */
  hello?: Bytes;
  /** Gives up connecting, or closes the session. */
  signal?: AbortSignal;
  /** For one attempt to connect, in ms. 15 s unless set. */
  timeout?: number;
  /** More for the signaling request, such as credentials or headers. */
  request?: RequestInit;
  /** Bytes per second that are sent at most: 1150 at least, or negative for no limit. 256 KiB unless set. */
  ceiling?: number;
}

/** What one message asks for. */
export interface SendOptions {
  /** Milliseconds after which the message is useless and not sent any more. */
  deadline?: number;
  /** What the message is about: it takes the place of a queued one with the same key. Neither 0 nor "". */
  key?: number | string;
  /** Makes send return a promise of what becomes of the message. */
  receipt?: boolean;
}

/** Names of the channels that a page may send on, and that it may hear. */
export type Sendable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-client" }>["name"] | OpenedName;
export type Hearable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-server" }>["name"] | OpenedName;

type Answer = Bytes | void | undefined;
type Heard = (b: Uint8Array) => void;
type Served = (b: Uint8Array) => Answer | Promise<Answer>;

const asleep = 1500; // a timer that is late by more was not held back as those of a hidden page are
/** Of the link. */
export const defaults = { rtt: 100, rate: 64 << 10, floor: 8 << 10, ceiling: 256 << 10 };

export const drainTime = 10_000; // that a session which closes waits for acknowledgements
export const maxCode = 65_535; // of those that a program may close with
const patience = 3000; // with a new link on which nothing comes
const maxStrangers = 5; // answers of one server that it does not know the session

/**
 * Conn is one session with a server. It outlives its link: when the link falls silent it looks for a new one by
 * itself, and reliable channels go on where they were.
 *
 * Handlers get a view of the bytes that came, which stays valid. One that throws does not disturb the others: the error
 * is reported as uncaught.
 */
export class Conn<const C extends readonly Channel[] = readonly Channel[]> extends EventTarget {
  /** Resolves when the session is open, or rejects with a ConnectError. */
  readonly opened: Promise<void>;
  /** Resolves when the session has ended. */
  readonly closed: Promise<CloseReason>;
  /** Whether the session is one that another Conn has begun. */
  continued = false;
  /** How long the phases of connecting took. */
  readonly times = noTimes();

  /** The channels that the server has opened at run time. */
  readonly channels: readonly OpenedChannel[] = [];

  /** With the control channel first, and those of channels last. @internal */
  readonly table: FullChannel[];
  /** @internal */
  readonly session: Session;
  private readonly url: URL;
  private readonly started = now();
  private readonly listeners: Set<Heard>[] = []; // by channel; none before its first
  /** @internal */
  readonly unheard: (Inbox | null)[];
  private readonly handlers = new Map<string, Served>();
  private readonly pending = new Set<Promise<unknown>>(); // of requests and receipts
  private readonly ended = new AbortController(); // when the session has
  private readonly packet = new Uint8Array(maxPacket);
  private readonly views: Uint8Array<ArrayBuffer>[] = []; // of packet, by length
  /** @internal */
  readonly opening = deferred<void>();
  private readonly closing = deferred<CloseReason>();

  /** @internal */
  link: Link | null = null;
  private trying: AbortController | null = null; // a new link beside it
  private failure: ConnectError | undefined;
  private flushing = false; // soon
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Infinity;
  private lost = 0; // when the session was interrupted

  /** What becomes of the session when the page goes for good. @internal */
  hide = (): void => this.abort();
  /** Whether the session is still this page's when the page comes back. @internal */
  back = (): boolean => true;
  private frozen = false;

  /**
   * The page goes. One that the browser may bring back, as it was, keeps its session without a link, because browsers
   * do not bring back a page that has one. A session that is closing ends, or the server would not hear of it.
   */
  private readonly pagehide = (e: Event): void => {
    const { state } = this.session;
    if (!(e as PageTransitionEvent).persisted || state === closed || this.session.closing) return this.hide();
    if (state < open) return; // it goes on to connect, if the page comes back
    this.frozen = true;
    this.trying?.abort();
    this.freeze();
    this.link?.close();
    this.link = null;
    this.session.interrupt(now());
  };

  /** The page has come back. */
  private readonly pageshow = (): void => {
    if (!this.frozen) return;
    this.frozen = false;
    if (!this.back()) return this.giveUp(new ConnectError("resume", "another page has the session"));
    this.session.advance(this.wake(now())); // the grace time may be over
    this.timerAt = Infinity; // the timer stood still
    void this.reconnect();
    this.flushSoon();
  };

  /** What is done before the page is frozen. @internal */
  freeze = (): void => {};

  /** Begins to connect. Use connect, unless something is to be sent before the session is open: then await opened. */
  constructor(url: string | URL, options: ConnectOptions<C>);
  /** @internal */
  constructor(url: string | URL, options: ConnectOptions<C>, begin?: (c: Conn<C>) => void);
  constructor(
    url: string | URL,
    private readonly options: ConnectOptions<C>,
    begin = (c: Conn<C>): void => void c.begin(),
  ) {
    super();
    const table = (this.table = fullTable(options?.channels));
    const { app = "", ceiling = defaults.ceiling, hello = nothing, signal } = options;
    const most = ceiling < 0 ? Infinity : ceiling;
    option("ceiling", most, maxPacket);
    this.unheard = table.map(inbox);
    this.url = signalingURL(url, table, app);
    const config = { ...defaults, table, ceiling: most };
    this.session = new Session(now(), config, view(hello), this.events());
    this.opened = this.opening.promise;
    this.opened.catch(() => {}); // whoever awaits it hears of it
    this.closed = this.closing.promise;
    signal?.addEventListener(
      "abort",
      () => {
        this.opening.reject(signal.reason);
        void this.close();
      },
      { signal: this.ended.signal },
    );
    begin(this); // which may replace hide, freeze and back
    this.watchPage("addEventListener");
  }

  // ---- for programs ----------------------------------------------------------------------------------------------

  /** The server's number for the session: 16 hexadecimal digits, as in the server's log; "" until it is open. */
  get id(): string {
    const { id } = this.session;
    return id ? id.toString(16).padStart(16, "0") : "";
  }

  get state(): "connecting" | "open" | "interrupted" | "closed" {
    const { state, interrupted } = this.session;
    return state === closed || this.session.closing
      ? "closed"
      : state < open
        ? "connecting"
        : interrupted
          ? "interrupted"
          : "open";
  }

  /** Queues a copy of b. Throws a SendError if it cannot be sent. Messages of one task share packets. */
  send(channel: Sendable<C>, b: Bytes, options: SendOptions & { receipt: true }): Promise<Fate>;
  send(channel: Sendable<C>, b: Bytes, options?: SendOptions): void;
  send(channel: Sendable<C>, b: Bytes, { deadline = Infinity, key, receipt }: SendOptions = {}): Promise<Fate> | void {
    const fate = receipt ? deferred<Fate>() : undefined;
    const t = now();
    this.session.send(t, this.idOf(channel), view(b), { deadline: t + deadline, key, receipt: fate?.resolve });
    this.flushSoon();
    return fate && this.pend(fate.promise);
  }

  /**
   * Calls f with each message of a channel, and first with those that came when nobody listened yet: up to its
   * queueLimit, and what came beyond that is lost. The function it returns ends that. Throws for a channel that is
   * to-server.
   */
  on(channel: Hearable<C>, f: Heard): () => void {
    const id = this.idOf(channel);
    if (this.table[id]!.direction === "to-server") {
      throw new GodwitError("direction", `channel "${channel}" is to-server: only the client sends on it`);
    }
    this.listeners[id] = new Set(this.listeners[id]).add(f); // a message being handled goes to those before it
    for (let b; (b = this.unheard[id]?.take()); ) this.run(f, b);
    this.unheard[id] = null;
    return () => this.listeners[id]!.delete(f);
  }

  /**
   * The messages of a channel one after the other, until the session ends. Who takes them too slowly loses the oldest
   * on unreliable channels, and on others gets an error.
   */
  async *messages(channel: Hearable<C>): AsyncGenerator<Uint8Array, void, void> {
    const id = this.idOf(channel);
    const c = this.table[id]!;
    const waiting = this.unheard[id] ?? inbox(c); // which knows what it had no room for
    this.unheard[id] = null;
    let wake = (): void => {};
    const off = this.on(channel, (b) => {
      waiting.push(b);
      wake();
    });
    const end = (): void => wake();
    this.ended.signal.addEventListener("abort", end);
    try {
      for (;;) {
        const b = waiting.take();
        if (b) yield b;
        else if (waiting.lost && isReliable(c.mode))
          throw new GodwitError(
            "overflow",
            `channel "${c.name}": its queueLimit of ${c.queueLimit} bytes is reached: take messages sooner, or raise it at both ends`,
          );
        else if (this.ended.signal.aborted) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
      this.ended.signal.removeEventListener("abort", end);
    }
  }

  /**
   * Asks the server. Resolves with its reply, or with undefined if it has none. Rejects with a RequestError, with a
   * SendError if nothing was sent, or with the signal's reason: the answer is of no interest then.
   */
  request(name: string, b: Bytes = nothing, { signal }: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    return this.pend(this.ask(name, b, signal));
  }

  /** Has the end told after what p tells. */
  private pend<T>(p: Promise<T>): Promise<T> {
    const done = (): unknown => this.pending.delete(p);
    this.pending.add(p);
    p.then(done, done);
    return p;
  }

  private async ask(name: string, b: Bytes, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    signal?.throwIfAborted();
    const call = this.session.call(now(), name, view(b));
    const abort = (): void => call.reject(signal!.reason);
    this.flushSoon();
    signal?.addEventListener("abort", abort);
    try {
      return await call.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Answers requests of the server called name with what f returns; what it throws refuses them. The last f counts. */
  handle(name: string, f: Served): void {
    this.handlers.set(name, f);
  }

  /**
   * Ends the session. What was sent reliably is delivered first, for drain ms at most, 10 s unless given, and no longer
   * than the server is heard; close comes after that. Codes of the program's own are from 256 to 65535.
   */
  close(code: number = CloseCode.Normal, reason = "", drain = drainTime): Promise<CloseReason> {
    this.session.close(now(), Math.min(code >>> 0, maxCode), reason, drain);
    this.flushSoon();
    return this.closed;
  }

  stats(): Stats {
    return this.session.mux.stats();
  }

  channelStats(channel: C[number]["name"] | OpenedName): ChannelStats {
    return this.session.mux.channelStats(this.idOf(channel));
  }

  // ---- what the session tells ------------------------------------------------------------------------------------

  private idOf(channel: string): number {
    const id = this.table.findIndex((c) => c.name === channel);
    if (id < 1)
      throw new SendError(
        "channel",
        `no channel "${channel}": there is ${
          this.table
            .slice(1)
            .map((c) => c.name)
            .join(", ") || "none"
        }`,
      );
    return id;
  }

  private events(): SessionEvents {
    return {
      opened: () => {
        const { times } = this;
        times.total = now() - this.started;
        times.hello = times.total - times.hello;
        this.opening.resolve();
      },
      message: (channel, b) => {
        const waiting = this.unheard[channel];
        if (waiting) waiting.push(b);
        else for (const f of this.listeners[channel] ?? []) if (this.listeners[channel]!.has(f)) this.run(f, b);
      },
      request: (id, name, b) => void this.serve(id, name, b),
      channel: (c) => {
        this.unheard.push(inbox(c));
        (this.channels as OpenedChannel[]).push(c as OpenedChannel);
        this.dispatchEvent(new ChannelEvent(c as OpenedChannel));
      },
      interrupted: () => {
        this.lost = now();
        this.dispatchEvent(new Event("interrupted"));
        void this.reconnect();
      },
      resumed: () => {
        this.failure = undefined;
        this.dispatchEvent(new Event("resumed"));
      },
      closed: (code, reason, remote, lostOut, lostIn) => {
        const error = code === CloseCode.Timeout && this.failure;
        const why: CloseReason = { code, reason, remote, lostOut, lostIn, ...(error && { error }) };
        this.trying?.abort();
        const again = renewable(code) || (!remote && code === CloseCode.ProtocolError);
        this.opening.reject(new ConnectError("closed", reason || `code ${code}`, again ? { retryAfter: 0 } : {}));
        this.ended.abort();
        // Promises tell later: first those of requests and receipts, then the end.
        void Promise.allSettled(this.pending).then(() => {
          this.dispatchEvent(new ConnCloseEvent(why));
          this.closing.resolve(why);
        });
        this.flushSoon();
      },
    };
  }

  /** Calls a function of the program. */
  private run(f: Heard, b: Uint8Array): void {
    try {
      f(b);
    } catch (e) {
      queueMicrotask(() => {
        throw e;
      });
    }
  }

  /** Has a request answered. @internal */
  async serve(id: number, name: string, b: Uint8Array): Promise<void> {
    if (!this.handlers.has(name)) await sleep(0); // the program may just have been told that the session is open
    const f = this.handlers.get(name);
    try {
      if (!f) throw new Error(`no handler for requests "${name}": set one with conn.handle`);
      const answer = await f(b);
      this.session.answer(now(), id, answer ? view(answer) : undefined);
    } catch (e) {
      this.session.reject(now(), id, words(e));
    }
    this.flushSoon();
  }

  // ---- links -----------------------------------------------------------------------------------------------------

  /** Opens the session. @internal */
  async begin(): Promise<void> {
    try {
      this.options.signal?.throwIfAborted();
      const link = await this.authorized();
      this.times.hello = now() - this.started;
      this.move(link);
    } catch (e) {
      this.giveUp(e);
    }
  }

  /**
   * Opens the first link. A token that is refused is fetched once more, and a handshake that got lost is tried once
   * more, but not with a token that may be good for one use.
   */
  private async authorized(): Promise<Link> {
    const { token } = this.options;
    const attempt = async (): Promise<Link> => {
      const t = await (typeof token === "function" ? fetched(token) : token);
      this.times.ice = 0; // an attempt before may have found a path
      return this.connect(t && `Bearer ${t}`, this.ended.signal, this.times);
    };
    try {
      return await attempt();
    } catch (e) {
      const { code, status, retryAfter }: Partial<ConnectError> = e instanceof ConnectError ? e : {};
      if (typeof token === "string" || !(code === "token" ? token && status : code === "link" && retryAfter !== undefined))
        throw e;
      return await attempt();
    }
  }

  private connect(authorization: string | undefined, signal: AbortSignal, times?: ConnectTimes): Promise<Link> {
    const { request, timeout } = this.options;
    return openLink(
      {
        label: "godwit",
        init: { negotiated: true, id: 0 },
        exchange: (offer, either) => exchange(this.url, offer, authorization, request, this.table, either),
        timeout,
        signal,
      },
      times,
    );
  }

  /** Ends the session at once. @internal */
  abort(): void {
    this.session.abort(now(), CloseCode.Normal, "");
    this.flush();
  }

  /** Ends the session: there is no way to the server. @internal */
  giveUp(e: unknown): void {
    if (e instanceof ConnectError) this.failure = e;
    this.opening.reject(e);
    this.session.abort(now(), CloseCode.Timeout, words(e));
  }

  /** Goes on over a link. What the last one may still bring is of no interest. */
  private move(link: Link): void {
    const { session } = this;
    if (session.state === closed) return link.close();
    this.link?.close();
    this.link = link;
    // From the answer to the open channel are about three round trips.
    session.link(now(), Math.max(1, (link.times.ice + link.times.transport) / 3));
    link.attach({
      datagram: (b, at) => typeof b !== "string" && this.onDatagram(b, at),
      drained: this.flush,
      ended: () => {
        this.link = null;
        session.interrupt(now());
      },
    });
    this.flush();
  }

  /** Tries new links until the server is heard again, on whichever link. */
  private async reconnect(): Promise<void> {
    if (this.trying || this.frozen || !this.session.interrupted) return; // the program may have closed it
    const trying = (this.trying = new AbortController());
    const { signal } = trying;
    let stranger: unknown; // the server that did not know the session
    let strangers = 0; // how often in a row
    for (const next = backoff(); !signal.aborted; ) {
      let pause = patience;
      try {
        const link = await this.connect(`Godwit-Resume ${this.session.token}`, signal);
        if (signal.aborted) link.close();
        else this.move(link);
      } catch (e) {
        let after: number | undefined = 0;
        if (e instanceof ConnectError) {
          // WebRTC that has worked here fails for a while, such as when there are too many connections.
          after = e.code === "link" && this.session.mux.counts.links ? 0 : e.retryAfter;
          this.failure = e; // until the server is heard again
          const instance = e.code === "resume" ? e.details["instance"] : undefined;
          strangers = instance === stranger ? strangers + 1 : 1;
          stranger = instance;
          // There is one server, and it was started again.
          if (instance && strangers === maxStrangers) after = undefined;
        }
        if (after === undefined) {
          if (this.session.interrupted) this.giveUp(e);
          break;
        }
        pause = next(Math.min(after, longestBackoff)); // the grace time runs
      }
      await sleep(pause, signal);
    }
    this.trying = null;
    void this.reconnect(); // it may have been interrupted again since
  }

  // ---- datagrams and time ----------------------------------------------------------------------------------------

  private onDatagram(b: Uint8Array, t: number): void {
    const { session, timerAt } = this;
    this.wake(t);
    session.receive(t, b);
    // Who hears may still not be heard: only an answer ends the search.
    if (this.trying && session.mux.answered(this.lost)) this.trying.abort();
    // Timers of a hidden page fire once a second or less, but messages come.
    if (t >= timerAt) session.advance(t);
    if (session.idle(t)) this.rest(t);
    else this.flush(); // now: the program may have taken its time
  }

  /** @internal */
  flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(this.flush);
  }

  private readonly flush = (t = now(), latest = Infinity): void => {
    this.flushing = false;
    const { link, session } = this;
    let ready = true;
    for (let n = 0; link && !session.idle(t) && (ready = link.ready(t, n)); ) {
      session.mux.slow = link.slow();
      n = session.mux.append(t, this.packet);
      if (n === 0) break;
      link.send((this.views[n] ??= this.packet.subarray(0, n)));
    }
    this.rest(t, ready, latest);
  };

  /** Sets the timer, for latest if it is not needed before; or ends what is over. */
  private rest(t: number, ready = true, latest = Infinity): void {
    const { link, session } = this;
    if (session.state === closed && (!link || session.over())) return this.release();
    // Without a link only silence counts, which has no hurry; nor has what the browser does not take.
    const at = Math.max(Math.min(session.deadline(), latest), link && ready ? 0 : t + 50);
    // A timer that is early is let run: most deadlines move on before they come.
    if (at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(this.ring, Math.min(at - t, 1e9)); // one of more than 2³¹ ms would fire at once
  }

  private readonly ring = (): void => {
    const t = this.wake(now());
    this.timerAt = Infinity;
    this.session.advance(t);
    // Where an acknowledgement was owed another will be, and would soon replace a timer for when nothing comes.
    this.flush(t, this.session.mux.hasten(t));
  };

  /** Takes note, at t, if the page slept, which its timer shows. */
  private wake(t: number): number {
    if (t - this.timerAt > asleep) {
      this.timerAt = Infinity;
      this.session.mux.slept(t);
    }
    return t;
  }

  private release(): void {
    clearTimeout(this.timer);
    this.link?.close();
    this.watchPage("removeEventListener");
  }

  /** Adds or removes the listeners of the page. Node and workers may have no such function. */
  private watchPage(how: "addEventListener" | "removeEventListener"): void {
    globalThis[how]?.("pagehide", this.pagehide);
    globalThis[how]?.("pageshow", this.pageshow);
  }
}

/** The events of a Conn, typed. */
export interface Conn<C extends readonly Channel[]> {
  addEventListener<K extends keyof ConnEventMap>(
    type: K,
    listener: (event: ConnEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ConnEventMap>(
    type: K,
    listener: (event: ConnEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}

const inbox = (c: FullChannel): Inbox => new Inbox(c.queueLimit, !isReliable(c.mode));

/** Calls the program's token. */
async function fetched(token: () => string | Promise<string>): Promise<string> {
  try {
    return await token();
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError("token", `the option token has thrown: ${words(cause)}`, { cause, retryAfter: 0 });
  }
}
