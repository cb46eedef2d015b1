/** Why something that came was not used. The first five drop a packet, the others a frame. */
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
  | "unknown-frame";

/** Counters of a session, which only grow, and present figures. Times are in milliseconds. */
export interface Stats {
  packetsOut: number;
  packetsIn: number;
  bytesOut: number;
  bytesIn: number;
  /** Packets that carried nothing but an ack block. */
  acksOut: number;
  /** Pieces of messages sent again because they seemed lost. */
  retransmits: number;
  /** Pieces of messages sent again in spare bytes. */
  copies: number;
  packetsLost: number;
  /** Of those, acknowledged after all. */
  spurious: number;
  timeouts: number;
  /** How often the session has moved to a new link. */
  links: number;
  rtt: number;
  rttVar: number;
  minRTT: number;
  /** Shares of packets lost, smoothed. */
  lossOut: number;
  lossIn: number;
  /** Bytes per second that may be sent, and that arrive. */
  rate: number;
  deliveryRate: number;
  /** Bytes: sent and not acknowledged, waiting in queues, held for reassembly and order. */
  inFlight: number;
  queued: number;
  held: number;
  drops: Partial<Record<DropReason, number>>;
}

/** The same for one channel. */
export interface ChannelStats {
  messagesOut: number;
  messagesIn: number;
  bytesOut: number;
  bytesIn: number;
  retransmits: number;
  copies: number;
  /** Dropped from the queue: deadline passed; the queue was full; a newer one took the place. */
  expired: number;
  overflowed: number;
  replaced: number;
  /** Refused by send. */
  overBudget: number;
  /** Came and were older than one delivered. */
  stale: number;
  /** Pieces that came again. */
  duplicates: number;
  /** From send to the first packet, smoothed. */
  queueTime: number;
}

export const channelStats = (): ChannelStats => ({
  messagesOut: 0,
  messagesIn: 0,
  bytesOut: 0,
  bytesIn: 0,
  retransmits: 0,
  copies: 0,
  expired: 0,
  overflowed: 0,
  replaced: 0,
  overBudget: 0,
  stale: 0,
  duplicates: 0,
  queueTime: 0,
});
