import { type RTT } from "./rtt";
import { maxPacket } from "./wire";

const bandwidthRounds = 10;
const minRound = 50;
const minRTTAge = 10_000;
const shortWait = 10; // what packets may wait, with what a packet takes
const longWait = 40;
const maxPacketTime = 40;
const maxChance = 200;
const calmRounds = 15;

/** Round is what one round has shown so far. */
interface Round {
  end: number; // the first packet of the next one
  at: number;
  delivered: number; // at its beginning
  sent: number; // bytes
  limited: boolean; // more could have been sent
  shortest: number;
  steady: number; // the longest that three round trips on end exceeded
}

/**
 * Congestion decides how many bytes per second may be sent. It watches two things: whether packets begin to wait in
 * a queue on the way, and how fast bytes arrive at the other end. Loss alone means nothing: a radio link loses at
 * random.
 *
 * It works in rounds. A round ends when a packet that was sent after its beginning is acknowledged, and no sooner
 * than minRound. At the start the rate doubles each round, until packets wait or doubling no longer helps. After
 * that it grows slowly while it is used up. When packets wait, less than what arrives is sent until the queue should
 * be empty, then a little less than what arrived before.
 *
 * Packets wait when a few round trips on end are longer than the shortest of the last ten seconds: jitter stretches
 * single packets, a queue all of them. What one round trip usually differs from the next by is allowed for. And if
 * packets still wait after the queue should have been drained, there was none.
 */
export class Congestion {
  rate: number; // bytes per second
  round: Round;

  private readonly floor: number;
  private readonly ceiling: number;
  private startup = true;
  private minRTT = 0; // shortest of late, 0 before the first sample
  private minAt = 0;
  private probing = 0; // until then the rate is halved to see the path empty; 0 otherwise
  private delivered = 0; // bytes acknowledged, all told
  private recent = new Float64Array(bandwidthRounds); // what arrived in the last rounds, bytes per second
  private rounds = 0;
  private jitter = 0; // what one round trip differs from the next by, smoothed
  private last = 0; // the last two round trips
  private lastButOne = 0;
  private stalled = 0; // rounds on end of the start in which doubling did not help
  private calm = 0; // rounds of growth on end
  private resume = 0; // the rate to go on with when the queue is drained; 0 otherwise
  private drainUntil = 0;
  private before = 0; // the rate before that
  private waited = 0; // what packets waited then
  private chance = 0; // what they wait though no queue of ours is there
  private slowRate = 0; // smoothed over rounds that were limited
  private slowDelivery = 0;
  private refRate = 0; // what they were when delivery last followed
  private refDelivery = 0;

  constructor(rate: number, floor: number, ceiling: number) {
    this.floor = floor;
    this.ceiling = ceiling;
    this.rate = this.clamp(rate);
    this.round = this.begin(0, 0);
  }

  private clamp(rate: number): number {
    return Math.min(Math.max(rate, this.floor), this.ceiling);
  }

  /**
   * How many bytes may be under way: what fills the path twice, and a few packets more. Where acknowledgements are
   * lost, too, as many as make an answer likely: or a sender whose window is full of packets that have long arrived
   * waits for one timeout after the other.
   */
  window(r: RTT, loss: number): number {
    const slack = 3 + 80 * Math.max(0, Math.min(loss, 0.5) - 0.3);
    return (this.rate * (2 * (this.minRTT || r.smoothed) + 30)) / 1000 + slack * maxPacket;
  }

  /** The rate that packets leave at now. */
  pace(): number {
    return this.probing ? Math.max(this.rate / 2, this.floor / 2) : this.rate;
  }

  /** What packets may wait at most: a little, and what a packet of ours takes on the link itself or what is chance. */
  private allowance(): number {
    const packet = (maxPacket / this.rate) * 1000;
    const j = this.jitter;
    return shortWait + Math.max(Math.min(packet, maxPacketTime), Math.min(Math.max(4 * j, Math.min(this.chance, 10 * j)), maxChance));
  }

  /** Takes a round trip. */
  sample(t: number, d: number): void {
    const r = this.round;
    r.shortest = Math.min(r.shortest, d);
    r.steady = Math.max(r.steady, Math.min(d, this.last, this.lastButOne));
    if (this.last) this.jitter += (Math.abs(d - this.last) - this.jitter) / 16;
    this.lastButOne = this.last;
    this.last = d;
    if (this.minRTT === 0 || d <= this.minRTT) {
      this.minRTT = d;
      this.minAt = t;
    }
  }

  /**
   * How much longer than allowed packets wait in this round. A sender that does not use its rate up fills no queue,
   * unless the link is narrower than that.
   */
  private excess(): number {
    const r = this.round;
    const allowed = this.minRTT + this.allowance();
    const e = r.steady - allowed;
    return r.limited ? e : Math.min(e, r.shortest - allowed - this.minRTT / 2 - longWait);
  }

  /** Takes what one ack block told: largest is the newest packet in it, loss the share of packets lost of late. */
  acked(t: number, largest: number, next: number, bytes: number, loss: number): void {
    this.delivered += bytes;
    const r = this.round;
    if (r.at) {
      const early = r.limited && !this.resume && t - r.at > minRound / 2 && this.excess() > 0;
      if (!early && (largest < r.end || t - r.at < minRound)) return;
      const span = (t - r.at) / 1000;
      // To wait for the pacer now and then is not to use up the rate.
      r.limited &&= r.sent > 0.7 * this.pace() * span;
      this.judge(t, (this.delivered - r.delivered) / span, loss);
    }
    this.round = this.begin(t, next);
  }

  private begin(t: number, next: number): Round {
    return { end: next, at: t, delivered: this.delivered, sent: 0, limited: false, shortest: Infinity, steady: 0 };
  }

  /** Ends a round in which rate bytes per second arrived. */
  private judge(t: number, rate: number, loss: number): void {
    const before = this.delivery();
    const limited = this.round.limited;
    if (limited || rate > before) this.recent[this.rounds++ % bandwidthRounds] = rate;
    this.refresh(t);
    const excess = this.excess();
    // Jitter moves what arrives from round to round, too; and some of it was lost at random.
    const steady = excess <= longWait ? Math.max(rate, before) : rate;
    const arrived = Math.min(this.rate, Math.max(this.floor, steady / (1 - Math.min(loss, 0.5))));
    if (this.probing) return;
    if (this.resume) {
      // The round may still have seen the queue.
      if (this.round.at < this.drainUntil) return;
      this.learn();
      this.rate = this.clamp(this.resume);
      this.resume = 0;
    } else if (this.startup && excess > 0) {
      this.startup = false;
      this.drain(t, arrived, 0.5, 0.85);
    } else if (this.startup) {
      this.start(rate, before, arrived);
    } else if (excess > longWait) {
      this.drain(t, arrived, 0.4, 0.7);
    } else if (excess > 0) {
      this.drain(t, arrived, 0.7, 0.9);
    } else if (limited && this.follows(rate)) {
      this.grow();
    } else if (limited) {
      this.rate = this.clamp(0.7 * this.rate);
      this.calm = 0;
    }
  }

  /**
   * Raises the rate by 2 % and a little more, so that of two senders the slower one gains. After a while in which no
   * queue came of it the steps get larger.
   */
  private grow(): void {
    this.calm++;
    this.chance -= this.chance / 64;
    const step = 0.02 + 0.01 * Math.min(Math.max(this.calm - calmRounds, 0), 6);
    this.rate = this.clamp(this.rate * (1 + step) + Math.min(600, this.rate / 50));
  }

  /** Doubles the rate while that helps. */
  private start(rate: number, before: number, arrived: number): void {
    if (!this.round.limited) return;
    this.stalled = rate < before * 1.25 ? this.stalled + 1 : 0;
    if (this.stalled >= 3 || this.rate >= this.ceiling) {
      this.startup = false;
      this.rate = this.clamp(arrived);
    } else {
      this.rate = this.clamp(Math.min(2 * this.rate, Math.max(this.rate, 3 * arrived)));
    }
  }

  /** Sends a share of what arrives until the queue should be empty, and then goes on with another. */
  private drain(t: number, arrived: number, share: number, resume: number): void {
    this.before = this.rate;
    this.waited = this.round.steady - this.minRTT;
    this.drainUntil = t + this.minRTT + minRound + this.waited / (1 - share);
    this.resume = Math.max(resume * arrived, this.floor);
    this.rate = this.clamp(share * arrived);
    this.calm = 0;
  }

  /**
   * Asks, when the queue should be empty, whether there was any. If packets wait as before though little was sent, the
   * rate goes on as it was, and such a wait is allowed for. It must be one that the jitter explains, and the jitter
   * more than our own packets make: or two senders would take each other's queue for chance.
   */
  private learn(): void {
    const left = this.round.steady - this.minRTT;
    const { waited, jitter } = this;
    if (left < waited / 2 || left > 2 * waited || waited > 10 * jitter || jitter < (2000 * maxPacket) / this.before) {
      this.chance /= 2;
      return;
    }
    this.chance = Math.max(this.chance, left);
    this.resume = this.before;
  }

  /**
   * Whether what arrives still grows with what is sent. A policer that drops what is too much, without a queue,
   * shows itself here only.
   */
  private follows(rate: number): boolean {
    if (!this.slowRate) {
      this.slowRate = this.refRate = this.rate;
      this.slowDelivery = this.refDelivery = rate;
    }
    this.slowRate += (this.rate - this.slowRate) / 8;
    this.slowDelivery += (rate - this.slowDelivery) / 8;
    if (this.slowRate < this.refRate) {
      this.refRate = this.slowRate;
      this.refDelivery = this.slowDelivery;
    }
    if (this.slowRate < 1.25 * this.refRate) return true;
    if (this.slowDelivery < 1.05 * this.refDelivery) {
      this.slowRate *= 0.7;
      this.slowDelivery = Math.min(this.slowDelivery, this.refDelivery);
      return false;
    }
    this.refRate = this.slowRate;
    this.refDelivery = this.slowDelivery;
    return true;
  }

  /**
   * Sees to it that the shortest round trip is not an old one: the path may have changed. For two round trips little
   * is sent, so that a queue of our own does not pass for the path.
   */
  private refresh(t: number): void {
    const r = this.round;
    if (this.probing) {
      if (t < this.probing) return;
      this.probing = 0;
      this.minRTT = Math.min(r.shortest, 10_000);
      this.minAt = t;
    } else if (this.minRTT && t - this.minAt > minRTTAge) {
      if (r.limited) {
        this.probing = t + Math.max(2 * this.minRTT, 200);
      } else if (r.steady) {
        this.minRTT = r.shortest;
        this.minAt = t;
      }
    }
  }

  /** The most bytes per second that arrived in one of the last rounds. */
  delivery(): number {
    return Math.max(...this.recent);
  }
}

// The share of the rate up to which copies may fill packets: on a narrow link they must not stand in the way of what
// is new.
const spareShare = 0.85;

/** Pacer spreads packets over time: no more than two leave at once, or what a millisecond carries if that is more. */
export class Pacer {
  spare = maxPacket; // bytes of copies that may ride along
  private tokens = maxPacket; // bytes; a packet may leave while there are any
  private last: number;

  constructor(t: number) {
    this.last = t;
  }

  refill(t: number, rate: number): void {
    const burst = Math.max(maxPacket + 1, rate / 1000);
    this.tokens = Math.min(burst, this.tokens + (rate * (t - this.last)) / 1000);
    this.spare = Math.min(2 * maxPacket, this.spare + (spareShare * rate * (t - this.last)) / 1000);
    this.last = t;
  }

  open(): boolean {
    return this.tokens > 0;
  }

  spend(n: number): void {
    this.tokens -= n;
    this.spare = Math.max(-2 * maxPacket, this.spare - n);
  }

  /** When the next packet may leave. */
  ready(rate: number): number {
    return this.open() ? this.last : this.last + ((1 - this.tokens) / rate) * 1000;
  }
}
