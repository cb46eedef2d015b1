// Packets are lost when three newer ones were acknowledged, or a newer one was and they are a ninth older than a
// round trip. https://www.rfc-editor.org/rfc/rfc9002.html#section-6.1
const packetThreshold = 3;
const maxPacketThreshold = 256;
const lossMemory = 64; // packets over which the share of losses is smoothed

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

  /** Takes note that a packet that was taken for lost came n behind another. */
  reordered(n: number): void {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
}
