import { maxAckDelay, Received } from "./ack";
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
import { type FullChannel } from "./table";
import { Reader, Writer } from "./varint";

// A close frame is sent closeRepeats times, further and further apart, until an acknowledgement of one comes: the link
// may go away at any moment.
export const closeRepeats = 6;
const ackSlack = 5; // ms that an acknowledgement may leave early for, to save a timer
export const closeInterval = 20;

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
  /** missed is how many bytes of reliable messages the peer gave up. */
  closed(code: number, reason: string, missed: number): void;
}

/**
 * Mux is one end of a link: it gives promises to datagrams that get lost. It does no I/O and reads no clock. Give it
 * datagrams with receive and messages with send, then take packets with append until it has none, and call advance
 * when deadline has come. It calls back from within receive, send, append and advance, and must not be called from
 * there, but for send.
 */
export class Mux {
  readonly outbox = new Outbox();
  heard = 0; // when the last packet came
  private gap = 0; // between the last two
  slow = false; // the link below keeps back what it is given
  readonly counts = { packetsOut: 0, packetsIn: 0, bytesOut: 0, bytesIn: 0, links: -1 };

  readonly receivers: Receiver[] = [];
  private readonly drops: Partial<Record<DropReason, number>> = {};

  // The link, all of it new after relink.
  private received!: Received;
  private flight = new Flight();
  loss!: Recovery;
  private cc!: Congestion;
  private largestAcked = 0;
  private sampled = -1; // when the newest packet that gave a round trip was sent
  private awake = -1; // since when, after a sleep
  private askedAt = 0; // when a lone ack last asked for an ack of its own
  private ping = false; // one is due
  private work = false; // there was something to send that could not leave
  private ageAt = Infinity; // when an incomplete message may have grown too old

  // The end.
  private byPeer = false; // the peer has closed
  private closing = nothing; // our reason, once ending
  private code = 0;
  private ending = false; // we have closed
  givenUp = 0; // bytes of our reliable messages, once one end has closed
  private missed = 0; // the peer's, as it has said
  private closeLeft = 0; // close frames to send
  private closeAt = Infinity; // when
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

  /** Adds a channel. The peer must do the same before anything of it comes there. */
  open(c: FullChannel): void {
    const [mine, theirs] = this.config.server ? ["to-client", "to-server"] : ["to-server", "to-client"];
    const { stats } = this.outbox.open(c, c.direction !== theirs);
    const i = this.receivers.length;
    this.receivers.push(
      new Receiver(
        c,
        c.direction !== mine,
        stats,
        (b) => this.events.message(i, b),
        (why) => this.drop(why),
      ),
    );
  }

  /**
   * Starts over on a new link, to the same peer, which does the same. All that was not acknowledged is sent again, and
   * what had arrived is not delivered again; unreliable messages under way on the old link are lost.
   */
  relink(t: number, rtt: number): void {
    const { rate, floor, ceiling } = this.config;
    this.counts.links++;
    for (const p of this.flight.packets) this.outbox.forgotten(p);
    this.received = new Received();
    this.flight = new Flight();
    this.loss = new Recovery(rtt);
    this.cc = congestion(t, rate, floor, ceiling);
    this.largestAcked = 0;
    this.sampled = this.awake = -1;
    this.heard = t;
    this.ping = false;
    if (this.closeLeft) this.closeAt = t;
  }

  /** Queues a copy of b. Take it with append. */
  send(t: number, ch: number, b: Uint8Array, o?: MessageOptions): void {
    if (this.over()) throw new SendError("closed", "the session has ended: conn.closed says why");
    this.outbox.send(t, ch, b, o);
  }

  // ---- packets out -----------------------------------------------------------------------------------------------

  /** Writes the next packet into b and returns its length; 0 means that there is nothing to say now. */
  append(t: number, b: Uint8Array): number {
    const { flight, out: w, received, loss } = this;
    for (; flight.packets.length >= maxFlight; flight.packets.shift()) {
      const old = flight.packets[0]!;
      if (old.state === packetFlying && old.eliciting) this.losePacket(old);
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
      // Room for the largest piece. Of a small packet that is most, so only if there is one to send.
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
    p.size = w.n;
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

  /** Whether append would have nothing to say. */
  idle(t: number): boolean {
    this.work = false;
    this.outbox.quiet = this.slow && this.loss.silent();
    return t < this.received.due && !this.over() && !this.wants(t);
  }

  /** Whether congestion control lets a packet leave. */
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

  /** Whether there may be more to send than an ack block. */
  private wants(t: number): boolean {
    return this.ping || this.loss.probes > 0 || this.outbox.hasWork(t);
  }

  /** Appends what the channels have, then what may ride along. */
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
   * Makes a packet of nothing but an ack block worth an answer, once a round trip, when the block has grown to eight
   * more ranges: what the peer knows need not be repeated.
   */
  private askForAck(w: Writer, t: number, p: SentPacket): void {
    if (this.received.ranges.length < 17 || t < this.askedAt + this.loss.smoothed || this.over()) return;
    this.askedAt = t;
    p.eliciting = true;
    w.byte(controlPing);
  }

  /** Appends the close frame if it is time for one. */
  private appendClose(w: Writer, t: number): boolean {
    if (t < this.closeAt) return false;
    this.closeAt = --this.closeLeft ? t + this.closeGap : Infinity;
    this.closeGap *= 2;
    if (this.givenUp) appendGivenUp(w, this.givenUp);
    appendClose(w, this.code, this.closing);
    return true;
  }

  // ---- packets in ------------------------------------------------------------------------------------------------

  /** Takes a datagram. One that is not well-formed is counted and has no effect. */
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
      ok = this.receiveFrame(t, p) && ok;
    }
    if (!ok) return this.drop("refused");
    received.mark(t, number, p.eliciting);
    if (this.byPeer && received.eliciting) received.due = t; // tell it at once that it can stop
  }

  /** Reports whether the frame's packet may be acknowledged. */
  private receiveFrame(t: number, f: Packet): boolean {
    if (f.kind === frameControl) {
      if (f.channel === controlClose) this.receiveClose(f);
      else if (f.channel === controlGivenUp) this.receiveGivenUp(f);
      else if (f.channel >= controlExtension) this.drop("unknown-frame");
      return true;
    }
    const done = this.over();
    const r = this.receivers[f.channel];
    if (r && !done && this.sampled < this.awake && r.outdated()) return true;
    const why = done ? "closed" : r ? r.receive(t, f) : "unknown-channel";
    if (f.kind === frameFragment) this.ageAt = Math.min(this.ageAt, t + partialAge);
    if (why) this.drop(why);
    return done || !why;
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

  /** Applies an ack block. It reports whether the block is possible. */
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
    if (p?.eliciting && p.at > this.sampled) {
      this.sampled = p.at;
      const own = Math.min(delay * delayUnit, 2 * maxAckDelay);
      if (p.at >= this.awake) {
        this.loss.sample(Math.max(t - p.at, 0.001), own);
        this.cc.sample(t, Math.max(t - p.at - own, 0.001));
      }
    }
    if (this.loss.silent()) this.outbox.outdate(t);
    this.loss.timeouts = 0;
    this.detect(t, largest);
    this.cc.acked(t, largest, f.next, bytes, this.loss.share);
    f.trim(t - 3 * this.loss.pto(0));
    return true;
  }

  /** Takes the packets from low to high as arrived, and returns the bytes of those that wanted to be acknowledged. */
  private ackRange(low: number, high: number): number {
    const { flight, loss, received } = this;
    let bytes = 0;
    for (let n = Math.max(low, flight.base()); n <= high; n++) {
      const p = flight.at(n)!;
      if (p.state === packetAcked) continue;
      if (p.state === packetLost) loss.reordered(high - n + 1);
      if (p.eliciting) bytes += p.size;
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

  /** Takes for lost what is too far behind largest, and sets the time to look again. */
  private detect(t: number, largest: number): void {
    const { flight, loss } = this;
    const delay = loss.lossDelay();
    const top = (this.largestAcked = Math.max(this.largestAcked, largest));
    loss.lossAt = Infinity;
    for (const p of flight.packets) {
      if (p.number >= top) break;
      if (p.state !== packetFlying || !p.eliciting) continue;
      if (top - p.number >= loss.threshold || p.at + delay <= t) this.losePacket(p);
      else loss.lossAt = Math.min(loss.lossAt, p.at + delay);
    }
  }

  private losePacket(p: SentPacket): void {
    this.loss.lost(p);
    this.flight.land(p, packetLost);
    this.outbox.lost(p);
  }

  // ---- time ------------------------------------------------------------------------------------------------------

  /** When advance must be called; Infinity is never. */
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
   * Makes an acknowledgement due that soon is, for somebody who is up anyway. If there is one it returns when the next
   * will be, when packets go on as they do, or else Infinity.
   */
  hasten(t: number): number {
    const { received, heard, gap } = this;
    if (received.due >= t + ackSlack) return Infinity;
    received.due = t;
    return Math.max(t, heard + gap - ackSlack / 2) + maxAckDelay;
  }

  /** Tells the Mux that time has passed. */
  advance(t: number): void {
    const { flight, loss } = this;
    if (this.over()) return;
    if (t >= this.ageAt) {
      this.ageAt = Infinity;
      for (const r of this.receivers) this.ageAt = Math.min(this.ageAt, r.age(t));
    }
    if (t >= loss.lossAt) this.detect(t, this.largestAcked);
    if (flight.count && t >= loss.ptoAt()) this.probe(t);
    if (!flight.count && t >= this.heard + this.config.keepAlive) this.ping = true;
  }

  /**
   * Sends the oldest and the newest unacknowledged content again, or a ping if there is none that would be missed:
   * nothing was heard for too long.
   */
  private probe(t: number): void {
    const again = (p: SentPacket): boolean => this.outbox.again(p);
    this.loss.timeout(t, this.received.loss);
    if (this.loss.silent()) {
      this.outbox.outdate(t);
      this.ping = true; // if nothing else fits a tiny packet
    }
    if (this.flight.packets.some(again)) this.flight.packets.findLast(again);
    else this.ping = true;
  }

  /**
   * Takes note that nobody looked for a while. What comes now may have waited as long, and what is unreliable of it is
   * of no use, until the peer has answered to something newer. Nor do answers tell of round trips.
   */
  slept(t: number): void {
    this.awake = t;
    this.ping = true;
    this.loss.probes ||= 1;
    this.outbox.outdate(t);
  }

  /** Whether the peer has answered to something that was sent at t or later. */
  answered(t: number): boolean {
    return this.sampled >= t;
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Ends the link. What is queued is not sent any more. append then has the close frame, a few times. */
  close(t: number, code: number, reason: string): void {
    if (this.over()) return;
    this.ending = true;
    this.code = code;
    this.closing = cut(reason, maxCloseText);
    this.closeLeft = closeRepeats;
    this.closeAt = t;
    this.abandon();
  }

  /** Forgets all messages of both ways. */
  private abandon(): void {
    this.givenUp += this.outbox.unsettled();
    this.outbox.abandon();
    this.flight.forget();
    for (const r of this.receivers) {
      r.partials.clear();
      r.held = 0;
    }
  }

  /** Whether one end has closed. */
  private over(): boolean {
    return this.ending || this.byPeer;
  }

  /** Whether the peer has closed, or knows that we have, or has been told often enough. */
  closed(): boolean {
    return this.byPeer || (this.ending && !this.closeLeft);
  }

  // ---- figures ---------------------------------------------------------------------------------------------------

  stats(): Stats {
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
      held: this.receivers.reduce((n, r) => n + r.held, 0),
      drops: { ...this.drops },
    };
  }

  channelStats(ch: number): ChannelStats {
    return { ...this.receivers[ch]!.stats };
  }

  private drop(why: DropReason): void {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
  }
}

/** s in UTF-8, as much of it as fits n bytes. */
export function cut(s: string, n: number): Uint8Array {
  const b = new Uint8Array(n);
  return b.subarray(0, new TextEncoder().encodeInto(s, b).written);
}
