import { ackEvery, maxAckDelay, Received } from "./ack";
import { nothing, text } from "./bytes";
import { type Congestion, congestion } from "./congestion";
import { SendError } from "./error";
import {
  appendClose,
  appendGivenUp,
  controlClose,
  controlExtension,
  controlGivenUp,
  controlPing,
  frameControl,
  frameFragment,
  maxCloseText,
  maxFragmentHeader,
  pieceSize,
} from "./frame";
import { lossyShare, Recovery } from "./loss";
import { type MessageOptions, Outbox } from "./outbox";
import { appendHeader, delayUnit, expand, maxPacket, Packet } from "./packet";
import { partialAge, Receiver } from "./reassembly";
import { Flight, maxFlight, packetAcked, packetFlying, packetLost, type SentPacket } from "./sent";
import { type ChannelStats, type DropReason, type Stats } from "./stats";
import { type Direction, type FullChannel } from "./table";
import { Reader, Writer } from "./varint";

// A close frame is sent closeRepeats times, at growing intervals, until an acknowledgement of one arrives.
export const closeRepeats = 6;
const ackSlack = 5; // ms by which an acknowledgement may leave early, to save a timer
export const closeInterval = 20;
// On a reliable link it is sent once, and once more if no acknowledgement arrives for closePatience.
export const closePatience = closeInterval * (2 ** closeRepeats - 1);

/** MuxConfig configures one end of a link. Times are in milliseconds, rates in bytes per second. */
export interface MuxConfig {
  /** The table, with the control channel first. */
  table: readonly FullChannel[];
  /** The direction in which this end sends. */
  mine: Direction;
  /** First estimate of the round trip. */
  rtt: number;
  /** Rate at first, lowest rate, highest rate. */
  rate: number;
  floor: number;
  ceiling: number;
  /** Time without a packet of the peer after which a ping is sent. */
  keepAlive: number;
}

/** MuxEvents are the events of a Mux. */
export interface MuxEvents {
  message(channel: number, b: Uint8Array): void;
  /** The peer has closed. missed is the number of bytes of reliable messages that the peer gave up. */
  closed(code: number, reason: string, missed: number): void;
}

/**
 * Mux is one end of a link: it sends messages with promises in datagrams that may be lost. It does no I/O and reads no
 * clock. Give it datagrams with receive and messages with send. Then take packets with append until it returns 0, and
 * call advance when deadline has come. It calls its events inside receive, send, append and advance; an event may call
 * send and no other method.
 */
export class Mux {
  readonly outbox = new Outbox();
  heard = 0; // when the last packet arrived
  private gap = 0; // between the last two packets
  slow = false; // the link below delays what it gets
  readonly counts = { packetsOut: 0, packetsIn: 0, bytesOut: 0, bytesIn: 0, links: -1 };

  readonly receivers: Receiver[] = []; // by channel; numbers without one are holes
  private readonly drops: Partial<Record<DropReason, number>> = {};

  // State of the link; relink resets it.
  private received!: Received;
  private reliable = false; // the link neither loses nor reorders: nothing is sent twice
  private staleBefore: number[] = []; // by channel: frames of earlier packets are of a channel that was closed
  private flight = new Flight();
  loss!: Recovery;
  private cc!: Congestion;
  private largestAcked = 0;
  private sampled = -1; // when the newest packet that measured a round trip was sent
  private awake = -1; // when the program ran again after a sleep
  private askedAt = 0; // when askForAck last added a ping
  private ping = false; // a ping is due
  private work = false; // the pacer has held a packet back
  private ageAt = Infinity; // when an incomplete message may be too old

  // The end.
  private byPeer = false; // the peer has closed
  private closing = nothing; // text of this end, once ending
  private code = 0;
  private ending = false; // this end has closed
  givenUp = 0; // bytes of reliable messages of this end that were given up, once one end has closed
  private missed = 0; // bytes that the peer gave up, according to the peer
  private closeLeft = 0; // close frames to send
  private closeAt = Infinity; // time of the next close frame
  private closeGap = closeInterval;

  private readonly in = new Packet();
  private readonly out = new Writer();

  constructor(
    t: number,
    private readonly config: MuxConfig,
    private readonly events: MuxEvents,
  ) {
    for (const c of config.table) this.open(c);
    this.relink(t, config.rtt);
  }

  /** Adds a channel. The peer must do the same before a packet with the channel reaches it. */
  open(c: FullChannel, id = this.receivers.length): void {
    const { mine } = this.config;
    const { counted } = this.outbox.open(c, c.direction === "both" || c.direction === mine, id);
    this.receivers[id] = new Receiver(
      c,
      c.direction !== mine,
      counted,
      (b) => this.events.message(id, b),
      (why) => this.drop(why),
    );
  }

  /**
   * Ends the receiving half of a channel on which the peer sends nothing more. Frames of packets that were sent before
   * are ignored from now on, whatever channel has the number when they arrive. Frames of later packets are refused until
   * open is called.
   */
  stopReceiving(id: number): void {
    delete this.receivers[id];
    this.staleBefore[id] = this.received.next;
  }

  /**
   * Continues on a new link to the same peer, which must do the same. What the peer has not acknowledged is sent again,
   * and nothing is delivered twice. Unreliable messages that were sent on the old link and have not arrived are lost.
   * reliable says that the new link neither loses nor reorders.
   */
  relink(t: number, rtt: number, reliable = false): void {
    const { rate, floor, ceiling } = this.config;
    this.counts.links++;
    for (const p of this.flight.packets) this.outbox.forgotten(p);
    this.received = new Received();
    this.staleBefore = [];
    this.flight = new Flight();
    this.reliable = reliable;
    this.loss = new Recovery(rtt, reliable);
    this.cc = congestion(t, rate, floor, ceiling, reliable);
    this.largestAcked = 0;
    this.sampled = this.awake = -1;
    this.heard = t;
    this.ping = false;
    if (this.closeLeft) this.closeAt = t;
  }

  /** Queues a copy of b as a message on channel ch. append sends it. */
  send(t: number, ch: number, b: Uint8Array, o?: MessageOptions): void {
    if (this.over()) throw new SendError("closed", "the session has ended: conn.closed says why");
    this.outbox.send(t, ch, b, o);
  }

  // ---- packets out -----------------------------------------------------------------------------------------------

  /** Writes the next packet into b and returns its length, or 0 if there is nothing to send now. */
  append(t: number, b: Uint8Array): number {
    const { flight, out: w, received, loss } = this;
    for (; flight.packets.length >= maxFlight; flight.packets.shift()) {
      const old = flight.packets[0]!;
      if (old.phase === packetFlying && old.eliciting) this.losePacket(old);
    }
    if (this.idle(t)) return 0;
    const content = this.mayContent(t);
    if (t < received.due && !this.over() && !content) return 0;
    const limit = loss.limit(t);
    const p = flight.open(t);
    w.b = b;
    w.n = 0;
    appendHeader(w, p.number);
    if (received.eliciting) {
      // Leaves room for the largest piece. In a small packet that is most of it, so only if there is a piece to send.
      received.append(w, t, this.wants(t) ? limit - maxFragmentHeader - pieceSize : limit);
      p.ackTop = received.next;
    }
    const body = w.n;
    if (this.over()) {
      p.closing = this.appendClose(w, t);
    } else if (content) {
      this.appendContent(w, limit, t, p);
      if (w.n === body) loss.probes = 0;
    }
    p.eliciting = w.n > body;
    if (!p.eliciting) {
      if (t < received.due) return 0;
      this.askForAck(w, t, p);
    }
    p.len = w.n;
    if (p.ackTop) received.said();
    if (p.eliciting) {
      loss.sent(p);
      this.cc.sent(w.n);
    }
    flight.push(p);
    this.counts.packetsOut++;
    this.counts.bytesOut += w.n;
    return w.n;
  }

  /** Returns whether append would return 0. */
  idle(t: number): boolean {
    this.work = false;
    this.outbox.quiet = this.slow && this.loss.silent();
    return t < this.received.due && !this.over() && !this.wants(t);
  }

  /** Returns whether congestion control lets a packet leave. */
  private mayContent(t: number): boolean {
    const { cc, loss } = this;
    const paced = cc.mayLeave(t);
    const window = this.flight.bytes < cc.window(loss.smoothed, loss.share);
    if (loss.probes || (window && paced)) return true;
    if (this.wants(t)) {
      cc.limit();
      this.work = window; // an acknowledgement opens the window, not time
    }
    return false;
  }

  /** Returns whether there may be more to send than an ack block. */
  private wants(t: number): boolean {
    return this.ping || this.loss.probes > 0 || this.outbox.hasWork(t);
  }

  /** Appends pieces of messages, and copies into the free space. */
  private appendContent(w: Writer, end: number, t: number, p: SentPacket): void {
    const { outbox, loss } = this;
    const body = w.n;
    outbox.fill(w, end, t, p);
    if (this.ping && w.n === body) w.byte(controlPing);
    this.ping = false;
    if (w.n === body || outbox.backlog || loss.share <= lossyShare) return;
    const overdue = t - loss.lossDelay() - maxAckDelay;
    outbox.repeat(w, Math.min(end, w.n + this.cc.spare()), overdue, p, loss.share);
  }

  /**
   * Adds a ping to a packet with only an ack block, so that the packet must be acknowledged: once in a round trip, and
   * only if the block has eight ranges or more besides the first. After the acknowledgement the block becomes shorter.
   */
  private askForAck(w: Writer, t: number, p: SentPacket): void {
    if (this.received.ranges.length < 17 || t < this.askedAt + this.loss.smoothed || this.over()) return;
    this.askedAt = t;
    p.eliciting = true;
    w.byte(controlPing);
  }

  /** Appends the close frame if its time has come. */
  private appendClose(w: Writer, t: number): boolean {
    if (t < this.closeAt) return false;
    this.closeAt = --this.closeLeft ? t + this.closeGap : Infinity;
    this.closeGap *= 2;
    if (this.givenUp) appendGivenUp(w, this.givenUp);
    appendClose(w, this.code, this.closing);
    return true;
  }

  // ---- packets in ------------------------------------------------------------------------------------------------

  /** Processes a datagram. A malformed datagram is counted and dropped. */
  receive(t: number, b: Uint8Array): void {
    const { in: p, received } = this;
    if (b.length > maxPacket || !p.parse(b)) return this.drop("malformed");
    const number = expand(p.number, p.numberLen, received.next);
    if (!received.fresh(number)) return this.drop("duplicate");
    if (p.hasAck && !this.receiveAck(t, p)) return this.drop("ack");
    this.counts.packetsIn++;
    this.counts.bytesIn += b.length;
    this.gap = t - this.heard;
    this.heard = t;
    let ok = true;
    for (let n = p.frames; n--; ) {
      if (p.frames > 1) p.next();
      ok = this.receiveFrame(t, number, p) && ok;
    }
    if (!ok) return this.drop("refused");
    received.mark(t, number, p.eliciting);
    if (this.reliable && p.eliciting && (received.waiting += b.length) >= ackEvery) received.due = t;
    if (this.byPeer && received.eliciting) received.due = t; // acknowledge its close frame at once, so that it can stop
  }

  /** Processes a frame of packet number, and returns whether the packet may be acknowledged. */
  private receiveFrame(t: number, number: number, f: Packet): boolean {
    if (f.kind === frameControl) {
      if (f.chan === controlClose) this.receiveClose(f);
      else if (f.chan === controlGivenUp) this.receiveGivenUp(f);
      else if (f.chan >= controlExtension) this.drop("unknown-frame");
      return true;
    }
    const done = this.over();
    const r = this.receivers[f.chan];
    const old = number < this.staleBefore[f.chan]!;
    if (r && !done && this.sampled < this.awake && r.outdated()) return true;
    const why = done ? "closed" : old ? "stale-channel" : r ? r.receive(t, f) : "unknown-channel";
    if (f.kind === frameFragment) this.ageAt = Math.min(this.ageAt, t + partialAge);
    if (why) this.drop(why);
    return done || old || !why;
  }

  private receiveClose(f: Packet): void {
    if (this.byPeer) return;
    this.byPeer = true;
    this.abandon();
    this.events.closed(f.code, text(f.payload), this.missed);
  }

  private receiveGivenUp(f: Packet): void {
    try {
      this.missed = new Reader(f.payload).varint();
    } catch {
      this.drop("unknown-frame");
    }
  }

  /** Processes an ack block. Returns false if it acknowledges packets that were never sent. */
  private receiveAck(t: number, { largest: low, delay, ranges }: Packet): boolean {
    const f = this.flight;
    const last = f.next - 1;
    const largest = last - ((last - low) & 0xffff);
    let bytes = 0;
    let end = largest;
    for (const n of ranges) end -= n + 1;
    if (end < -1) return false;
    end = largest;
    for (let i = 0; i < ranges.length; end -= ranges[i++]! + 1) {
      if (i % 2 === 0) bytes += this.ackRange(end - ranges[i]!, end);
    }
    if (!bytes) return true;
    const p = f.at(largest);
    if (p?.eliciting && p.sentAt > this.sampled) {
      this.sampled = p.sentAt;
      const own = Math.min(delay * delayUnit, 2 * maxAckDelay);
      if (p.sentAt >= this.awake) {
        this.loss.sample(Math.max(t - p.sentAt, 0.001), own);
        this.cc.sample(t, Math.max(t - p.sentAt - own, 0.001));
      }
    }
    if (this.loss.silent()) this.outbox.outdate(t);
    this.loss.timeouts = 0;
    this.detect(t, largest);
    this.cc.acked(t, largest, f.next, bytes, this.loss.share);
    f.trim(t - 3 * this.loss.pto(0));
    return true;
  }

  /**
   * Processes one range of an ack block: the packets from low to high have arrived. Returns the bytes of those that had
   * to be acknowledged.
   */
  private ackRange(low: number, high: number): number {
    const { flight, loss, received } = this;
    let bytes = 0;
    for (let n = Math.max(low, flight.base()); n <= high; n++) {
      const p = flight.at(n)!;
      if (p.phase === packetAcked) continue;
      if (p.phase === packetLost) loss.reordered(high - n + 1);
      if (p.eliciting) bytes += p.len;
      loss.acked(p);
      flight.land(p, packetAcked);
      received.confirmed(p.ackTop);
      if (p.closing) {
        this.closeLeft = 0; // the peer knows
        this.closeAt = Infinity;
      }
      this.outbox.acked(p);
    }
    return bytes;
  }

  /** Finds the packets that are lost, given that packet largest is acknowledged, and sets the time of the next look. */
  private detect(t: number, largest: number): void {
    const { flight, loss } = this;
    const delay = loss.lossDelay();
    const top = (this.largestAcked = Math.max(this.largestAcked, largest));
    loss.lossAt = Infinity;
    if (this.reliable) return;
    for (const p of flight.packets) {
      if (p.number >= top) break;
      if (p.phase !== packetFlying || !p.eliciting) continue;
      if (top - p.number >= loss.threshold || p.sentAt + delay <= t) this.losePacket(p);
      else loss.lossAt = Math.min(loss.lossAt, p.sentAt + delay);
    }
  }

  private losePacket(p: SentPacket): void {
    this.loss.lost(p);
    this.flight.land(p, packetLost);
    this.outbox.lost(p);
  }

  // ---- time ------------------------------------------------------------------------------------------------------

  /** Returns when advance must be called; Infinity means never. */
  deadline(): number {
    const { received, loss, flight } = this;
    if (this.over()) return this.byPeer ? received.due : Math.min(this.closeAt, received.due);
    return Math.min(
      received.due,
      loss.lossAt,
      this.ageAt,
      flight.count ? loss.ptoAt() : this.ping ? Infinity : this.heard + this.config.keepAlive,
      this.work ? this.cc.ready() : Infinity,
    );
  }

  /**
   * Makes an acknowledgement due now that is due within ackSlack, because its caller is running anyway. If there is
   * one, returns when the next is expected to be due; otherwise Infinity.
   */
  hasten(t: number): number {
    const { received, heard, gap } = this;
    if (received.due >= t + ackSlack) return Infinity;
    received.due = t;
    return Math.max(t, heard + gap - ackSlack / 2) + maxAckDelay;
  }

  /** Tells the Mux the time. */
  advance(t: number): void {
    const { flight, loss } = this;
    if (this.over()) return;
    if (t >= this.ageAt) {
      this.ageAt = Infinity;
      this.receivers.forEach((r) => (this.ageAt = Math.min(this.ageAt, r.age(t))));
    }
    if (t >= loss.lossAt) this.detect(t, this.largestAcked);
    if (flight.count && t >= loss.ptoAt()) this.probe(t);
    if (!flight.count && t >= this.heard + this.config.keepAlive) this.ping = true;
  }

  /**
   * Sends the oldest and the newest reliable content that is not acknowledged again, or a ping if there is none,
   * because no acknowledgement has arrived for too long.
   */
  private probe(t: number): void {
    const again = (p: SentPacket): boolean => this.outbox.again(p);
    this.loss.timeout(t, this.received.loss);
    if (this.loss.silent()) {
      this.outbox.outdate(t);
      this.ping = true; // in case nothing else fits a tiny packet
    }
    if (this.flight.packets.some(again)) this.flight.packets.findLast(again);
    else this.ping = true;
  }

  /**
   * Records that the program did not run for a while, until t. Packets that arrive now may have waited as long: their
   * unreliable messages are dropped until the peer has answered something newer. Until then answers are not used to
   * measure round trips.
   */
  slept(t: number): void {
    this.awake = t;
    this.ping = true;
    this.loss.probes ||= 1;
    this.outbox.outdate(t);
  }

  /** Returns whether the peer has acknowledged something that was sent at t or later. */
  answered(t: number): boolean {
    return this.sampled >= t;
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Closes the link. Queued messages are not sent any more. append then returns packets with a close frame. */
  close(t: number, code: number, reason: string): void {
    if (this.over()) return;
    this.ending = true;
    this.code = code;
    this.closing = cut(reason, maxCloseText);
    this.closeLeft = this.reliable ? 2 : closeRepeats;
    if (this.reliable) this.closeGap = closePatience;
    this.closeAt = t;
    this.abandon();
  }

  /** Drops all messages of both directions. */
  private abandon(): void {
    this.givenUp += this.outbox.unsettled();
    this.outbox.abandon();
    this.flight.forget();
    this.receivers.forEach((r) => {
      r.partials.clear();
      r.bytesHeld = 0;
    });
  }

  /** Returns whether one end has closed the link. */
  private over(): boolean {
    return this.ending || this.byPeer;
  }

  /**
   * Returns whether the link is closed: the peer has closed it, the peer has acknowledged the close frame of this end,
   * or this end has sent its last close frame.
   */
  closed(): boolean {
    return this.byPeer || (this.ending && !this.closeLeft);
  }

  // ---- figures ---------------------------------------------------------------------------------------------------

  stats(): Omit<Stats, "link"> {
    const { outbox, loss } = this;
    return {
      ...this.counts,
      retransmits: outbox.retransmits,
      copies: outbox.copies,
      rtt: loss.smoothed,
      lossOut: loss.share,
      lossIn: this.received.loss,
      rate: this.cc.rate(),
      packetLimit: loss.budget,
      queued: outbox.senders.reduce((n, s) => n + s.cost, 0),
      held: this.receivers.reduce((n, r) => n + r.bytesHeld, 0),
      drops: { ...this.drops },
    };
  }

  channelStats(ch: number): ChannelStats {
    return { ...(this.receivers[ch] ?? this.outbox.senders[ch]!).counted };
  }

  drop(why: DropReason): void {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
  }
}

/** Returns s in UTF-8, cut to n bytes. */
export function cut(s: string, n: number): Uint8Array {
  const b = new Uint8Array(n);
  return b.subarray(0, new TextEncoder().encodeInto(s, b).written);
}
