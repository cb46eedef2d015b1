import { isReliable, messageCost, type FullChannel } from "./channel";
import { type ChannelStats, channelStats } from "./stats";
import { pieces } from "./wire";

/** What became of a message. "lost" is a guess: it may have arrived and its acknowledgement not. */
export type Fate = "delivered" | "lost" | "expired" | "replaced" | "dropped" | "abandoned";

// What became of a piece of a message.
export const pieceUnsent = 0;
export const pieceFlying = 1;
export const pieceLost = 2; // to be sent again
export const pieceAcked = 3;

/** A piece is a message that fits a packet, or a fragment of one that does not. */
export interface Piece {
  state: number;
  copies: number; // redundant ones since it was last sent for need
  number: number; // the last packet it was in
  at: number; // when it was last sent for need
}

const none = new Uint8Array(0);

/** A message is one that was given to send, until nothing more is to be learned about it. Its memory is used again. */
export class Message {
  next: Message | null = null;
  prev: Message | null = null;
  list: List | null = null; // the one it is in
  gen = 0; // which message this is, among those that used this memory
  ch = 0;
  handle = 0;
  id = 0; // on the wire; of no meaning until the first piece is sent
  key: number | string = 0;
  memory = none; // of which body is the beginning
  body = none;
  deadline = Infinity;
  queued = 0;
  receipt = false;
  pieces: Piece[] = [];
  count = 0; // pieces in use
  sent = 0; // pieces that were sent at least once
  acked = 0;
  lost = 0; // pieces to send again

  cost(): number {
    return this.body.length + messageCost;
  }

  /** Whether every piece has been acknowledged. */
  done(): boolean {
    return this.acked === this.count;
  }

  /** Copies b into the message. */
  fill(b: Uint8Array): void {
    if (b.length > this.memory.length || this.memory.length > 4 * b.length + 1024) {
      this.memory = new Uint8Array(Math.max(64, 2 ** Math.ceil(Math.log2(b.length || 1))));
    }
    if (this.body.length !== b.length || this.body.buffer !== this.memory.buffer) {
      this.body = this.memory.subarray(0, b.length);
    }
    this.body.set(b);
    this.count = pieces(b.length);
    this.sent = this.acked = this.lost = 0;
    for (let i = 0; i < this.count; i++) {
      const p = (this.pieces[i] ??= { state: 0, copies: 0, number: 0, at: 0 });
      p.state = p.copies = p.number = 0;
    }
    this.pieces.length = this.count;
  }
}

/** List is a doubly linked list of messages. */
export class List {
  head: Message | null = null;
  tail: Message | null = null;
  n = 0;

  push(m: Message): void {
    m.list = this;
    m.prev = this.tail;
    m.next = null;
    if (this.tail) this.tail.next = m;
    else this.head = m;
    this.tail = m;
    this.n++;
  }

  remove(m: Message): void {
    if (m.prev) m.prev.next = m.next;
    else this.head = m.next;
    if (m.next) m.next.prev = m.prev;
    else this.tail = m.prev;
    m.list = m.prev = m.next = null;
    this.n--;
  }
}

/**
 * How many messages may be unacknowledged from the oldest on; what is beyond it a receiver refuses.
 */
export const sendWindow = 4096;

/** Sender is the sending half of a channel. */
export class Sender {
  readonly queue = new List(); // not sent yet, but for the head, which may be sent in part
  readonly waiting = new List(); // sent, and something is still to be learned: oldest first
  cost = 0; // of both, and what counts against queueLimit
  lost = 0; // pieces of waiting and of the head to send again
  nextID = 0;
  active = false; // may have something to send
  pass = 0; // bytes sent over weight: the smallest goes first
  tokens = 0; // of the guaranteed share
  readonly stats: ChannelStats = channelStats();
  readonly reliable: boolean;
  readonly bare: boolean;

  private refilled = 0;
  private readonly keys = new Map<number | string, Message>(); // queued messages with a key
  private latest: Message | null = null; // a sequenced channel's queued message without one

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
  replaced(key: number | string): Message | null {
    const old = key ? this.keys.get(key) : this.latest;
    return old && old.sent === 0 ? old : null;
  }

  remember(m: Message): void {
    if (m.key) this.keys.set(m.key, m);
    else if (this.cfg.mode === "sequenced") this.latest = m;
  }

  /** Undoes remember. */
  forget(m: Message): void {
    if (m.key && this.keys.get(m.key) === m) this.keys.delete(m.key);
    if (this.latest === m) this.latest = null;
  }

  /** Whether the head of the queue may be sent. */
  inWindow(): boolean {
    const oldest = this.waiting.head;
    return !oldest || !this.reliable || this.nextID - oldest.id < sendWindow;
  }

  /** The oldest message with a piece to send again. */
  firstLost(): Message {
    let m = this.waiting.head;
    while (m && m.lost === 0) m = m.next;
    return m ?? this.queue.head!;
  }

  /** How often a message may ride again: as often as it takes that one in a thousand is lost each time, 2 to 6. */
  copies(loss: number): number {
    return this.cfg.copies || Math.min(6, Math.max(2, Math.ceil(Math.log(0.001) / Math.log(loss) - 1)));
  }

  /** Refills and returns what is left of the guaranteed share. */
  share(t: number, packet: number): number {
    const rate = this.cfg.guarantee;
    const burst = Math.max(rate / 4, 2 * packet); // a quarter of a second
    this.tokens = Math.min(burst, this.tokens + (rate * (t - this.refilled)) / 1000);
    this.refilled = t;
    return this.tokens;
  }

  /** Whether this one goes before o. */
  before(o: Sender, share: boolean, otherShare: boolean): boolean {
    if (share !== otherShare) return share;
    if (this.cfg.priority !== o.cfg.priority) return this.cfg.priority < o.cfg.priority;
    return this.pass < o.pass;
  }
}
