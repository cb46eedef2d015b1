import { maxAckDelay, Received } from "./ack";
import { type FullChannel } from "./channel";
import { Closing } from "./close";
import { Congestion, Pacer } from "./congestion";
import { SendError } from "./errors";
import { lossyShare, Recovery } from "./loss";
import { type MessageOptions, Outbox } from "./outbox";
import { type Fate } from "./queue";
import { Receiver } from "./reassembly";
import { RTT } from "./rtt";
import { Flight, packetAcked, packetFlying, packetLost, type SentPacket } from "./sent";
import { type ChannelStats, type DropReason, type Stats } from "./stats";
import {
  AckBlock,
  appendHeader,
  controlClose,
  controlExtension,
  controlPing,
  delayUnit,
  frameControl,
  maxFragmentHeader,
  Packet,
  pieceSize,
  text,
  Writer,
} from "./wire";

/** How one end of a link is set up. Times are in milliseconds, rates in bytes per second. */
export interface MuxConfig {
  /** With the control channel as its first. */
  table: readonly FullChannel[];
  server: boolean;
  /** What rtt is before it is known. */
  rtt: number;
  /** At first, at least, at most. */
  rate: number;
  floor: number;
  ceiling: number;
  /** Silence after which a ping is sent. */
  keepAlive: number;
}

/** What a Mux tells its user. */
export interface MuxEvents {
  message(channel: number, b: Uint8Array): void;
  receipt(handle: number, fate: Fate): void;
  closed(code: number, reason: string): void;
}


/**
 * Mux is one end of a link: it gives promises to datagrams that get lost. It does no I/O and reads no clock. Give it
 * datagrams with receive and messages with send, then take packets with append until it has none, and call advance
 * when deadline has come. It calls back from within receive, send, append and advance, and must not be called from
 * there, but for send.
 */
export class Mux {
  readonly outbox: Outbox;
  private readonly receivers: Receiver[];
  private readonly drops: Partial<Record<DropReason, number>> = {};
  private readonly counts = {
    packetsOut: 0,
    packetsIn: 0,
    bytesOut: 0,
    bytesIn: 0,
    acksOut: 0,
    packetsLost: 0,
    spurious: 0,
    timeouts: 0,
    links: 0,
  };

  // The link, all of it new after relink.
  private received!: Received;
  private flight!: Flight;
  private rtt!: RTT;
  private loss!: Recovery;
  private cc!: Congestion;
  private pacer!: Pacer;
  private largestAcked = 0;
  private sampled = -1; // when the newest packet that gave a round trip was sent
  private askedAt = 0; // when a lone ack last asked for an ack of its own
  private ping = false; // one is due
  heard = 0; // when the last packet came

  private work = false; // there was something to send that could not leave
  private readonly closing = new Closing();

  private readonly in = new Packet();
  private readonly ackOut = new AckBlock();
  private readonly out = new Writer(new Uint8Array(0));

  constructor(
    t: number,
    private readonly config: MuxConfig,
    private readonly events: MuxEvents,
  ) {
    const mine = config.server ? "to-client" : "to-server";
    const to = { message: events.message.bind(events), drop: (why: DropReason) => this.drop(why) };
    const allows = (c: FullChannel, send: boolean): boolean => c.direction === "both" || (c.direction === mine) === send;
    this.outbox = new Outbox(config.table, (c) => allows(c, true), events.receipt.bind(events));
    this.receivers = config.table.map((c, i) => new Receiver(c, i, allows(c, false), to));
    this.link(t, config.rtt);
  }

  private link(t: number, rtt: number): void {
    const c = this.config;
    this.received = new Received();
    this.flight = new Flight();
    this.rtt = new RTT(rtt);
    this.loss = new Recovery();
    this.cc = new Congestion(c.rate, c.floor, c.ceiling);
    this.pacer = new Pacer(t);
    this.largestAcked = 0;
    this.sampled = -1;
    this.heard = t;
    this.ping = false;
  }

  /**
   * Starts over on a new link, to the same peer, which does the same. All that was not acknowledged is sent again, and
   * what had arrived is not delivered again; unreliable messages under way on the old link are lost.
   */
  relink(t: number, rtt: number): void {
    const f = this.flight;
    this.counts.links++;
    for (let n = f.base; n < f.next; n++) this.outbox.forgotten(f.at(n));
    this.link(t, rtt);
    this.closing.relink(t);
  }

  /** Queues a copy of b, and returns how receipts call it. Take it with append. */
  send(t: number, ch: number, b: Uint8Array, o: MessageOptions = {}): number {
    if (this.closing.any()) throw new SendError("closed", "the session has ended");
    return this.outbox.send(t, ch, b, o);
  }

  // ---- packets out -----------------------------------------------------------------------------------------------

  /** Writes the next packet into b and returns its length; 0 means that there is nothing to say now. */
  append(t: number, b: Uint8Array, limit: number): number {
    const f = this.flight;
    for (; f.full(); f.base++) {
      const old = f.at(f.base);
      if (old.state === packetFlying && old.eliciting) this.losePacket(old, f.base);
    }
    const p = f.open(t);
    const w = this.out;
    w.b = b;
    w.n = 0;
    appendHeader(w, f.next);
    const content = this.mayContent(t);
    if (this.received.eliciting > 0) this.appendAck(w, t, p, limit);
    const body = w.n;
    if (this.closing.any()) {
      p.closing = this.closing.append(w, t);
    } else if (content) {
      this.appendContent(w, limit, t, p);
      if (w.n === body) this.loss.probes = 0;
    }
    p.eliciting = w.n > body;
    if (!p.eliciting) {
      if (t < this.received.due || p.ackTop === 0) return 0;
      this.askForAck(w, t, p);
    }
    this.leave(p, w.n, t);
    return w.n;
  }

  /** Whether congestion control lets a packet leave. */
  private mayContent(t: number): boolean {
    this.work = false;
    this.pacer.refill(t, this.cc.pace());
    if (this.loss.probes > 0) return true;
    const window = this.flight.bytes < this.cc.window(this.rtt, this.loss.share);
    if (window && this.pacer.open()) return true;
    if (this.ping || this.outbox.hasWork(t)) {
      this.cc.round.limited = true;
      this.work = window; // an acknowledgement opens the window, not time
    }
    return false;
  }

  /** Appends what the channels have, then what may ride along. */
  private appendContent(w: Writer, end: number, t: number, p: SentPacket): void {
    const body = w.n;
    this.outbox.fill(w, end, t, p, this.flight.next);
    if (this.ping && w.n === body) w.byte(controlPing);
    this.ping = false;
    const share = this.loss.share;
    if (w.n === body || this.outbox.backlog || share <= lossyShare) return;
    const overdue = t - this.rtt.lossDelay() - maxAckDelay;
    this.outbox.repeat(w, Math.min(end, w.n + Math.max(0, this.pacer.spare)), t, overdue, p, this.flight.next, share);
  }

  /** Appends an ack block, leaving room for the largest piece behind it. */
  private appendAck(w: Writer, t: number, p: SentPacket, end: number): void {
    this.received.block(t, this.ackOut);
    w.b[0]! |= this.ackOut.append(w, end - maxFragmentHeader - pieceSize);
    p.ackTop = this.received.next;
  }

  /**
   * Makes a packet of nothing but an ack block worth an answer, once a round trip, when the block has grown: what the
   * peer knows need not be repeated.
   */
  private askForAck(w: Writer, t: number, p: SentPacket): void {
    this.counts.acksOut++;
    if (this.ackOut.ranges < 8 || t < this.askedAt + this.rtt.smoothed || this.closing.any()) return;
    this.askedAt = t;
    p.eliciting = true;
    w.byte(controlPing);
  }

  /** Takes note of a packet of n bytes that goes out. */
  private leave(p: SentPacket, n: number, t: number): void {
    p.size = n;
    if (p.ackTop > 0) this.received.said();
    if (p.eliciting) {
      this.pacer.spend(n);
      this.cc.round.sent += n;
      this.loss.lastSent = t;
      this.loss.probes = Math.max(0, this.loss.probes - 1);
    }
    this.flight.push(p);
    this.counts.packetsOut++;
    this.counts.bytesOut += n;
  }

  // ---- packets in ------------------------------------------------------------------------------------------------

  /** Takes a datagram. One that is not well-formed is counted and has no effect. */
  receive(t: number, b: Uint8Array): void {
    const p = this.in;
    let eliciting = false;
    let ok = p.parse(b);
    while (ok && p.more()) {
      ok = p.next();
      eliciting ||= p.eliciting();
    }
    if (!ok) return this.drop("malformed");
    const number = this.received.expand(p);
    if (!this.received.fresh(number)) return this.drop("duplicate");
    if (p.hasAck && !this.receiveAck(t, p.ack)) return this.drop("ack");
    this.counts.packetsIn++;
    this.counts.bytesIn += b.length;
    this.heard = t;
    for (p.rewind(); p.more(); ) {
      p.next();
      ok = this.receiveFrame(t, p) && ok;
    }
    if (!ok) return this.drop("refused");
    this.received.mark(t, number, eliciting);
    if (this.closing.byPeer && this.received.eliciting > 0) this.received.due = t; // tell it at once that it can stop
  }

  /** Reports whether the frame's packet may be acknowledged. */
  private receiveFrame(t: number, f: Packet): boolean {
    if (f.kind === frameControl) {
      if (f.channel === controlClose) this.receiveClose(f);
      else if (f.channel >= controlExtension) this.drop("unknown-frame");
      return true;
    }
    let why: DropReason | null = "closed";
    const done = this.closing.any();
    if (!done) {
      const r = this.receivers[f.channel];
      why = r ? r.receive(t, f) : "unknown-channel";
    }
    if (why) this.drop(why);
    return done || !why;
  }

  private receiveClose(f: Packet): void {
    if (this.closing.byPeer) return;
    this.closing.byPeer = true;
    this.outbox.abandon();
    this.events.closed(f.code, text(f.payload)!);
  }

  /** Applies an ack block. It reports whether the block is possible. */
  private receiveAck(t: number, a: AckBlock): boolean {
    const f = this.flight;
    const last = f.next - 1;
    const largest = last - (((last & 0xffff) - a.largest) & 0xffff);
    if (last < 0 || a.span() > largest) return false;
    let bytes = this.ackRange(largest - a.first, largest);
    for (let i = 0, end = largest - a.first; i < a.ranges; i++) {
      end -= a.gaps[i]! + 2;
      bytes += this.ackRange(end - a.lengths[i]!, end);
      end -= a.lengths[i]!;
    }
    if (bytes === 0) return true;
    const p = f.at(largest);
    if (largest >= f.base && p.eliciting && p.at > this.sampled) {
      this.sampled = p.at;
      const delay = Math.min(a.delay * delayUnit, 2 * maxAckDelay);
      this.rtt.sample(t - p.at, delay);
      this.cc.sample(t, Math.max(t - p.at - delay, 0.001));
    }
    this.loss.timeouts = 0;
    this.detect(t, largest);
    this.cc.acked(t, largest, f.next, bytes, this.loss.share);
    f.trim(t - 3 * this.rtt.pto(0));
    return true;
  }

  /** Takes the packets from low to high as arrived, and returns the bytes of those that wanted to be acknowledged. */
  private ackRange(low: number, high: number): number {
    const f = this.flight;
    let bytes = 0;
    for (let n = Math.max(low, f.base); n <= high && n < f.next; n++) {
      const p = f.at(n);
      if (p.state === packetAcked) continue;
      if (p.state === packetLost) {
        this.counts.spurious++;
        this.loss.reordered(high - n + 1);
      }
      if (p.state === packetLost || p.eliciting) this.loss.resolved(0);
      if (p.eliciting) bytes += p.size;
      f.land(p, packetAcked);
      if (p.ackTop > 0) this.received.confirmed(p.ackTop - 1);
      if (p.closing) this.closing.acked();
      this.outbox.acked(p);
    }
    return bytes;
  }

  /** Takes for lost what is too far behind largest, and sets the time to look again. */
  private detect(t: number, largest: number): void {
    const f = this.flight;
    const delay = this.rtt.lossDelay();
    this.loss.lossAt = Infinity;
    this.largestAcked = Math.max(this.largestAcked, largest);
    for (let n = f.base; n < this.largestAcked && n < f.next; n++) {
      const p = f.at(n);
      if (p.state !== packetFlying || !p.eliciting) continue;
      if (this.largestAcked - n >= this.loss.threshold || p.at + delay <= t) this.losePacket(p, n);
      else this.loss.lossAt = Math.min(this.loss.lossAt, p.at + delay);
    }
  }

  private losePacket(p: SentPacket, number: number): void {
    this.counts.packetsLost++;
    this.loss.resolved(1);
    this.flight.land(p, packetLost);
    this.outbox.lost(p, number);
  }

  // ---- time ------------------------------------------------------------------------------------------------------

  /** When advance must be called; Infinity is never. */
  deadline(): number {
    const due = this.received.due;
    if (this.closing.any()) return this.closing.byPeer ? due : Math.min(this.closing.next, due);
    let t = Math.min(due, this.loss.lossAt, this.ptoAt());
    for (const r of this.receivers) t = Math.min(t, r.expireAt);
    if (!this.ping && this.flight.count === 0) t = Math.min(t, this.heard + this.config.keepAlive);
    if (this.work) t = Math.min(t, this.pacer.ready(this.cc.pace()));
    return t;
  }

  /** Tells the Mux that time has passed. */
  advance(t: number): void {
    if (this.closing.any()) return;
    for (const r of this.receivers) r.age(t);
    if (t >= this.loss.lossAt) this.detect(t, this.largestAcked);
    if (t >= this.ptoAt()) this.probe(t);
    if (this.flight.count === 0 && t >= this.heard + this.config.keepAlive) this.ping = true;
  }

  /** When to probe: nothing was heard for too long. */
  private ptoAt(): number {
    return this.flight.count === 0 ? Infinity : this.loss.lastSent + this.rtt.pto(this.loss.backoff());
  }

  /** Sends the oldest and the newest unacknowledged content again, or a ping if there is none that would be missed. */
  private probe(t: number): void {
    const f = this.flight;
    this.loss.timeout(t, this.received.loss);
    this.counts.timeouts++;
    let n = f.base;
    while (n < f.next && !this.again(n)) n++;
    if (n === f.next) {
      this.ping = true;
      return;
    }
    for (n = f.next - 1; n >= f.base && !this.again(n); ) n--;
  }

  private again(n: number): boolean {
    const p = this.flight.at(n);
    return p.state === packetFlying && this.outbox.again(p, n);
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Ends the link. What is queued is not sent any more. append then has the close frame, a few times. */
  close(t: number, code: number, reason: string): void {
    if (this.closing.any()) return;
    this.closing.begin(t, code, reason);
    this.outbox.abandon();
  }

  /** Whether the peer has closed, or knows that we have, or has been told often enough. */
  closed(): boolean {
    return this.closing.byPeer || (this.closing.begun && this.closing.left === 0);
  }

  /** Whether anything came is seen in whether this grew. */
  get packetsIn(): number {
    return this.counts.packetsIn;
  }

  // ---- counters --------------------------------------------------------------------------------------------------

  stats(): Stats {
    const r = this.rtt;
    const out = this.outbox.senders;
    const sum = (f: (i: number) => number): number => out.reduce((n, _, i) => n + f(i), 0);
    return {
      ...this.counts,
      retransmits: sum((i) => out[i]!.stats.retransmits),
      copies: sum((i) => out[i]!.stats.copies),
      rtt: r.smoothed,
      rttVar: r.variance,
      minRTT: r.minimum,
      lossOut: this.loss.share,
      lossIn: this.received.loss,
      rate: this.cc.rate,
      deliveryRate: this.cc.delivery(),
      inFlight: this.flight.bytes,
      queued: sum((i) => out[i]!.cost),
      held: sum((i) => this.receivers[i]!.held),
      drops: { ...this.drops },
    };
  }

  channelStats(ch: number): ChannelStats {
    const { messagesIn, bytesIn, stale, duplicates } = this.receivers[ch]!.stats;
    return { ...this.outbox.senders[ch]!.stats, messagesIn, bytesIn, stale, duplicates };
  }

  private drop(why: DropReason): void {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
  }
}
