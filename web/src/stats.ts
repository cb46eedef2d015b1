/**
 * Why something that arrived was dropped. The first five drop a packet, the others a frame.
 *
 * - malformed: the packet is malformed, or has another version
 * - duplicate: the packet arrived before, or is older than the last 4096
 * - ack: the packet acknowledges a packet that was never sent
 * - closed: the session was closed before
 * - refused: a frame of the packet was refused, so the packet is not acknowledged
 * - unknown-channel: the table has no such channel
 * - direction: the server may not send on the channel
 * - kind: the kind of the frame does not fit the channel's mode
 * - too-large: the message is larger than maxMessage
 * - mismatch: the fragment contradicts an earlier one
 * - window: the reliable message is too far ahead of the oldest that is missing
 * - budget: queueLimit has no room for the reliable message
 * - evicted: an incomplete unreliable message, dropped for a newer one
 * - aged: an incomplete unreliable message, dropped after 3 s
 * - unknown-frame: an extension frame that this version does not know
 */
export type DropReason =
  | "malformed"
  | "duplicate"
  | "ack"
  | "closed"
  | "refused"
  | "unknown-channel"
  | "direction"
  | "kind"
  | "too-large"
  | "mismatch"
  | "window"
  | "budget"
  | "evicted"
  | "aged"
  | "unknown-frame"
  | "stale-channel";

/** Figures of a session: counters, which only grow, and present values. Times are in milliseconds. */
export interface Stats {
  packetsOut: number;
  packetsIn: number;
  bytesOut: number;
  bytesIn: number;
  /** Pieces of messages sent again because they seemed lost. */
  retransmits: number;
  /** Pieces of messages sent again in spare bytes. */
  copies: number;
  /** Bytes that a packet has at most: fewer where large ones do not arrive. */
  packetLimit: number;
  /** How often the session has begun a link. */
  links: number;
  rtt: number;
  /** Shares of packets lost, smoothed. */
  lossOut: number;
  lossIn: number;
  /** Bytes per second that may be sent. */
  rate: number;
  /** Bytes: waiting in queues or unacknowledged, held for reassembly and order. */
  queued: number;
  held: number;
  /** Packets and frames that were dropped, by reason. A reason that has not occurred is absent. */
  drops: Readonly<Partial<Record<DropReason, number>>>;
}

/** Counters of one channel. */
export interface ChannelStats {
  messagesOut: number;
  messagesIn: number;
  /** Never sent: the deadline passed, the queue was full, a newer one took the place, the session ended. */
  dropped: number;
  /** Came and were older than one delivered. */
  stale: number;
  /** Pieces that came again. */
  duplicates: number;
}

export const channelStats = (): ChannelStats => ({ messagesOut: 0, messagesIn: 0, dropped: 0, stale: 0, duplicates: 0 });
