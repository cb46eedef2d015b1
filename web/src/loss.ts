import { maxAckDelay } from "./ack";
import { maxPacket } from "./packet";
import { fallTurns, leastBudget, retryWide, run, stuckTurns } from "./path";
import { type SentPacket } from "./sent";

// A packet is considered lost if a packet sent after it was acknowledged, and it was sent at least packetThreshold
// packets before that one or is older than 9/8 of a round trip. https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
export const packetThreshold = 3;
export const maxPacketThreshold = 256;
export const maxProbes = 10;
export const darkAfter = 5; // timeouts in a row: about a second
const tinyPacket = 64;
export const lossMemory = 64; // packets over which the share of losses is smoothed

// Recovery timers in ms, shorter than those of the web: minVariance is the jitter of a quiet link, and maxPTO the
// longest wait on a short path; the end of a blackout is noticed within it.
export const minVariance = 5;
export const maxPTO = 250;

/** The share of lost packets above which copies are sent. */
export const lossyShare = 0.01;

/**
 * Recovery says when to look for lost packets and when to probe, and how large packets may be. It estimates the round
 * trip as RFC 9002 does: https://www.rfc-editor.org/rfc/rfc9002.html#section-5
 */
export class Recovery {
  lossAt = Infinity; // when the next packet is old enough to be lost
  lastSent = 0; // when the last packet that must be acknowledged was sent, or the last timeout
  timeouts = 0; // timeouts in a row without an acknowledgement
  probes = 0; // packets that may leave now although congestion control says no
  threshold = packetThreshold; // packetThreshold, or more if the link reorders
  share = 0; // share of packets lost, smoothed

  // The size of packets that the link carries.
  budget = maxPacket;
  stuck = false; // packets within the least budget do not arrive
  private fell = -1; // when the last packet was sent before the budget fell: packets up to then do not raise it
  private retryAt = 0; // when one packet tries the larger budget
  private careful = 0; // next packets that must be small, so that the content of lost large ones arrives
  private tiny = false; // the next packet is tiny, to show whether only larger packets do not arrive
  private readonly large = run(fallTurns); // run of packets above the least budget
  private readonly medium = run(stuckTurns); // run of packets above half of the least budget

  smoothed: number; // round trip, smoothed
  private variance: number;
  private latest: number;
  private minimum = 0; // 0 before the first sample

  /** guess is the round trip until the first sample. On a reliable link nothing is lost, so there is no timeout. */
  constructor(
    guess: number,
    private readonly reliable = false,
  ) {
    this.latest = this.smoothed = guess;
    this.variance = guess / 2;
  }

  /** Adds a measurement d, in which delay is the time that the packet waited at the peer, according to the peer. */
  sample(d: number, delay: number): void {
    if (!this.minimum) {
      this.latest = this.smoothed = this.minimum = d;
      this.variance = d / 2;
      return;
    }
    this.minimum = Math.min(this.minimum, d);
    if (d - delay >= this.minimum) d -= delay;
    this.latest = d;
    this.variance = (3 * this.variance + Math.abs(this.smoothed - d)) / 4;
    this.smoothed = (7 * this.smoothed + d) / 8;
  }

  /** Returns how long to wait for an acknowledgement after n timeouts. */
  pto(n: number): number {
    const d = this.smoothed + Math.max(4 * this.variance, minVariance) + maxAckDelay;
    return Math.min(d * 1.5 ** n, Math.max(maxPTO, this.smoothed * 1.25));
  }

  /**
   * Returns when to probe because no acknowledgement has arrived. On a link that loses packets, two timeouts in a row
   * mean little.
   */
  ptoAt(): number {
    return this.reliable
      ? Infinity
      : this.lastSent + this.pto(this.share > lossyShare ? Math.max(0, this.timeouts - 2) : this.timeouts);
  }

  /** Returns the age after which a packet is lost if a newer one is acknowledged. */
  lossDelay(): number {
    return Math.max((Math.max(this.smoothed, this.latest) * 9) / 8, 1);
  }

  /** Returns whether the peer does not answer: two timeouts in a row, because the probes of one may be lost. */
  silent(): boolean {
    return this.timeouts > 1;
  }

  /** Returns the largest size of the next packet. A probe is small, so that it arrives on every link. */
  limit(t: number): number {
    return this.tiny ? tinyPacket : this.careful || this.probes ? leastBudget : t < this.retryAt ? this.budget : maxPacket;
  }

  /** Records a packet that was sent and must be acknowledged. */
  sent({ sentAt: at, len: size }: SentPacket): void {
    this.lastSent = at;
    if (!this.tiny) this.probes = Math.max(0, this.probes - 1);
    this.careful = Math.max(0, this.careful - 1);
    this.tiny = false;
    if (size > this.budget) this.retryAt = at + retryWide;
  }

  acked(p: SentPacket): void {
    if (p.eliciting) this.share -= this.share / lossMemory; // also for a packet that was considered lost
    this.medium(p, 0);
    if (p.sentAt > this.fell && this.large(p, 0)) this.budget = maxPacket;
  }

  lost(p: SentPacket): void {
    const { len: size } = p;
    this.share += (1 - this.share) / lossMemory;
    if (size > this.budget) return; // it tried the larger budget
    if (size > leastBudget) {
      this.careful++;
      if (!this.large(p, 1)) return;
      this.budget = leastBudget;
      this.fell = this.lastSent;
    } else if (size > leastBudget / 2) this.stuck ||= this.medium(p, 1);
  }

  /**
   * Records a timeout, and sets the number of probes: at least two, and so many that with a chance of 95 % one of them
   * is answered, if both directions lose what the worse one lost recently; and one more for each timeout before. After
   * darkAfter timeouts it is one: the link carries nothing, and more packets would not help.
   */
  timeout(t: number, lossIn: number): void {
    const fails = 1 - (1 - Math.max(this.share, lossIn)) ** 2;
    let n = 2;
    for (let all = fails * fails; n < maxProbes && all > 0.05; all *= fails) n++;
    this.probes = this.timeouts > darkAfter ? 1 : Math.min(n + this.timeouts, maxProbes);
    this.tiny = this.timeouts++ > 0; // in addition to the probes
    this.lastSent = t; // the next timeout counts from here even if nothing can leave
  }

  /** Records that a packet that was considered lost arrived n packets behind another one. */
  reordered(n: number): void {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
}
