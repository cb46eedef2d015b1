import { type Body } from "./frame";
import { maxPacket } from "./packet";
import { type ChannelStats, channelStats } from "./stats";
import { type FullChannel, isReliable, messageCost } from "./table";

/**
 * What became of a message. "lost" is a guess: it may have arrived and its acknowledgement not. "abandoned" is one that
 * the session ended before: it may have arrived, too.
 */
export type Fate = "delivered" | "lost" | "expired" | "replaced" | "dropped" | "abandoned";

// What became of a piece of a message.
export const pieceUnsent = 0;
export const pieceFlying = 1;
export const pieceLost = 2; // to be sent again
export const pieceAcked = 3;

/** A piece is a message that fits a packet, or a fragment of one that does not. */
export interface Piece {
  m: Message;
  i: number; // which one of it
  state: number;
  copies: number; // redundant ones since it was last sent for need
  number: number; // the last packet it was in
  at: number; // when it was last sent for need
}

/** A message is one that was given to send, until nothing more is to be learned about it. */
export interface Message extends Body {
  s: Sender;
  list: Message[]; // of the sender, in which it is
  over: boolean; // it is in none any more
  key: number | string;
  deadline: number;
  queued: number; // when
  receipt: ((fate: Fate, sent: boolean) => void) | undefined;
  pieces: Piece[];
  sent: number; // pieces that were sent at least once
  left: number; // pieces that were not acknowledged
  lost: number; // pieces to send again
}

/** What a message counts against queueLimit. */
export const cost = (m: Message): number => m.size + messageCost;

/**
 * How many messages may be unacknowledged from the oldest on; what is beyond it a receiver refuses.
 */
export const sendWindow = 4096;

/** Sender is the sending half of a channel. */
export class Sender {
  readonly queue: Message[] = []; // not sent yet, but for the first, which may be sent in part
  readonly waiting: Message[] = []; // sent, and something is still to be learned: oldest first
  readonly keyed = new Map<number | string, Message>(); // the newest with each key
  cost = 0; // of both, and what counts against queueLimit
  lost = 0; // pieces of waiting and of the first in queue to send again
  nextID = 0;
  active = false; // may have something to send
  pass = 0; // bytes sent over weight: the smallest goes first
  tokens = 0; // of the guaranteed share
  readonly stats: ChannelStats = channelStats();
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
   * The queued message that a new one with this key makes useless. One that has been sent in part is finished, or a
   * stream of large messages on a slow link would never deliver any.
   */
  replaced(key: number | string): Message | undefined {
    const m = this.keyed.get(key);
    return m?.sent ? undefined : m;
  }

  /** The piece that goes next, and gives its message an id. */
  next(): Piece | undefined {
    if (this.lost) return (this.waiting.find((m) => m.lost) ?? this.queue[0]!).pieces.find((q) => q.state === pieceLost);
    const m = this.queue[0];
    const oldest = this.waiting[0];
    if (!m) return;
    if (!m.sent) {
      if (oldest && this.reliable && this.nextID - oldest.id >= sendWindow) return;
      m.id = this.nextID;
    }
    return m.pieces[m.sent]; // fragments of a message leave in order
  }

  /** How often a message may ride again: as often as it takes that one in ten thousand is lost each time, 2 to 6. */
  copies(loss: number): number {
    return this.cfg.copies || Math.min(6, Math.max(2, Math.ceil(Math.log(0.0001) / Math.log(loss) - 1)));
  }

  /** Whether anything is left of the guaranteed share, which may save up for a quarter of a second. */
  share(t: number): boolean {
    const rate = this.cfg.guarantee;
    this.tokens = Math.min(Math.max(rate / 4, 2 * maxPacket), this.tokens + (rate * (t - this.refilled)) / 1000);
    this.refilled = t;
    return this.tokens > 0;
  }
}
