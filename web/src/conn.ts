import { type Channel, type FullChannel, fullTable, isReliable } from "./channel";
import { ConnectError, GodwitError, SendError } from "./errors";
import { Inbox } from "./inbox";
import { type ConnectTimes, type Link, openLink } from "./link";
import { type Fate } from "./queue";
import { codeNormal, codeTimeout, Session } from "./session";
import { type Credentials, exchange, signalingURL } from "./signaling";
import { type ChannelStats, type Stats } from "./stats";
import { maxPacket } from "./wire";

/** How to connect. All but channels may be left out. */
export interface ConnectOptions<C extends readonly Channel[]> {
  /** The table of channels, the same as the server's. */
  channels: C;
  /** What the server knows the player by, or what fetches it afresh. */
  token?: string | (() => string | Promise<string>);
  /** The program's own version, which the server may insist on. */
  app?: string;
  /** Goes to the server's program with the opening: at most 1024 bytes. */
  hello?: Uint8Array;
  /** Gives up connecting, or closes the session. */
  signal?: AbortSignal;
  /** For one attempt to connect, in ms. 15 s unless set. */
  timeout?: number;
  /** More for the signaling request, such as credentials or headers. */
  request?: RequestInit;
  /** Bytes per second that are sent at most. 256 KiB unless set. */
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
export type Sendable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-client" }>["name"];
export type Hearable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-server" }>["name"];

/** What the end of a session is told with. code is one of docs/SESSION.md, section 5. */
export interface CloseReason {
  readonly code: number;
  readonly reason: string;
  /** Whether the server has closed. */
  readonly remote: boolean;
  /** Why there is no way back, if that is why. */
  readonly error?: ConnectError;
}

/** CloseEvent is the last event of a Conn. */
export class ConnCloseEvent extends Event {
  constructor(readonly why: CloseReason) {
    super("close");
  }
}

/** The events of a Conn. */
export interface ConnEventMap {
  /** Nothing was heard for 3 s, or the link is gone. A new link is being tried. */
  interrupted: Event;
  /** The server is heard again. */
  resumed: Event;
  /** The session has ended. */
  close: ConnCloseEvent;
}

type Answer = Uint8Array | void | undefined;
type Heard = (b: Uint8Array) => void;
type Served = (b: Uint8Array) => Answer | Promise<Answer>;

// Links that do not open are tried again after a while that grows, docs/SESSION.md section 7.
const firstWait = 500;
const longestWait = 10_000;
const patience = 3000; // with a new link on which nothing comes

const now = (): number => performance.now();

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
  /** How long the phases of connecting took. */
  readonly times: ConnectTimes = { offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 };

  private readonly table: FullChannel[];
  private readonly ids = new Map<string, number>();
  private readonly session: Session;
  private readonly url: URL;
  private readonly started = now();
  private linked = 0; // when the first link was open
  private readonly listeners: Set<Heard>[];
  private readonly unheard: (Inbox | null)[];
  private readonly handlers = new Map<string, Served>();
  private readonly ended = new AbortController(); // when the session has
  private readonly packet = new Uint8Array(maxPacket);

  private link: Link | null = null;
  private trying: AbortController | null = null; // a new link beside it
  private failure: ConnectError | null = null;
  private flushing = false; // soon
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Infinity;
  private open!: () => void;
  private fail!: (e: unknown) => void;
  private end!: (why: CloseReason) => void;

  /** Use connect, unless something is to be sent before the session is open: then create one, and await opened. */
  constructor(
    url: string | URL,
    private readonly options: ConnectOptions<C>,
  ) {
    super();
    const table = (this.table = fullTable(options.channels));
    table.forEach((c, i) => i > 0 && this.ids.set(c.name, i));
    this.listeners = table.map(() => new Set());
    this.unheard = table.map((c) => new Inbox(c.queueLimit, !isReliable(c.mode)));
    this.url = signalingURL(url, table, options.app ?? "");
    this.session = new Session(
      now(),
      { table, rtt: 100, rate: 64 << 10, floor: 8 << 10, ceiling: options.ceiling ?? 256 << 10 },
      options.hello ?? new Uint8Array(0),
      {
        opened: () => this.onOpen(),
        message: (channel, b) => this.onMessage(channel, b),
        request: (id, name, b) => void this.serve(id, name, b),
        interrupted: () => this.onInterrupted(),
        resumed: () => this.onResumed(),
        closed: (code, reason, remote) => this.onClosed(code, reason, remote),
      },
    );
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.fail = reject;
    });
    this.opened.catch(() => {}); // whoever awaits it hears of it
    this.closed = new Promise((resolve) => (this.end = resolve));
    globalThis.addEventListener?.("pagehide", this.onPageHide, { signal: this.ended.signal });
    options.signal?.addEventListener("abort", () => this.onAbort(), { signal: this.ended.signal });
    void this.begin();
  }

  // ---- for programs ----------------------------------------------------------------------------------------------

  /** The server's name for the session; 0n until it is open. */
  get id(): bigint {
    return this.session.id;
  }

  get state(): "connecting" | "open" | "interrupted" | "closed" {
    const s = this.session;
    if (s.state === "closed") return "closed";
    if (s.state !== "open") return "connecting";
    return s.interrupted ? "interrupted" : "open";
  }

  /** Queues a copy of b. Throws a SendError if it cannot be sent. Messages of one task share packets. */
  send(channel: Sendable<C>, b: Uint8Array, options: SendOptions & { receipt: true }): Promise<Fate>;
  send(channel: Sendable<C>, b: Uint8Array, options?: SendOptions): void;
  send(channel: Sendable<C>, b: Uint8Array, o?: SendOptions): Promise<Fate> | void {
    const t = now();
    const options = o?.deadline === undefined ? o : { ...o, deadline: t + o.deadline };
    const handle = this.session.send(t, this.idOf(channel), b, options as Omit<SendOptions, "deadline">);
    this.flushSoon();
    if (!o?.receipt) return;
    return new Promise((resolve) => this.session.onReceipt(handle, resolve));
  }

  /**
   * Calls f with each message of a channel, and first with those that came when nobody listened yet. The function it
   * returns ends that.
   */
  on(channel: Hearable<C>, f: Heard): () => void {
    const id = this.idOf(channel);
    const waiting = this.unheard[id]!;
    this.unheard[id] = null;
    this.listeners[id]!.add(f);
    for (let b = waiting?.shift(); b; b = waiting?.shift()) this.run(f, b);
    return () => this.listeners[id]!.delete(f);
  }

  /**
   * The messages of a channel one after the other, until the session ends. Who takes them too slowly loses the oldest
   * on unreliable channels, and on others gets an error.
   */
  async *messages(channel: Hearable<C>): AsyncGenerator<Uint8Array, void, void> {
    const c = this.table[this.idOf(channel)]!;
    const inbox = new Inbox(c.queueLimit, !isReliable(c.mode));
    let wake = (): void => {};
    const off = this.on(channel, (b) => {
      inbox.push(b);
      wake();
    });
    const end = (): void => wake();
    this.ended.signal.addEventListener("abort", end);
    try {
      for (;;) {
        const b = inbox.shift();
        if (b) yield b;
        else if (inbox.lost && isReliable(c.mode)) throw new GodwitError("overflow", `messages of ${c.name} were not taken`);
        else if (this.ended.signal.aborted) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
      this.ended.signal.removeEventListener("abort", end);
    }
  }

  /** Asks the server. Resolves with its reply, or with undefined if it has none; rejects with a RequestError. */
  async request(name: string, b: Uint8Array = new Uint8Array(0), o: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    o.signal?.throwIfAborted();
    const { id, answer } = this.session.call(now(), name, b);
    this.flushSoon();
    if (!o.signal) return answer;
    const { signal } = o;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.session.forget(id);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort, { once: true });
      answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }

  /** Answers requests of the server with what f returns; what it throws refuses them. */
  handle(name: string, f: Served): void {
    this.handlers.set(name, f);
  }

  /** Ends the session. What was sent reliably is delivered first, for 2 s at most. */
  close(code: number = codeNormal, reason = ""): Promise<CloseReason> {
    this.session.close(now(), code, reason, false);
    this.flushSoon();
    return this.closed;
  }

  stats(): Stats {
    return this.session.mux.stats();
  }

  channelStats(channel: C[number]["name"]): ChannelStats {
    return this.session.mux.channelStats(this.idOf(channel));
  }

  // ---- what the session tells ------------------------------------------------------------------------------------

  private idOf(channel: string): number {
    const id = this.ids.get(channel);
    if (id === undefined) throw new SendError("channel", `no channel ${channel} in the table`);
    return id;
  }

  /** Calls a function of the program. */
  private run<T>(f: (v: T) => void, v: T): void {
    try {
      f(v);
    } catch (e) {
      queueMicrotask(() => {
        throw e;
      });
    }
  }

  private onMessage(channel: number, b: Uint8Array): void {
    const waiting = this.unheard[channel];
    if (waiting) waiting.push(b);
    else for (const f of this.listeners[channel]!) this.run(f, b);
  }

  private async serve(id: number, name: string, b: Uint8Array): Promise<void> {
    const f = this.handlers.get(name);
    try {
      if (!f) throw new Error(`no handler for requests "${name}"`);
      const answer = await f(b);
      this.session.answer(now(), id, answer ?? undefined);
    } catch (e) {
      this.session.reject(now(), id, e instanceof Error ? e.message : String(e));
    }
    this.flushSoon();
  }

  private onOpen(): void {
    const t = this.times;
    t.total = now() - this.started;
    t.hello = now() - this.linked;
    this.open();
  }

  private onInterrupted(): void {
    this.dispatchEvent(new Event("interrupted"));
    void this.reconnect();
  }

  private onResumed(): void {
    this.trying?.abort();
    this.dispatchEvent(new Event("resumed"));
  }

  private onClosed(code: number, reason: string, remote: boolean): void {
    const why: CloseReason = { code, reason, remote, ...(this.failure && { error: this.failure }) };
    this.trying?.abort();
    this.fail(this.failure ?? new ConnectError("closed", reason || `closed with code ${code}`));
    this.ended.abort();
    this.dispatchEvent(new ConnCloseEvent(why));
    this.end(why);
    this.flushSoon();
  }

  private onAbort(): void {
    this.fail(this.options.signal!.reason);
    void this.close();
  }

  private readonly onPageHide = (): void => {
    this.session.close(now(), codeNormal, "", true);
    this.flush();
  };

  // ---- links -----------------------------------------------------------------------------------------------------

  private async begin(): Promise<void> {
    const signal = AbortSignal.any([this.ended.signal, this.options.signal ?? this.ended.signal]);
    try {
      const link = await this.authorized(signal);
      Object.assign(this.times, link.times);
      this.linked = now();
      this.move(link);
    } catch (e) {
      this.giveUp(e);
    }
  }

  /**
   * Opens the first link. A token that is refused is fetched once more, and a handshake that got lost is tried once
   * more, but not with a token that may be good for one use.
   */
  private async authorized(signal: AbortSignal): Promise<Link> {
    const { token } = this.options;
    const bearer = async (): Promise<Credentials | null> => {
      const t = typeof token === "function" ? await token() : token;
      return t === undefined ? null : { scheme: "Bearer", token: t };
    };
    try {
      return await this.connect(await bearer(), signal);
    } catch (e) {
      const again =
        e instanceof ConnectError &&
        typeof token !== "string" &&
        (e.code === "token" ? token !== undefined : e.code === "link" && e.retryAfter !== undefined);
      if (!again) throw e;
      return await this.connect(await bearer(), signal);
    }
  }

  private connect(credentials: Credentials | null, signal: AbortSignal): Promise<Link> {
    return openLink({
      label: "godwit",
      init: { negotiated: true, id: 0 },
      exchange: (offer, s) => exchange(this.url, offer, credentials, this.options.request ?? {}, this.table, s),
      timeout: this.options.timeout ?? 15_000,
      signal,
    });
  }

  private giveUp(e: unknown): void {
    if (this.session.state === "closed") return;
    if (e instanceof ConnectError) this.failure = e;
    else this.fail(e);
    this.session.close(now(), codeTimeout, e instanceof Error ? e.message : String(e), true);
  }

  /** Goes on over a link. What the last one may still bring is of no interest. */
  private move(link: Link): void {
    if (this.session.state === "closed") return link.close();
    this.link?.close();
    this.link = link;
    // From the answer to the open channel are about three round trips.
    this.session.link(now(), Math.max(1, (link.times.ice + link.times.transport) / 3));
    link.attach({
      datagram: (b) => typeof b !== "string" && this.onDatagram(b),
      drained: () => this.flush(),
      ended: () => {
        this.link = null;
        this.session.unlink(now());
      },
    });
    this.flush();
  }

  /** Tries new links until the server is heard again, on whichever link. */
  private async reconnect(): Promise<void> {
    if (this.trying) return;
    const trying = (this.trying = new AbortController());
    const { signal } = trying;
    for (let wait = firstWait; !signal.aborted; ) {
      let pause = patience;
      try {
        const link = await this.connect({ scheme: "Godwit-Resume", token: this.session.token }, signal);
        if (signal.aborted) link.close();
        else this.move(link);
      } catch (e) {
        if (signal.aborted) break;
        const after = e instanceof ConnectError ? e.retryAfter : 0;
        if (after === undefined) {
          this.giveUp(e);
          break;
        }
        pause = Math.max(after, wait * (0.5 + Math.random() / 2));
        wait = Math.min(2 * wait, longestWait);
      }
      await sleep(pause, signal);
    }
    this.trying = null;
    // It may have been interrupted again since.
    if (this.session.interrupted) void this.reconnect();
  }

  // ---- datagrams and time ----------------------------------------------------------------------------------------

  private onDatagram(b: Uint8Array): void {
    const t = now();
    this.session.receive(t, b);
    // Timers of a hidden page fire once a second or less, but messages come.
    if (t >= this.session.deadline()) this.session.advance(t);
    this.flush();
  }

  private flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => this.flush());
  }

  private flush(): void {
    this.flushing = false;
    const t = now();
    const { link, session } = this;
    let ready = false;
    while (link && (ready = link.ready(t))) {
      const n = session.append(t, this.packet, maxPacket);
      if (n === 0) break;
      link.send(this.packet.subarray(0, n));
    }
    if (session.state === "closed" && (!link || session.over())) return this.release();
    // Without a link only silence counts, which has no hurry; nor has what the browser does not take.
    this.arm(t, ready ? 0 : 50);
  }

  private arm(t: number, least: number): void {
    const at = Math.max(this.session.deadline(), t + least);
    if (at >= this.timerAt || at === Infinity) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timerAt = Infinity;
      this.session.advance(now());
      this.flush();
    }, at - t);
  }

  private release(): void {
    clearTimeout(this.timer);
    this.timerAt = Infinity;
    this.link?.close();
    this.link = null;
  }
}

/** The events of a Conn, typed. */
export interface Conn<C extends readonly Channel[]> {
  addEventListener<K extends keyof ConnEventMap>(
    type: K,
    listener: (event: ConnEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
