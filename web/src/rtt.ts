import { maxAckDelay } from "./ack";

// Recovery timers, in ms. A game cannot wait as long as the web can: five milliseconds for the jitter of a quiet
// link, and never more than a second.
const minVariance = 5;
const maxPTO = 1000;

/** RTT estimates the round trip as RFC 9002 does: https://www.rfc-editor.org/rfc/rfc9002.html#section-5 */
export class RTT {
  latest: number;
  smoothed: number;
  variance: number;
  minimum = 0;
  samples = 0;

  /** guess stands in until the first sample. */
  constructor(guess: number) {
    this.latest = this.smoothed = guess;
    this.variance = guess / 2;
  }

  /** Takes one measurement and the delay that the peer says is its own. */
  sample(d: number, delay: number): void {
    if (this.samples++ === 0) {
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

  /** How much older than an acknowledged packet a lost one is. */
  lossDelay(): number {
    return Math.max((Math.max(this.smoothed, this.latest) * 9) / 8, 1);
  }
}
