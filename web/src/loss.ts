// Packets are lost when one three or more newer was acknowledged, or a newer one was and they are an eighth
// older than a round trip. https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
const packetThreshold = 3;
const maxPacketThreshold = 256;
const maxProbes = 10;
const lossMemory = 64; // packets over which the share of losses is smoothed

/** The share of losses from where on redundancy pays. */
export const lossyShare = 0.01;

/** Recovery says when to look for lost packets and when to probe. */
export class Recovery {
  lossAt = Infinity; // when the next packet is old enough to be lost
  lastSent = 0; // of an eliciting packet
  timeouts = 0; // probes on end without an answer
  probes = 0; // packets that may leave whatever the pacer says
  threshold = packetThreshold; // grows when the link turns out to reorder
  share = 0; // of packets lost, smoothed

  resolved(lost: number): void {
    this.share += (lost - this.share) / lossMemory;
  }

  /** How often the wait for an answer has been stretched. On a link that loses, two timeouts on end mean little. */
  backoff(): number {
    return this.share > lossyShare ? Math.max(0, this.timeouts - 2) : this.timeouts;
  }

  /**
   * Takes note of a timeout. Two packets may leave, or as many as it takes that an answer to one is likely at the losses
   * of late, of which each way is taken to have the worse; and one more for each timeout before.
   */
  timeout(t: number, lossIn: number): void {
    const fails = 1 - (1 - Math.max(this.share, lossIn)) ** 2;
    let n = 2;
    for (let all = fails * fails; n < maxProbes && all > 0.05; all *= fails) n++;
    this.probes = Math.min(n + this.timeouts, maxProbes);
    this.timeouts++;
    this.lastSent = t; // the next one counts from here even if nothing can leave
  }

  /** Takes note that a packet that was taken for lost came n behind another. */
  reordered(n: number): void {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
}
