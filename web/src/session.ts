import { bytesOf } from "./bytes";
import { CloseCode } from "./close";
import {
  type Control,
  hello,
  maxName,
  maxPayload,
  maxText,
  numbered,
  parseControl,
  typeAck,
  typeHere,
  typeMove,
  typeOpen,
  typeOpened,
  typeReject,
  typeReply,
  typeRequest,
  typeShut,
  typeWelcome,
} from "./control";
import { type Deferred, deferred } from "./deferred";
import { deflated, stream } from "./deflate";
import { type Home } from "./direct";
import { RequestError, type RequestErrorCode, SendError, words } from "./error";
import { cut, Mux, type MuxConfig } from "./mux";
import { type MessageOptions } from "./outbox";
import { type Channel, type FullChannel, maxChannels, nextChannel, openLine, parseLine } from "./table";
import { must } from "./varint";

export const silence = 3000; // ms of silence after which the session is interrupted
export const keepAlive = 2000; // ms of silence after which a ping is sent
export const silenceTrips = 3; // round trips in which a ping is answered: the ping or the answer may be lost once
export const defaultGrace = 30_000;
export const openTimeout = 5000; // ms to wait for WELCOME
export const maxEarly = 256 << 10; // bytes of messages that are kept before WELCOME
export const answerTime = 1000; // ms for which a client that moves waits for the answers to its requests
export const maxServing = 64; // requests of the server without an answer
export const maxWaiting = 1024; // requests of this end without an answer
export const maxOwn = 224 << 10; // bytes of the queue of channel 0 for requests and replies; the rest is for other control messages

/** Returns whether a client may begin a new session after one that ended with this code. */
export const renewable = (code: number): boolean =>
  code === CloseCode.Shutdown || code === CloseCode.Timeout || code === CloseCode.Moved;

// The phases of a session.
const fresh = 0; // no link yet
const linked = 1; // there is a link, and no WELCOME
export const open = 2;
export const closed = 3;

/** SessionEvents are the events of a Session: opened first, closed last. */
export interface SessionEvents {
  opened(): void;
  message(channel: number, b: Uint8Array): void;
  request(id: number, name: string, b: Uint8Array): void;
  /** A channel was opened, by this end if own. */
  channel(c: FullChannel, id: number, own: boolean): void;
  /** A channel that was opened is closed. */
  channelClosed(c: FullChannel, id: number): void;
  interrupted(): void;
  resumed(): void;
  /** The server moves the session: seat is JSON that says where. */
  moved(seat: string): void;
  /**
   * lostOut and lostIn are bytes of reliable messages that were given up: those of this end, and those of the server
   * according to the server.
   */
  closed(code: number, reason: string, remote: boolean, lostOut: number, lostIn: number): void;
}

/** A message that the Mux has delivered. inflating says that it is being inflated. */
type Arrived = [channel: number, b: Uint8Array, inflating?: boolean];

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
  phase = fresh;
  interrupted = false;
  id = 0n;
  token = ""; // resume token, as base64url
  home: Home = []; // the server, for a link without a request; empty if that cannot work
  next: [ufrag: string, pwd: string] = ["", ""]; // credentials of that link

  moves = 0; // links after the first
  private since = 0; // when the session was interrupted or, before WELCOME, when the link began
  grace = defaultGrace; // ms for which the server keeps an interrupted session
  inbox: Arrived[] = []; // messages that the Mux has delivered
  private closedBy: [code: number, reason: string, missed: number] | null = null; // close frame of the server
  closing = false; // close was called, and reliable messages are not acknowledged yet
  moving = false; // the server moves the session, and reliable messages are not acknowledged yet
  private closedAt = 0; // when close was called
  private drainBy = Infinity; // latest time of the close frame
  private endWith: [code: number, reason: string] = [0, ""];
  lastID = 0; // id of the last request of this end
  private readonly calls = new Map<number, Call>();
  readonly serving = new Map<number, [name: string, b: Uint8Array]>(); // requests of the server without an answer

  // A channel that was opened at run time has a Sender until this end has sent SHUT, and a Receiver until it has received
  // SHUT. When it has neither it is closed, and its number is free.
  readonly tableSize: number; // channels of the first table, with channel 0: they have the first numbers
  theirs: number; // the first number that the server opens: those from tableSize on are for this end
  closes = false; // the server supports SHUT
  maxQueue = 0; // the largest queueLimit of channels that this end opens
  opening: number[] = []; // channels that this end has opened and the server has not answered, in order
  ending = new Set<number>(); // channels that one end has closed: this end takes no more messages for them

  constructor(
    t: number,
    readonly config: Omit<MuxConfig, "mine" | "keepAlive" | "table"> & { table: FullChannel[] },
    message: Uint8Array,
    private readonly events: SessionEvents,
  ) {
    this.mux = new Mux(
      t,
      { ...config, mine: "to-server", keepAlive },
      {
        message: (channel, b) => this.inbox.push([channel, b]),
        closed: (code, reason, missed) => (this.closedBy = [code, reason, missed]),
      },
    );
    this.tableSize = this.theirs = config.table.length;
    this.mux.send(t, 0, hello(message));
  }

  // ---- the link --------------------------------------------------------------------------------------------------

  /** Begins a link. Datagrams of the old link must not be given to receive any more. */
  link(t: number, rtt: number, reliable = false): void {
    this.mux.relink(t, rtt, reliable);
    if (this.phase === fresh) {
      this.phase = linked;
      this.since = t;
    } else if (this.phase === open) {
      this.mux.send(t, 0, numbered(typeHere, ++this.moves));
    }
  }

  /** Records that the link is silent or has ended. */
  interrupt(t: number): void {
    if (this.phase === linked) this.failWith(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing) return this.failWith(t, 0, ""); // a session that closes gets no new link
    if (this.interrupted || this.phase !== open) return;
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
    this.endIfDrained(t);
    return this.mux.idle(t);
  }

  deadline(): number {
    return Math.min(this.mux.deadline(), this.patience());
  }

  /** Returns the ms of silence after which the session is interrupted: not before an answer to a ping can arrive. */
  private silence(): number {
    return Math.max(silence, keepAlive + silenceTrips * this.mux.loss.smoothed);
  }

  /** Returns when silence has lasted too long. */
  private patience(): number {
    if (this.phase === linked) return this.since + openTimeout;
    if (this.phase !== open) return Infinity;
    if (this.closing) return Math.min(this.drainBy, Math.max(this.mux.heard, this.closedAt) + this.silence());
    return this.interrupted ? this.since + this.grace : this.mux.heard + this.silence();
  }

  advance(t: number): void {
    this.mux.advance(t);
    if (t < this.patience()) return;
    if (this.closing) this.endIfDrained(t);
    else if (this.interrupted) this.failWith(t, CloseCode.Timeout, "silent for too long");
    else this.interrupt(t);
  }

  // ---- what comes ------------------------------------------------------------------------------------------------

  /**
   * Processes the messages that the Mux has delivered. Before WELCOME messages of other channels than 0 wait, in order. A
   * message that is being inflated waits, and so do those after it on its channel and on channel 0.
   */
  private take(t: number): void {
    let early = 0;
    for (let i = 0; i < this.inbox.length && this.phase !== closed; ) {
      const { inbox } = this; // SHUT replaces it
      const [channel, b] = inbox[i]!;
      if (this.phase !== open ? channel && (early += b.length + 32) : this.waits(t, i)) {
        i++;
        continue;
      }
      if (i) inbox.splice(i, 1);
      else inbox.shift(); // faster, and there may be thousands
      i = early = 0; // the message may have been WELCOME
      if (channel && this.closing) continue; // the program has closed the session
      if (!channel) this.control(t, b);
      else if (!this.config.table[channel]!.compress) this.deliver(channel, b);
      else if (b[0] === 0) this.deliver(channel, b.subarray(1));
      else this.failInflate(t);
    }
    if (early > maxEarly) this.failWith(t, CloseCode.LimitEarly, "too much before WELCOME");
    if (this.mux.loss.stuck) this.failWith(t, CloseCode.Timeout, "path too narrow");
    const by = this.closedBy;
    if (!by || (this.phase === open && this.inbox.length)) return;
    const [code, reason, missed] = by;
    if (this.closing) this.finish(...this.endWith, false, missed);
    else this.finish(code, reason, true, missed);
  }

  private deliver(channel: number, b: Uint8Array): void {
    this.mux.receivers[channel]!.counted.bytesIn += b.length;
    this.events.message(channel, b);
  }

  /** Returns whether message i of inbox must wait. Begins to inflate it if it is the first of its channel. */
  private waits(t: number, i: number): boolean {
    const { inbox } = this;
    const message = inbox[i]!;
    const [channel, b, inflating] = message;
    const { compress, maxMessage } = this.config.table[channel]!;
    if (this.closing || !compress) return !channel && i > 0;
    if (inbox.findIndex((m) => m[0] === channel) < i) return true;
    if (b[0] !== deflated) return false;
    if (inflating) return true;
    message[2] = true;
    stream(maxMessage, 0, b.subarray(1), globalThis.DecompressionStream, (b) => {
      const i = this.inbox.indexOf(message);
      if (i < 0 || this.phase === closed) return;
      if (!this.closing) {
        if (!b) return this.failInflate(t);
        this.inbox.splice(i, 1);
        this.deliver(channel, b);
      }
      this.take(t);
      this.mux.outbox.wake();
    });
    return true;
  }

  private failInflate(t: number): void {
    this.mux.drop("inflate");
    this.failWith(t, CloseCode.ProtocolError, "cannot inflate");
  }

  private control(t: number, b: Uint8Array): void {
    try {
      const c = parseControl(b);
      if (c.type === typeWelcome) this.welcome(c);
      else if (c.type <= typeMove) this.talk(t, c);
    } catch (e) {
      this.failWith(t, CloseCode.ProtocolError, words(e));
    }
  }

  private welcome(c: Control): void {
    this.id = c.session;
    this.grace = c.id;
    this.token = btoa(String.fromCharCode(...c.payload)).replace(/[+/=]/g, (s) => "-_"["+/".indexOf(s)] ?? "");
    this.next = c.next;
    if (this.phase === open) return;
    this.phase = open;
    this.closes = c.most >= 0;
    this.theirs += Math.min(Math.max(0, c.most), maxChannels + 1 - this.tableSize);
    this.maxQueue = c.maxQueue;
    this.events.opened();
  }

  private talk(t: number, { type, id, words: text, payload }: Control): void {
    const call = this.calls.get(id);
    if (this.phase !== open) return this.failWith(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing && [typeRequest, typeOpen, typeShut, typeMove].includes(type)) return;
    if (type === typeOpen) return this.receiveOpen(t, text);
    if (type === typeOpened) return this.receiveOpened(id);
    if (type === typeShut) return this.receiveShut(t, id);
    if (type === typeRequest) return this.request(t, id, text, payload);
    if (type === typeMove) return this.move(t, text);
    this.calls.delete(id);
    if (type === typeReject) call?.reject(new RequestError("rejected", text));
    else call?.resolve(type === typeReply ? payload : undefined);
  }

  private receiveOpen(t: number, line: string): void {
    const { table } = this.config;
    const id = parseInt(line, 10);
    must(id >= this.theirs && id <= maxChannels && !table[id]);
    const others = table.filter((_, i) => i && (i < this.tableSize || i >= this.theirs)); // this end may have taken the name
    const c = parseLine(others, line, id);
    this.mux.send(t, 0, Uint8Array.of(typeOpened, id));
    this.addChannel(c, id);
  }

  /**
   * Takes no more messages, and ends the session when all that was sent is acknowledged, and requests are answered or answerTime
   * is over. The server has sent MOVE after all
   * its own messages, and ends a session that takes too long.
   */
  private move(t: number, seat: string): void {
    if (this.moving) return;
    this.moving = true;
    this.drainBy = t + answerTime;
    this.endWith = [CloseCode.Moved, ""];
    this.events.moved(seat);
  }

  /** Adds a channel to the table. own says that this end opens it. */
  addChannel(c: FullChannel, id: number, own = false): void {
    this.config.table[id] = c;
    this.mux.open(c, id);
    this.events.channel(c, id, own);
  }

  private receiveOpened(id: number): void {
    const { outbox } = this.mux;
    must(this.opening.shift() === id);
    outbox.senders[id]!.shut = false;
    outbox.activate(outbox.senders[id]!);
  }

  private receiveShut(t: number, id: number): void {
    must(this.closes && id >= this.tableSize && !!this.mux.receivers[id] && !this.opening.includes(id));
    this.mux.stopReceiving(id);
    this.inbox = this.inbox.filter(([channel]) => channel !== id); // late messages
    this.endChannel(id);
    this.endChannels(t);
  }

  /** Takes no more messages for a channel. */
  private endChannel(id: number): void {
    const s = this.mux.outbox.senders[id];
    if (s) s.wanted = Infinity;
    this.ending.add(id);
  }

  /** Sends SHUT for channels that are ending, once their messages have their fates, and removes those that are closed. */
  private endChannels(t: number): void {
    const { outbox, receivers } = this.mux;
    const { table } = this.config;
    for (const id of this.ending) {
      const s = outbox.senders[id];
      if (s && !s.cost && !s.shut) {
        try {
          this.mux.send(t, 0, Uint8Array.of(typeShut, id));
        } catch {
          return; // the queue is full: again after an acknowledgement
        }
        outbox.remove(id);
      }
      if (outbox.senders[id] || receivers[id]) continue;
      const c = table[id]!;
      this.ending.delete(id);
      delete table[id];
      this.events.channelClosed(c, id);
    }
  }

  request(t: number, id: number, name: string, b: Uint8Array): void {
    if (this.serving.has(id)) return this.failWith(t, CloseCode.ProtocolError, "malformed");
    this.serving.set(id, [name, b]);
    if (this.serving.size > maxServing) this.reject(t, id, "too many requests in flight");
    else this.events.request(id, name, b);
  }

  // ---- what goes -------------------------------------------------------------------------------------------------

  /** Opens a channel. Messages on it wait until the server has answered. Throws if nothing was opened. */
  openChannel(t: number, channel: Channel): FullChannel {
    const { table } = this.config;
    const { tableSize, theirs, maxQueue } = this;
    this.mustTake();
    const c = nextChannel(
      table.filter((_, i) => i),
      channel,
    );
    let id = tableSize;
    while (table[id] && id < theirs) id++;
    if (id === theirs || c.queueLimit > maxQueue) {
      throw new SendError("fixed", `channel "${c.name}": the server allows ${theirs - tableSize} channels of ${maxQueue} bytes`);
    }
    this.mux.send(t, 0, Uint8Array.of(typeOpen, ...bytesOf(openLine(c, id))));
    this.opening.push(id);
    this.addChannel(c, id, true);
    this.mux.outbox.senders[id]!.shut = true;
    return c;
  }

  /** Closes a channel that was opened at run time. What both ends have sent arrives first. */
  closeChannel(id: number): void {
    this.mustTake();
    if (id < this.tableSize || !this.closes) throw new SendError("fixed", "the channel cannot be closed");
    this.endChannel(id);
  }

  /** Throws if the session takes no more messages. */
  private mustTake(): void {
    if (this.phase === closed || this.closing || this.moving)
      throw new SendError("closed", "the session has ended: conn.closed says why");
  }

  send(t: number, channel: number, b: Uint8Array, o?: MessageOptions): void {
    this.mustTake();
    if (this.interrupted && !this.mux.outbox.senders[channel]!.reliable) {
      throw new SendError("interrupted", "the session is interrupted: wait for resumed, or use a reliable channel");
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
      this.failWith(t, CloseCode.LimitRequests, "too many requests");
    }
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Ends the session. Reliable messages are delivered first, for at most wait ms; then comes the event closed. */
  close(t: number, code: number, reason: string, wait: number): void {
    if (this.phase === closed || (this.closing && wait)) return;
    if (!this.closing) this.endWith = [code, reason];
    this.moving = false;
    if (this.phase !== open || this.interrupted) return this.end(t);
    this.closing = true;
    this.closedAt = t;
    this.drainBy = t + wait;
    this.endIfDrained(t);
  }

  /** Ends the session at once. */
  failWith(t: number, code: number, reason: string): void {
    this.close(t, code, reason, 0);
  }

  /** Ends a session that is closing or moves when every reliable message has arrived, or the time is over. */
  private endIfDrained(t: number): void {
    if (!this.closing && !this.moving) this.endChannels(t);
    else if (this.closing && t >= this.patience()) this.end(t);
    else if (this.mux.outbox.settled() && (this.closing || !this.calls.size || t >= this.drainBy)) this.end(t);
  }

  private end(t: number): void {
    this.mux.close(t, ...this.endWith);
    this.finish(...this.endWith, this.moving);
  }

  /** Ends the session at this end, whichever end has closed it. */
  finish(code: number, reason: string, remote: boolean, missed = 0): void {
    if (this.phase === closed) return;
    this.phase = closed;
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
