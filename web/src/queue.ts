import { firstByte } from "./deflate";
import { type Body } from "./frame";
import { maxPacket } from "./packet";
import { type ChannelStats, channelStats } from "./stats";
import { type FullChannel, isReliable, messageCost } from "./table";

/**
 * The fate of a message:
 *
 * - delivered: the server has all of it
 * - lost: an unreliable message was sent and not acknowledged; it may have arrived
 * - expired: its deadline passed in the queue, or an unreliable message waited too long while the link was silent
 * - replaced: a newer message took its place in the queue
 * - dropped: the queue was full, and it was the oldest message
 * - abandoned: the session ended before an acknowledgement; it may have arrived
 */
export type Fate = "delivered" | "lost" | "expired" | "replaced" | "dropped" | "abandoned";

// The states of a piece of a message.
export const pieceUnsent = 0;
export const pieceFlying = 1;
export const pieceLost = 2; // must be sent again
export const pieceAcked = 3;

/** A piece is a message that fits a packet, or a fragment of one that does not. */
export interface Piece {
  m: Message;
  i: number; // its number in the message
  phase: number;
  sentCopies: number; // copies since it was last sent as new or lost
  number: number; // the last packet that carried it
  sentAt: number; // when it was last sent as new or lost
}

/** A message of send, until its fate is known. */
export interface Message extends Body {
  s: Sender;
  list: Message[]; // the list of the Sender that it is in
  over: boolean; // its fate is known, and it is in no list
  key: number | string;
  expiry: number;
  queued: number; // when it was queued
  plain: number; // length of the message of the program: not len if the channel has compress
  held: boolean; // it is being deflated: it waits, and so do those behind it
  receipt: ((fate: Fate, sent: boolean) => void) | undefined;
  pieces: Piece[];
  sent: number; // pieces that were sent at least once
  left: number; // pieces that are not acknowledged
  lost: number; // pieces that must be sent again
}

/** Returns the bytes of queueLimit that a message uses. */
export const cost = (m: Message): number => m.len + messageCost;

/**
 * The largest distance between the oldest unacknowledged reliable message of a channel and the newest that is sent. A
 * receiver refuses messages beyond it.
 */
export const sendWindow = 4096;

/** Sender is the sending half of a channel. */
export class Sender {
  readonly queue: Message[] = []; // messages not sent yet; the first may be sent in part
  readonly waiting: Message[] = []; // messages sent whole whose fate is not known yet, oldest first
  readonly keyed = new Map<number | string, Message>(); // the newest message with each key
  cost = 0; // bytes of queueLimit that both lists use
  lost = 0; // pieces of waiting and of the first in queue that must be sent again
  wanted = Infinity; // cost of the message that send has refused last; Infinity if there was room since
  nextID = 0;
  active = false; // it may have a piece to send
  shut = false; // the peer has not opened the channel yet: messages wait
  pass = 0; // bytes sent, divided by weight: the channel with the smallest is next
  tokens = 0; // bytes left of the guaranteed share
  readonly counted: ChannelStats = channelStats();
  readonly reliable: boolean;
  readonly bare: boolean;

  private refilled = 0;

  constructor(
    readonly cfg: FullChannel,
    readonly id: number,
    readonly allowed: boolean,
  ) {
    this.reliable = isReliable(cfg.mode);
    this.bare = cfg.mode === "unreliable";
  }

  /**
   * Returns the queued message that a new one with this key replaces. A message that was sent in part is not replaced,
   * or a stream of large messages on a slow link would never deliver any.
   */
  replaced(key: number | string): Message | undefined {
    const m = this.keyed.get(key);
    return m?.sent ? undefined : m;
  }

  /** Returns the size in bytes of the largest message that send accepts now, or -1 if it accepts none. */
  free(): number {
    const { maxMessage, queueLimit } = this.cfg;
    if (!this.allowed) return -1;
    const room = queueLimit - this.cost - messageCost - firstByte(this.cfg);
    return this.reliable ? Math.max(-1, Math.min(maxMessage, room)) : maxMessage;
  }

  /** Returns the piece that is sent next, and gives its message an id. */
  next(): Piece | undefined {
    if (this.lost) return (this.waiting.find((m) => m.lost) ?? this.queue[0]!).pieces.find((q) => q.phase === pieceLost);
    const m = this.queue[0];
    const oldest = this.waiting[0];
    if (!m) return;
    if (!m.sent) {
      if (m.held || (oldest && this.reliable && this.nextID - oldest.id >= sendWindow)) return;
      m.id = this.nextID;
    }
    return m.pieces[m.sent]; // fragments of a message leave in order
  }

  /**
   * Returns how many copies of a message may be sent: so many that with a chance of 1 in 10,000 all of them are lost,
   * but 2 to 6.
   */
  copies(loss: number): number {
    return this.cfg.copies || Math.min(6, Math.max(2, Math.ceil(Math.log(0.0001) / Math.log(loss) - 1)));
  }

  /**
   * Adds the tokens of the time since the last call to the guaranteed share, at most those of a quarter of a second,
   * and returns whether any are left.
   */
  share(t: number): boolean {
    const rate = this.cfg.guarantee;
    this.tokens = Math.min(Math.max(rate / 4, 2 * maxPacket), this.tokens + (rate * (t - this.refilled)) / 1000);
    this.refilled = t;
    return this.tokens > 0;
  }
}

/** What snapshotSender returns: messages only of a reliable channel, first those that were sent. */
export type SavedSender = [nextID: number, messages: SavedMessage[]];
type SavedMessage = [id: number, sent: number, acked: boolean[], key: number | string, deadline: number | null, b: Uint8Array];

/**
 * Returns a snapshot of a Sender. Its deadlines are on the wall clock, which is shift ahead of the clock of the page.
 */
export function snapshotSender({ nextID, reliable, waiting, queue }: Sender, shift: number): SavedSender {
  const message = (m: Message): SavedMessage => {
    const acked = m.pieces.map((q) => q.phase === pieceAcked);
    return [m.id, m.sent, acked, m.key, m.expiry + shift, m.b.subarray(m.start, m.start + m.len)];
  };
  return [nextID, reliable ? [...waiting, ...queue].map(message) : []];
}
