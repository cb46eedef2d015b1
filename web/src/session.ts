import { bytesOf } from "./bytes";
import { CloseCode } from "./close";
import {
  type Control,
  hello,
  maxName,
  maxPayload,
  maxText,
  numbered,
  opened,
  parseControl,
  typeAck,
  typeHere,
  typeOpen,
  typeReject,
  typeReply,
  typeRequest,
  typeWelcome,
} from "./control";
import { type Deferred, deferred } from "./deferred";
import { RequestError, type RequestErrorCode, SendError } from "./error";
import { cut, Mux, type MuxConfig } from "./mux";
import { type MessageOptions, restoreSender } from "./outbox";
import { type SavedSender, snapshotSender } from "./queue";
import { restoreReceiver, type SavedReceiver, snapshotReceiver } from "./reassembly";
import { type FullChannel, nextChannel, openLine } from "./table";

export const silence = 3000; // ms of silence after which the session is interrupted
export const keepAlive = 2000; // ms of silence after which a ping is sent
export const defaultGrace = 30_000;
export const openTimeout = 5000; // ms to wait for WELCOME
export const maxEarly = 256 << 10; // bytes of messages that are kept before WELCOME
export const maxServing = 64; // requests of the server without an answer
export const maxWaiting = 1024; // requests of this end without an answer
export const maxOwn = 224 << 10; // bytes of the queue of channel 0 for requests and replies; the rest is for other control messages

/** Returns whether a client may begin a new session after one that ended with this code. */
export const renewable = (code: number): boolean => code === CloseCode.Shutdown || code === CloseCode.Timeout;

// States.
const fresh = 0; // no link yet
const linked = 1; // there is a link, and no WELCOME
export const open = 2;
export const closed = 3;

/** SessionEvents are the events of a Session: opened first, closed last. */
export interface SessionEvents {
  opened(): void;
  message(channel: number, b: Uint8Array): void;
  request(id: number, name: string, b: Uint8Array): void;
  channel(c: FullChannel): void;
  interrupted(): void;
  resumed(): void;
  /**
   * lostOut and lostIn are bytes of reliable messages that were given up: those of this end, and those of the server
   * according to the server.
   */
  closed(code: number, reason: string, remote: boolean, lostOut: number, lostIn: number): void;
}

/** A request of this end without an answer. undefined is an answer without bytes. */
export interface Call extends Deferred<Uint8Array | undefined> {
  sent: boolean; // the server has acknowledged it; at the end of the session: any of it was sent
}

/**
 * Session is the client's end of a session, docs/SESSION.md: one Mux, and the control messages on its channel 0. It
 * does no I/O and reads no clock. It calls its events inside receive, advance and close; an event may call any method.
 */
export class Session {
  readonly mux: Mux;
  state = fresh;
  interrupted = false;
  id = 0n;
  token = ""; // resume token, as base64url

  links = 0; // links after the first
  private since = 0; // when the session was interrupted or, before WELCOME, when the link began
  grace = defaultGrace; // ms for which the server keeps an interrupted session
  readonly inbox: [channel: number, b: Uint8Array][] = []; // messages that the Mux has delivered
  private closedBy: [code: number, reason: string, missed: number] | null = null; // close frame of the server
  closing = false; // close was called, and reliable messages are not acknowledged yet
  private closedAt = 0; // when close was called
  private drainBy = Infinity; // latest time of the close frame
  private ending: [code: number, reason: string] = [0, ""];
  lastID = 0; // id of the last request of this end
  private readonly calls = new Map<number, Call>();
  readonly serving = new Map<number, [name: string, b: Uint8Array]>(); // requests of the server without an answer

  constructor(
    t: number,
    readonly config: Omit<MuxConfig, "server" | "keepAlive" | "table"> & { table: FullChannel[] },
    message: Uint8Array,
    private readonly events: SessionEvents,
  ) {
    this.mux = new Mux(
      t,
      { ...config, server: false, keepAlive },
      {
        message: (channel, b) => this.inbox.push([channel, b]),
        closed: (code, reason, missed) => (this.closedBy = [code, reason, missed]),
      },
    );
    this.mux.send(t, 0, hello(message));
  }

  // ---- the link --------------------------------------------------------------------------------------------------

  /** Begins a link. Datagrams of the old link must not be given to receive any more. */
  link(t: number, rtt: number): void {
    this.mux.relink(t, rtt);
    if (this.state === fresh) {
      this.state = linked;
      this.since = t;
    } else if (this.state === open) {
      this.mux.send(t, 0, numbered(typeHere, ++this.links));
    }
  }

  /** Records that the link is silent or has ended. */
  interrupt(t: number): void {
    if (this.state === linked) this.abort(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing) return this.abort(t, 0, ""); // a session that closes gets no new link
    if (this.interrupted || this.state !== open) return;
    this.interrupted = true;
    this.since = t;
    this.events.interrupted();
  }

  receive(t: number, b: Uint8Array): void {
    const { mux } = this;
    const heard = mux.counts.packetsIn;
    mux.receive(t, b);
    if (this.interrupted && mux.counts.packetsIn > heard) {
      this.interrupted = false;
      this.events.resumed();
    }
    this.take(t);
  }

  /** Returns whether the Mux has no packet to send. */
  idle(t: number): boolean {
    this.drain(t);
    return this.mux.idle(t);
  }

  deadline(): number {
    return Math.min(this.mux.deadline(), this.patience());
  }

  /** Returns when silence has lasted too long. */
  private patience(): number {
    if (this.state === linked) return this.since + openTimeout;
    if (this.state !== open) return Infinity;
    if (this.closing) return Math.min(this.drainBy, Math.max(this.mux.heard, this.closedAt) + silence);
    return this.interrupted ? this.since + this.grace : this.mux.heard + silence;
  }

  advance(t: number): void {
    this.mux.advance(t);
    if (t < this.patience()) return;
    if (this.closing) this.drain(t);
    else if (this.interrupted) this.abort(t, CloseCode.Timeout, "silent for too long");
    else this.interrupt(t);
  }

  // ---- what comes ------------------------------------------------------------------------------------------------

  /**
   * Processes the messages that the Mux has delivered. Before WELCOME messages of other channels than 0 wait, in order.
   */
  private take(t: number): void {
    const { inbox } = this;
    let early = 0;
    for (let i = 0; i < inbox.length && this.state !== closed; ) {
      const [channel, b] = inbox[i]!;
      if (channel && this.state !== open) {
        early += b.length + 32;
        i++;
        continue;
      }
      if (i) inbox.splice(i, 1);
      else inbox.shift(); // faster, and there may be thousands
      i = early = 0; // the message may have been WELCOME
      if (channel && this.closing) continue; // the program has closed the session
      if (channel) this.events.message(channel, b);
      else this.control(t, b);
    }
    if (early > maxEarly) this.abort(t, CloseCode.LimitEarly, "too much before WELCOME");
    if (this.mux.loss.stuck) this.abort(t, CloseCode.Timeout, "path too narrow");
    const by = this.closedBy;
    if (!by) return;
    const [code, reason, missed] = by;
    if (this.closing) this.finish(...this.ending, false, missed);
    else this.finish(code, reason, true, missed);
  }

  private control(t: number, b: Uint8Array): void {
    let c: Control;
    try {
      c = parseControl(b);
    } catch {
      return this.abort(t, CloseCode.ProtocolError, "malformed");
    }
    if (c.type === typeWelcome) this.welcome(c);
    else if (c.type <= typeOpen) this.talk(t, c);
  }

  private welcome(c: Control): void {
    this.id = c.session;
    this.grace = c.id;
    this.token = btoa(String.fromCharCode(...c.payload)).replace(/[+/=]/g, (s) => "-_"["+/".indexOf(s)] ?? "");
    if (this.state === open) return;
    this.state = open;
    this.events.opened();
  }

  private talk(t: number, { type, id, text, payload }: Control): void {
    const call = this.calls.get(id);
    if (this.state !== open) return this.abort(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing && (type === typeOpen || type === typeRequest)) return;
    if (type === typeOpen) return this.open(t, text);
    if (type === typeRequest) return this.request(t, id, text, payload);
    this.calls.delete(id);
    if (type === typeReject) call?.reject(new RequestError("rejected", text));
    else call?.resolve(type === typeReply ? payload : undefined);
  }

  private open(t: number, line: string): void {
    try {
      this.mux.send(t, 0, opened(this.add(line)));
    } catch {
      this.abort(t, CloseCode.ProtocolError, "malformed OPEN");
    }
  }

  /**
   * Adds the channel of a line of the table's text, and returns its number. Throws if it cannot be the next channel.
   */
  add(line: string): number {
    const { table } = this.config;
    const c = nextChannel(table, line);
    const id = table.push(c) - 1;
    this.mux.open(c);
    this.events.channel(c);
    return id;
  }

  request(t: number, id: number, name: string, b: Uint8Array): void {
    if (this.serving.has(id)) return this.abort(t, CloseCode.ProtocolError, "malformed");
    this.serving.set(id, [name, b]);
    if (this.serving.size > maxServing) this.reject(t, id, "too many requests in flight");
    else this.events.request(id, name, b);
  }

  // ---- what goes -------------------------------------------------------------------------------------------------

  send(t: number, channel: number, b: Uint8Array, o?: MessageOptions): void {
    if (this.state === closed || this.closing) throw new SendError("closed", "the session has ended: conn.closed says why");
    if (this.interrupted && !this.mux.outbox.senders[channel]!.reliable) {
      throw new SendError("interrupted", "the session is interrupted: wait for the event resumed, or use a reliable channel");
    }
    this.mux.send(t, channel, b, o);
  }

  /** Sends a request. Throws a SendError if nothing was queued. */
  call(t: number, name: string, b: Uint8Array): Call {
    const n = bytesOf(name);
    const { calls } = this;
    if (!name || n.length > maxName || b.length > maxPayload) {
      throw new SendError(
        "size",
        `request "${name}" has ${b.length} bytes: at most ${maxPayload}, and a name has 1 to ${maxName} bytes`,
      );
    }
    if (calls.size >= maxWaiting || this.full(b)) {
      throw new SendError("budget", "too many requests wait: await answers first");
    }
    do this.lastID = (this.lastID + 1) >>> 0;
    while (!this.lastID || calls.has(this.lastID));
    const id = this.lastID;
    const call: Call = { ...deferred<Uint8Array | undefined>(), sent: false };
    this.send(t, 0, numbered(typeRequest, id, [n.length, ...n, ...b]), { receipt: (_, sent) => (call.sent = sent) });
    calls.set(id, call);
    return call;
  }

  /** Returns whether b is too large, or would leave too little room in the queue for HERE, OPENED and REJECT. */
  private full({ length }: Uint8Array): boolean {
    return length > maxPayload || length + this.mux.outbox.senders[0]!.cost > maxOwn;
  }

  /** Answers a request of the server, with bytes or without. */
  answer(t: number, id: number, b?: Uint8Array): void {
    if (!this.serving.has(id)) return;
    if (b && this.full(b)) return this.reject(t, id, "the reply is too large");
    this.mux.send(t, 0, numbered(b ? typeReply : typeAck, id, b));
    this.serving.delete(id);
  }

  /** Rejects a request of the server. */
  reject(t: number, id: number, why: string): void {
    if (!this.serving.delete(id)) return;
    try {
      this.mux.send(t, 0, numbered(typeReject, id, cut(why, maxText)));
    } catch {
      this.abort(t, CloseCode.LimitRequests, "too many requests");
    }
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Ends the session. Reliable messages are delivered first, for at most wait ms; then comes the event closed. */
  close(t: number, code: number, reason: string, wait: number): void {
    if (this.state === closed || (this.closing && wait)) return;
    if (!this.closing) this.ending = [code, reason];
    if (this.state !== open || this.interrupted) return this.end(t);
    this.closing = true;
    this.closedAt = t;
    this.drainBy = t + wait;
    this.drain(t);
  }

  /** Ends the session at once. */
  abort(t: number, code: number, reason: string): void {
    this.close(t, code, reason, 0);
  }

  /** Ends a session that is closing when every reliable message has arrived, or the time is over. */
  private drain(t: number): void {
    if (this.closing && (t >= this.patience() || this.mux.outbox.settled())) this.end(t);
  }

  private end(t: number): void {
    this.mux.close(t, ...this.ending);
    this.finish(...this.ending, false);
  }

  /** Ends the session at this end, whichever end has closed it. */
  finish(code: number, reason: string, remote: boolean, missed = 0): void {
    if (this.state === closed) return;
    this.state = closed;
    this.interrupted = this.closing = false;
    for (const { sent, reject } of this.calls.values()) {
      const why: RequestErrorCode = sent ? "response-lost" : "send-failed";
      reject(new RequestError(why, "the session has ended"));
    }
    this.events.closed(code, reason, remote, this.mux.givenUp, missed);
  }

  /** Returns whether a session that has ended has no packet to send any more, so that its link may be closed. */
  over(): boolean {
    return this.mux.closed();
  }
}

/**
 * What snapshotSession returns: the state of a session without that of its link. It has lists and no names, because
 * names differ between minified bundles.
 */
export type SavedSession = [
  grace: number,
  id: string,
  token: string,
  links: number,
  lastID: number,
  serving: [id: number, request: [name: string, b: Uint8Array]][],
  opened: string[], // channels opened at run time, as lines of the table's text
  channels: [SavedSender, SavedReceiver][],
  inbox: [channel: number, b: Uint8Array][],
];

/**
 * Returns a snapshot of a session, valid until the session changes, or undefined if the session is not open. The last
 * opened channels of its table were opened at run time. Deadlines are on the wall clock, which is shift ahead of the
 * clock of the page.
 */
export function snapshotSession(s: Session, opened: number, shift: number): SavedSession | undefined {
  const { outbox, receivers } = s.mux;
  const { table } = s.config;
  const fixed = table.length - opened;
  if (s.state !== open || s.closing) return;
  return [
    s.grace,
    `${s.id}`,
    s.token,
    s.links,
    s.lastID,
    [...s.serving],
    table.slice(fixed).map((c, i) => openLine(c, fixed + i)),
    receivers.map((r, i) => [snapshotSender(outbox.senders[i]!, shift), snapshotReceiver(r)]),
    s.inbox,
  ];
}

/** Restores a new Session from a snapshot. It has no link yet. Throws if the snapshot is malformed. */
export function restoreSession(s: Session, t: number, saved: SavedSession, shift: number): void {
  const { outbox, receivers } = s.mux;
  const [grace, id, token, links, lastID, serving, opened, channels, inbox] = saved;
  outbox.abandon(); // drops HELLO
  for (const line of opened) s.add(line);
  channels.forEach(([sender, receiver], i) => {
    restoreSender(outbox, t, i, sender, shift);
    restoreReceiver(receivers[i]!, t, receiver);
  });
  for (const [id, request] of serving) s.serving.set(id, request);
  s.inbox.push(...inbox);
  Object.assign(s, { id: BigInt(id), token, grace, links, lastID, state: open });
}
