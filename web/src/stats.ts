import { type LinkName } from "./options";

/**
 * Why a packet or a frame of the server was dropped. malformed, duplicate, ack and refused count packets, the others
 * frames.
 *
 * - malformed: the packet is malformed, or has another version
 * - duplicate: the packet arrived before, or is older than the last 4096
 * - ack: the packet acknowledges a packet that was never sent
 * - closed: a message that arrived after the session was closed
 * - refused: a frame of the packet was refused, so the packet is not acknowledged
 * - unknown-channel: the table has no such channel
 * - direction: the server may not send on the channel
 * - kind: the kind of the frame does not fit the channel's mode
 * - too-large: the message is larger than maxMessage
 * - mismatch: the fragment contradicts an earlier one
 * - window: a reliable message too far ahead of the oldest that is missing
 * - budget: a reliable message for which queueLimit has no room
 * - evicted: an incomplete unreliable message, dropped for a newer one
 * - aged: an incomplete unreliable message, dropped after 3 s
 * - unknown-frame: an extension frame that this version does not know
 * - stale-channel: a late frame of a closed channel
 * - inflate: a message of a channel with compress that cannot be inflated; the session ends
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
  | "stale-channel"
  | "inflate";

/** The figures of a session: counters, which never decrease, and present values. Times are in milliseconds. */
export interface Stats {
  packetsOut: number;
  packetsIn: number;
  bytesOut: number;
  bytesIn: number;
  /** Pieces of messages sent again because they seemed lost. */
  retransmits: number;
  /** Pieces of messages sent again in free space of packets. */
  copies: number;
  /** Largest size of a packet in bytes: less than 1150 if larger packets do not arrive. */
  packetLimit: number;
  /** Number of links that the session has begun. */
  links: number;
  /** The link that the session uses or used last; "" before the first. */
  link: LinkName | "";
  rtt: number;
  /** Shares of packets lost, 0 to 1, smoothed. */
  lossOut: number;
  lossIn: number;
  /** Bytes per second that may be sent. */
  rate: number;
  /** Bytes in queues or not acknowledged, and bytes held for reassembly and order. */
  queued: number;
  held: number;
  /** Number of packets and frames that were dropped, by reason. A reason that has not occurred is absent. */
  drops: Readonly<Partial<Record<DropReason, number>>>;
}

/** The counters of one channel. */
export interface ChannelStats {
  messagesOut: number;
  messagesIn: number;
  /** Bytes of these messages, as programs send and get them. */
  bytesOut: number;
  bytesIn: number;
  /** Bytes of these messages as packets carry them: fewer if compress makes them smaller. */
  wireOut: number;
  wireIn: number;
  /**
   * Messages that were never sent: the deadline passed, the queue was full, a newer message replaced them, or the
   * session ended.
   */
  dropped: number;
  /**
   * Sequenced messages, or fragments of them, that were older than a delivered one; unreliable messages that were too
   * old after a sleep.
   */
  stale: number;
  /** Pieces that arrived again. */
  duplicates: number;
}

export const channelStats = (): ChannelStats => ({
  messagesOut: 0,
  messagesIn: 0,
  bytesOut: 0,
  bytesIn: 0,
  wireOut: 0,
  wireIn: 0,
  dropped: 0,
  stale: 0,
  duplicates: 0,
});
