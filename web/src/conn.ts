import { type Bytes, nothing, view } from "./bytes";
import { CloseCode } from "./close";
import { deferred, now, sleep } from "./deferred";
import { homeOf, inviteOf, type Seat, type Target } from "./direct";
import { ConnectError, GodwitError, option, SendError, words } from "./error";
import { ChannelEvent, type CloseReason, ConnCloseEvent, type ConnEventMap, type OpenedChannel, type OpenedName } from "./event";
import { type Inbox, inboxOf, run } from "./inbox";
import { type ConnectTimes, defaults, type Link, noTimes } from "./link";
import {
  allLinks,
  type ConnectOptions,
  checkLinks,
  type Hearable,
  type Heard,
  type LinkName,
  type Sendable,
  type SendOptions,
  type Served,
} from "./options";
import { maxPacket } from "./packet";
import { type Fate } from "./queue";
import { connection, seekerOf } from "./seeker";
import { type Call, closed, open, renewable, Session, type SessionEvents } from "./session";
import { queryOf, refused, signalingURL } from "./signaling";
import { type ChannelStats, type Stats } from "./stats";
import { type Channel, type FullChannel, fullTable, hash, isReliable, tableText } from "./table";

const asleep = 1500; // ms; the timers of a hidden page are late by less: a timer that is later shows that the page slept
export const drainTime = 10_000; // ms for which a session that closes waits for acknowledgements
export const maxCode = 65_535; // largest code with which a program may close
const fullPause = 10; // ms between two looks at a WebSocket that takes nothing

/**
 * Conn is one session with a server. A session lasts longer than its link: when the link is silent, Conn looks for a
 * new link, and reliable channels continue where they were.
 *
 * Handlers get a view of the bytes that arrived, which stays valid. A handler that throws does not stop the others: its
 * error is reported as uncaught.
 */
export class Conn<const C extends readonly Channel[] = readonly Channel[]> extends EventTarget {
  /** Resolves when the session is open, or rejects with a ConnectError. */
  readonly opened: Promise<void>;
  /** Resolves when the session has ended. */
  readonly closed: Promise<CloseReason>;
  /** Whether another Conn, such as that of the page before, has begun the session. */
  continued = false;
  /** How long the phases of connecting took. */
  readonly times: ConnectTimes = noTimes();
  /** The link that the session uses or used last; "" before the first. The event link comes when it changes. */
  link: LinkName | "" = "";

  /** The table: the control channel first, channels that were opened at run time last, at their numbers. @internal */
  readonly table: FullChannel[];
  /** @internal */
  readonly session: Session;
  /** Where requests go; undefined if the session began with an invite. @internal */
  readonly url: URL | undefined;
  /** @internal */
  readonly query: URLSearchParams;
  /** @internal */
  readonly started = now();
  private readonly listeners: Set<Heard>[] = []; // by channel; undefined before the first
  /** @internal */
  readonly unheard: (Inbox | null)[];
  private readonly handlers = new Map<string, Served>();
  private readonly pending = new Map<Promise<unknown>, { call?: Call }>(); // promises of requests and receipts; call is that of a request
  /** Aborts when the session has ended. @internal */
  readonly ended = new AbortController();
  private readonly packet = new Uint8Array(maxPacket);
  private readonly views: Uint8Array<ArrayBuffer>[] = []; // views of packet, by length
  /** @internal */
  readonly opening = deferred<void>();
  private readonly closing = deferred<CloseReason>();

  /** The link. @internal */
  carrier: Link | null = null;
  /** How links are opened. @internal */
  readonly seeker = seekerOf(this);
  /** Where the server has sent this session. */
  private goal: Seat | undefined;
  /** Why there is no link. @internal */
  failure: ConnectError | undefined;
  private flushing = false; // flush will run in a microtask
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Infinity;

  /** Is called when the page goes for good. @internal */
  hide = (): void => this.endNow();
  /**
   * Is called when the browser shows the page again: returns whether the session still belongs to this page. @internal
   */
  onBack = (): boolean => true;
  /** @internal */
  frozen = false;

  /**
   * Is called when the page goes. If the browser may show the page again, the session stays, without a link, because
   * browsers do not show a page again that has one. A session that is closing ends: otherwise the server would get no
   * close frame.
   */
  private readonly pagehide = (e: Event): void => {
    const { phase, closing } = this.session;
    if (!(e as PageTransitionEvent).persisted || phase === closed || closing) return this.hide();
    if (phase < open) return; // it continues to connect if the page is shown again
    this.frozen = true;
    this.seeker.stop();
    this.onFreeze();
    this.seeker.ended();
  };

  /** Is called when the browser shows the page again. */
  private readonly pageshow = (): void => {
    if (!this.frozen) return;
    this.frozen = false;
    if (!this.onBack()) return this.giveUp(new ConnectError("resume", "another page has the session"));
    this.session.advance(this.wake(now())); // the grace time may have passed
    this.timerAt = Infinity; // the timer did not run
    void this.seeker.reconnect(true);
    this.flushSoon();
  };

  /** Is called before the page is frozen. @internal */
  onFreeze = (): void => {};

  /** Begins to connect. Use connect, except to send messages before the session is open: then await opened. */
  constructor(target: Target, options: ConnectOptions<C>);
  /** @internal */
  constructor(target: Target, options: ConnectOptions<C>, begin?: (c: Conn<C>) => void);
  constructor(
    target: Target,
    /** @internal */
    readonly settings: ConnectOptions<C>,
    begin = (c: Conn<C>): void => void c.seeker.begin(),
  ) {
    super();
    const table = (this.table = fullTable(settings?.channels, settings?.schema));
    const { app = "", ceiling = defaults.ceiling, hello = nothing, signal, timeout = 0, links = allLinks } = settings;
    const most = ceiling < 0 ? Infinity : ceiling;
    option("ceiling", most, maxPacket);
    option("timeout", timeout, 0);
    checkLinks(links);
    this.unheard = table.map(inboxOf);
    const channels = hash(tableText(table));
    this.query = queryOf(channels, app);
    const invite = inviteOf(target);
    if (!invite) this.url = signalingURL(target as string, this.query);
    const config = { ...defaults, table, ceiling: most };
    this.session = new Session(now(), config, view(hello), this.events());
    if (invite) {
      if ((invite.channels || channels) !== channels)
        throw new ConnectError("channels", "the server's table of channels differs from the client's");
      this.session.home = homeOf(invite);
      this.session.next = [invite.ufrag, invite.pwd];
    }
    // Later, because the listener may call send.
    const room = (c: FullChannel): unknown => this.state !== "closed" && this.dispatchEvent(new ChannelEvent("room", c));
    const { outbox } = this.session.mux;
    outbox.room = (id) => queueMicrotask(room.bind(0, table[id]!));
    outbox.wake = () => this.flushSoon();
    this.opened = this.opening.promise;
    this.opened.catch(() => {}); // a program that does not await it has no unhandled rejection
    this.closed = this.closing.promise;
    signal?.addEventListener(
      "abort",
      () => {
        this.opening.reject(signal.reason);
        void this.close();
      },
      { signal: this.ended.signal },
    );
    begin(this); // begin may replace hide, onFreeze and onBack
    this.watchPage("addEventListener");
  }

  // ---- for programs ----------------------------------------------------------------------------------------------

  /** The number of the session, as 16 hexadecimal digits as in the server's log; "" until the session is open. */
  get id(): string {
    const { id } = this.session;
    return id ? id.toString(16).padStart(16, "0") : "";
  }

  /** The channels that were opened at run time, by either end, and are not closed. */
  get channels(): readonly OpenedChannel[] {
    return Object.values(this.table.slice(this.session.tableSize)) as OpenedChannel[];
  }

  get state(): "connecting" | "open" | "interrupted" | "closed" {
    const { phase, interrupted, closing, moving } = this.session;
    return phase === closed || closing || moving ? "closed" : phase < open ? "connecting" : interrupted ? "interrupted" : "open";
  }

  /**
   * Queues a copy of b as a message on a channel. Throws a SendError if nothing was queued. Messages of one task share
   * packets.
   */
  send(channel: Sendable<C>, b: Bytes, options: SendOptions & { receipt: true }): Promise<Fate>;
  send(channel: Sendable<C>, b: Bytes, options?: SendOptions): void;
  send(channel: Sendable<C>, b: Bytes, { deadline = Infinity, key, receipt }: SendOptions = {}): Promise<Fate> | void {
    const fate = receipt ? deferred<Fate>() : undefined;
    const t = now();
    this.session.send(t, this.idOf(channel), view(b), { deadline: t + deadline, key, receipt: fate?.resolve });
    this.flushSoon();
    return fate && this.pend(fate.promise, {});
  }

  /**
   * Calls f with each message of a channel. The first ones are those that arrived before the first call of on, up to
   * queueLimit; further ones were lost. The function that on returns ends this. Throws a GodwitError if the direction
   * of the channel is to-server.
   */
  on(channel: Hearable<C>, f: Heard): () => void {
    return this.listen(channel, f);
  }

  private listen(channel: string, f: Heard): () => void {
    const id = this.idOf(channel);
    const c = this.table[id]!;
    if (c.direction === "to-server") {
      throw new GodwitError("direction", `channel "${channel}" is to-server: only the client sends on it`);
    }
    this.listeners[id] = new Set(this.listeners[id]).add(f); // a copy: a message that is being handled goes to the listeners before
    for (let b; (b = this.unheard[id]?.take()); ) run(f, b);
    this.unheard[id] = null;
    return () => this.table[id] === c && this.listeners[id]!.delete(f);
  }

  /**
   * Yields the messages of a channel until the channel is closed or the session ends. If the loop is too slow, the oldest messages are lost on
   * unreliable channels, and on reliable channels the loop throws a GodwitError "overflow".
   */
  async *messages(channel: Hearable<C>): AsyncGenerator<Uint8Array, void, void> {
    const id = this.idOf(channel);
    const c = this.table[id]!;
    const waiting = this.unheard[id] ?? inboxOf(c); // it knows how many messages were lost
    this.unheard[id] = null;
    let wake = (): void => {};
    const off = this.listen(channel, (b) => {
      waiting.push(b);
      wake();
    });
    const end = (): void => wake();
    this.ended.signal.addEventListener("abort", end);
    this.addEventListener("channelclosed", end);
    try {
      for (;;) {
        const b = waiting.take();
        if (b) yield b;
        else if (waiting.lost && isReliable(c.mode))
          throw new GodwitError(
            "overflow",
            `channel "${c.name}": its queueLimit of ${c.queueLimit} bytes is reached: take messages sooner`,
          );
        else if (this.ended.signal.aborted || this.table[id] !== c) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      off();
      this.ended.signal.removeEventListener("abort", end);
      this.removeEventListener("channelclosed", end);
    }
  }

  /**
   * Adds a channel to this session and returns it with all its fields. The server limits how many channels a client may
   * have open at a time, and their queueLimit: Config.MaxClientChannels and MaxClientQueue. Messages on the channel wait
   * in its queue until the server has acknowledged the channel, which takes one round trip. The channel lasts until
   * either end closes it or the session ends, also over new links and, with keep, in the next page. Throws a SendError
   * "closed", "budget", or "fixed" if a limit of the server is exceeded or the session is not open yet, and a
   * ConnectError "table" if the table would not be valid.
   */
  openChannel(channel: Channel): OpenedChannel {
    const c = this.session.openChannel(now(), channel);
    this.flushSoon();
    return c as OpenedChannel;
  }

  /**
   * Closes a channel that either end has opened at run time. From now on send throws a SendError "channel". The messages
   * that wait in its queue are sent, and those that the server has sent arrive. When both ends have nothing more to send,
   * the event channelclosed comes, after all receipts of the channel; messages that no function has taken until then are
   * lost. Then the name may be used again. closeChannel does not wait. Throws a SendError "channel" if there is no such
   * channel or it is being closed, "fixed" if it cannot be closed, or "closed".
   */
  closeChannel(channel: Sendable<C> | Hearable<C>): void {
    this.session.closeChannel(this.idOf(channel));
    this.flushSoon();
  }

  /**
   * Sends a request to the server. Resolves with the bytes of the reply, or with undefined if it has none. Rejects with
   * a RequestError, with a SendError if nothing was sent, or with the reason of the signal: the answer is then ignored.
   */
  request(name: string, b: Bytes = nothing, { signal }: { signal?: AbortSignal } = {}): Promise<Uint8Array | undefined> {
    const progress: { call?: Call } = {};
    const answer = async (): Promise<Uint8Array | undefined> => {
      signal?.throwIfAborted();
      const call = (progress.call = this.session.call(now(), name, view(b)));
      const abort = (): void => call.reject(signal!.reason);
      this.flushSoon();
      signal?.addEventListener("abort", abort);
      try {
        return await call.promise;
      } finally {
        signal?.removeEventListener("abort", abort);
      }
    };
    return this.pend(answer(), progress);
  }

  /**
   * Returns how far a request, or a message with a receipt, has got; p is the promise that request or send returned.
   * "sending" until the server has acknowledged it, then, for a request, "waiting" for the answer; undefined once p has
   * settled.
   */
  status(p: Promise<unknown>): "sending" | "waiting" | undefined {
    const progress = this.pending.get(p);
    return progress && (progress.call?.sent ? "waiting" : "sending");
  }

  /** Delays the end of the session until p has settled. */
  private pend<T>(p: Promise<T>, progress: { call?: Call }): Promise<T> {
    const done = (): unknown => this.pending.delete(p);
    this.pending.set(p, progress);
    p.then(done, done);
    return p;
  }

  /**
   * Answers the requests of the server with a name with what f returns, and rejects them with what f throws. A second
   * call with the same name replaces f.
   */
  handle(name: string, f: Served): void {
    this.handlers.set(name, f);
  }

  /**
   * Ends the session. Reliable messages are delivered first, for at most drain ms (10 s unless given), and only while
   * packets of the server arrive. The event close comes after that. Codes of the program are from 256 to 65535;
   * CloseCode.Program is the first.
   */
  close(code: number = CloseCode.Normal, reason = "", drain = drainTime): Promise<CloseReason> {
    this.session.close(now(), Math.min(code >>> 0, maxCode), reason, drain > 0 ? +drain : 0);
    this.flushSoon();
    return this.closed;
  }

  /**
   * Returns the size in bytes of the largest message that send accepts on a channel now, or -1 if it accepts none: the
   * queue is full, only the server sends on the channel, or the session has ended. An unreliable channel always has
   * room, because it drops its oldest message. The event room comes when a queue that was full has room again.
   */
  free(channel: Sendable<C>): number {
    const s = this.session.mux.outbox.senders[this.idOf(channel)]!;
    return this.state === "closed" ? -1 : s.free();
  }

  stats(): Stats {
    return { ...this.session.mux.stats(), link: this.link };
  }

  channelStats(channel: C[number]["name"] | OpenedName): ChannelStats {
    return this.session.mux.channelStats(this.idOf(channel));
  }

  // ---- what the session tells ------------------------------------------------------------------------------------

  private idOf(channel: string): number {
    const id = this.table.findIndex((c, i) => c?.name === channel && !this.session.ending.has(i));
    if (id < 1)
      throw new SendError(
        "channel",
        `no channel "${channel}": there is ${
          Object.values(this.table)
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
        else for (const f of this.listeners[channel] ?? []) if (this.listeners[channel]!.has(f)) run(f, b);
      },
      request: (id, name, b) => void this.serve(id, name, b),
      channel: (c, id, own) => {
        this.unheard[id] = inboxOf(c);
        if (!own) this.dispatchEvent(new ChannelEvent("channel", c));
      },
      channelClosed: (c, id) => {
        this.unheard[id] = null;
        this.listeners[id] = new Set();
        this.dispatchEvent(new ChannelEvent("channelclosed", c));
      },
      interrupted: () => {
        this.dispatchEvent(new Event("interrupted"));
        void this.seeker.reconnect();
      },
      resumed: () => {
        this.failure = undefined;
        this.dispatchEvent(new Event("resumed"));
      },
      moved: (seat) => {
        try {
          this.goal = { ...JSON.parse(seat) }; // a string would be a URL to which the page shows its own token
        } catch {
          // Then the next session begins where the program begins it.
        }
        this.flushSoon();
      },
      closed: (code, reason, remote, lostOut, lostIn) => {
        const error = code === CloseCode.Timeout && this.failure;
        const seat = code === CloseCode.Moved && this.goal;
        const why: CloseReason = { code, reason, remote, lostOut, lostIn, ...(error && { error }), ...(seat && { seat }) };
        this.seeker.stop();
        const again = renewable(code) || (!remote && code === CloseCode.ProtocolError);
        this.opening.reject(new ConnectError("closed", reason || `code ${code}`, again ? { retryAfter: 0 } : {}));
        this.ended.abort();
        // Promises settle later: first those of requests and receipts, then closed.
        void Promise.allSettled(this.pending.keys()).then(() => {
          this.dispatchEvent(new ConnCloseEvent(why));
          this.closing.resolve(why);
        });
        this.flushSoon();
      },
    };
  }

  /** Answers a request of the server. @internal */
  async serve(id: number, name: string, b: Uint8Array): Promise<void> {
    if (!this.handlers.has(name)) await sleep(0); // a program that was told only now that the session is open sets its handlers now
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

  /** Ends the session at once. @internal */
  endNow(): void {
    this.session.failWith(now(), CloseCode.Normal, "");
    this.flush();
  }

  /** Ends the session, because there is no way to the server. @internal */
  giveUp(e: unknown): void {
    if (e instanceof ConnectError) this.failure = e;
    this.opening.reject(e);
    this.session.failWith(now(), CloseCode.Timeout, words(e));
  }

  /** Continues over a new link. The old link is closed. @internal */
  move(link: Link): void {
    const { session } = this;
    if (session.phase === closed) return link.close();
    const before = this.link;
    this.carrier?.close();
    this.carrier = link;
    this.link = link.name;
    session.home = link.home;
    // The time from the answer to the open data channel is about three round trips.
    session.link(now(), Math.max(1, (link.times.ice + link.times.transport) / 3), link.reliable);
    link.attach({
      datagram: (b, at) => typeof b !== "string" && this.onDatagram(b, at),
      drained: this.flush,
      refused: (b) => this.seeker.refused(refused(b.subarray(1), this.table)),
      ended: this.seeker.ended,
    });
    this.seeker.seek();
    this.flush();
    if (before && before !== this.link && session.phase === open) this.dispatchEvent(new Event("link"));
  }

  // ---- datagrams and time ----------------------------------------------------------------------------------------

  private onDatagram(b: Uint8Array, t: number): void {
    const { session, timerAt } = this;
    this.wake(t);
    session.receive(t, b);
    this.seeker.heard();
    // The timers of a hidden page fire at most once a second, but messages arrive.
    if (t >= timerAt) session.advance(t);
    if (session.idle(t)) this.rest(t);
    else this.flush(); // at the present time: handlers may have taken long
  }

  /** @internal */
  flushSoon(): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(this.flush);
  }

  private readonly flush = (t = now(), latest = Infinity): void => {
    this.flushing = false;
    const { carrier: link, session } = this;
    let ready = true;
    // The close frame goes out also when the browser takes nothing: otherwise the link would stay.
    for (let n = 0; link && !session.idle(t) && (ready = session.phase === closed || link.ready(t, n)); ) {
      session.mux.slow = link.slow();
      n = session.mux.append(t, this.packet);
      if (n === 0) break;
      link.send((this.views[n] ??= this.packet.subarray(0, n)));
    }
    this.rest(t, ready, latest);
  };

  /** Sets the timer, for latest if no deadline is earlier. Releases the link of a session that is over. */
  private rest(t: number, ready = true, latest = Infinity): void {
    const { carrier: link, session } = this;
    if (session.phase === closed && (!link || session.over())) return this.release();
    // Without a link only the deadlines of silence count, which need no precision. The same is true while the browser
    // takes nothing.
    let at = Math.min(session.deadline(), latest);
    if (!link || !ready) at = link?.reliable ? t + fullPause : Math.max(at, t + 50);
    // A timer that fires too early is kept: most deadlines move to a later time before they come.
    if (at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(this.ring, Math.min(at - t, 1e9)); // a timer of more than 2³¹ ms would fire at once
  }

  private readonly ring = (): void => {
    const t = this.wake(now());
    this.timerAt = Infinity;
    this.session.advance(t);
    // If an acknowledgement was due, another one is probably due soon: its timer replaces one that is set for silence.
    this.flush(t, this.session.mux.hasten(t));
  };

  /** Tells the Mux, at t, if the page slept, which the lateness of the timer shows. */
  private wake(t: number): number {
    if (t - this.timerAt > asleep) {
      this.timerAt = Infinity;
      this.session.mux.slept(t);
    }
    return t;
  }

  private release(): void {
    clearTimeout(this.timer);
    this.carrier?.close();
    this.watchPage("removeEventListener");
  }

  /** Adds or removes the listeners of the page. Node and workers may not have these functions. */
  private watchPage(how: "addEventListener" | "removeEventListener"): void {
    globalThis[how]?.("pagehide", this.pagehide);
    globalThis[how]?.("pageshow", this.pageshow);
    globalThis[how]?.("online", this.seeker.network);
    connection()?.[how]("change", this.seeker.network);
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
