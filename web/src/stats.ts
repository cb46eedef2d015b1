// Why something that came was not used: the indexes of Stats.drops. The first five drop a packet, the others a frame.
export const dropMalformed = 0;
export const dropDuplicate = 1;
export const dropAck = 2; // of what was never sent
export const dropClosed = 3; // after the end
export const dropRefused = 4; // for one of its frames
export const dropUnknownChannel = 5;
export const dropDirection = 6;
export const dropKind = 7; // not one of the channel's mode
export const dropTooLarge = 8;
export const dropMismatch = 9; // with an earlier fragment
export const dropWindow = 10;
export const dropBudget = 11;
export const dropEvicted = 12; // an incomplete message, for a newer one
export const dropAged = 13; // an incomplete message
export const dropUnknownFrame = 14;

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
  /**
   * What came and was not used. Packets: malformed, came before, acknowledged what was never sent, after the end,
   * refused for a frame. Frames: unknown channel, its direction, its mode, too large, unlike an earlier fragment, too
   * far ahead, over the queue limit, incomplete and pushed out, incomplete and old, unknown.
   */
  drops: readonly number[];
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
