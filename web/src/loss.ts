import { maxAckDelay } from "./ack";
import { maxPacket } from "./packet";
import { fallTurns, leastBudget, retryWide, run, stuckTurns } from "./path";
import { type SentPacket } from "./sent";

// Packets are lost when one three or more newer was acknowledged, or a newer one was and they are an eighth
// older than a round trip. https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
export const packetThreshold = 3;
export const maxPacketThreshold = 256;
export const maxProbes = 10;
export const darkAfter = 5; // timeouts on end: about a second
const tinyPacket = 64;
export const lossMemory = 64; // packets over which the share of losses is smoothed

// Recovery timers, in ms. A game cannot wait as long as the web can: five milliseconds for the jitter of a quiet
// link, and never more than a quarter of a second, which is how late the end of a blackout is noticed.
export const minVariance = 5;
export const maxPTO = 250;

/** The share of losses from where on redundancy pays. */
export const lossyShare = 0.01;

/**
 * Recovery says when to look for lost packets and when to probe. It estimates the round trip as RFC 9002 does:
 * https://www.rfc-editor.org/rfc/rfc9002.html#section-5
 */
export class Recovery {
  lossAt = Infinity; // when the next packet is old enough to be lost
  lastSent = 0; // of an eliciting packet
  timeouts = 0; // probes on end without an answer
  probes = 0; // packets that may leave whatever the pacer says
  threshold = packetThreshold; // grows when the link turns out to reorder
  share = 0; // of packets lost, smoothed

  // How large a packet the link takes.
  budget = maxPacket;
  stuck = false; // packets that cannot be made smaller do not arrive
  private fell = -1; // when the last packet was sent before the budget fell: it does not raise it
  private retryAt = 0; // when one packet tries the larger budget
  private careful = 0; // packets that follow lost large ones and are small: what was lost has to arrive
  private tiny = false; // the next packet shows whether it is for their size that others do not arrive
  private readonly large = run(fallTurns); // of packets above the least budget
  private readonly medium = run(stuckTurns); // of others, above half of it

  smoothed: number; // round trip
  private variance: number;
  private latest: number;
  private minimum = 0; // 0 before the first sample

  /** guess stands in for the round trip until the first sample. */
  constructor(guess: number) {
    this.latest = this.smoothed = guess;
    this.variance = guess / 2;
  }

  /** Takes one measurement and the delay that the peer says is its own. */
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

  /** How long to wait for an acknowledgement after n timeouts before. */
  pto(n: number): number {
    const d = this.smoothed + Math.max(4 * this.variance, minVariance) + maxAckDelay;
    return Math.min(d * 1.5 ** n, Math.max(maxPTO, this.smoothed * 1.25));
  }

  /** When to probe. On a link that loses, two timeouts on end mean little. */
  ptoAt(): number {
    return this.lastSent + this.pto(this.share > lossyShare ? Math.max(0, this.timeouts - 2) : this.timeouts);
  }

  /** How much older than an acknowledged packet a lost one is. */
  lossDelay(): number {
    return Math.max((Math.max(this.smoothed, this.latest) * 9) / 8, 1);
  }

  /** Whether nobody answers: one probe alone may be lost. */
  silent(): boolean {
    return this.timeouts > 1;
  }

  /** How large the next packet may be. A probe is small: it has to arrive. */
  limit(t: number): number {
    return this.tiny ? tinyPacket : this.careful || this.probes ? leastBudget : t < this.retryAt ? this.budget : maxPacket;
  }

  /** Takes note of a packet that wants an acknowledgement. */
  sent({ at, size }: SentPacket): void {
    this.lastSent = at;
    if (!this.tiny) this.probes = Math.max(0, this.probes - 1);
    this.careful = Math.max(0, this.careful - 1);
    this.tiny = false;
    if (size > this.budget) this.retryAt = at + retryWide;
  }

  acked(p: SentPacket): void {
    if (p.eliciting) this.share -= this.share / lossMemory; // one that was taken for lost, too
    this.medium(p, 0);
    if (p.at > this.fell && this.large(p, 0)) this.budget = maxPacket;
  }

  lost(p: SentPacket): void {
    const { size } = p;
    this.share += (1 - this.share) / lossMemory;
    if (size > this.budget) return; // it was to find out
    if (size > leastBudget) {
      this.careful++;
      if (!this.large(p, 1)) return;
      this.budget = leastBudget;
      this.fell = this.lastSent;
    } else if (size > leastBudget / 2) this.stuck ||= this.medium(p, 1);
  }

  /**
   * Takes note of a timeout. Two packets may leave, or as many as it takes that an answer to one is likely at the losses
   * of late, of which each way is taken to have the worse; and one more for each timeout before. When that did not help
   * the link is dark, and one has to do: more would be lost for nothing.
   */
  timeout(t: number, lossIn: number): void {
    const fails = 1 - (1 - Math.max(this.share, lossIn)) ** 2;
    let n = 2;
    for (let all = fails * fails; n < maxProbes && all > 0.05; all *= fails) n++;
    this.probes = this.timeouts > darkAfter ? 1 : Math.min(n + this.timeouts, maxProbes);
    this.tiny = this.timeouts++ > 0; // besides them
    this.lastSent = t; // the next one counts from here even if nothing can leave
  }

  /** Takes note that a packet that was taken for lost came n behind another. */
  reordered(n: number): void {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
}
