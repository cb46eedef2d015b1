import { firstByte } from "./deflate";
import { frameBare, frameFragment, pieceSize, pieces } from "./frame";
import { type Packet } from "./packet";
import { sendWindow } from "./queue";
import { type ChannelStats, type DropReason } from "./stats";
import { type FullChannel, isReliable, messageCost } from "./table";

export const maxPartials = 32; // incomplete messages of an unreliable channel at most; a further one replaces the oldest
export const partialAge = 3000; // ms after which an incomplete unreliable message is dropped

/** A message that has not been delivered yet: some of its fragments, or all of it before its turn. */
interface PartialMessage {
  id: number;
  left: number; // pieces that have not arrived
  have: boolean[];
  assembled: Uint8Array;
  first: number; // when its first piece arrived
}

/** Receiver is the receiving half of a channel. */
export class Receiver {
  bytesHeld = 0; // bytes of queueLimit that partials use

  base = 0; // reliable: all messages before it have arrived. Sequenced: the newest that was delivered, plus one. Unreliable: 0
  /** What has arrived of messages from base on; null for a message that was delivered. Unreliable: oldest first. */
  readonly partials = new Map<number, PartialMessage | null>();

  constructor(
    readonly cfg: FullChannel,
    private readonly allowed: boolean,
    readonly counted: ChannelStats, // shared with the sending half
    private readonly message: (b: Uint8Array) => void,
    private readonly drop: (why: DropReason) => void,
  ) {}

  /**
   * Counts a piece of an unreliable message that arrives too late. Returns false, and counts nothing, if the piece must
   * be processed nevertheless: a reliable message is never too late.
   */
  outdated(): boolean {
    const late = this.allowed && !isReliable(this.cfg.mode);
    if (late) this.counted.stale++;
    return late;
  }

  /** Processes a piece of a message. Returns why it was refused and must be sent again, or undefined. */
  receive(t: number, f: Packet): DropReason | undefined {
    const { mode, maxMessage } = this.cfg;
    const bare = f.kind === frameBare;
    const whole = f.kind !== frameFragment;
    if (!this.allowed) return "direction";
    if (whole && bare !== (mode === "unreliable")) return "kind";
    if (f.fullSize > maxMessage + firstByte(this.cfg)) return "too-large";
    if (isReliable(mode)) return this.receiveReliable(t, f, whole);
    if (bare) this.deliver(f.payload);
    else if (f.id < this.base) this.counted.stale++;
    else if (whole) this.supersede(f.id, f.payload);
    else this.fragment(t, f);
    return;
  }

  private deliver(b: Uint8Array): void {
    this.counted.messagesIn++;
    this.counted.wireIn += b.length;
    this.message(b);
  }

  /** Delivers a reliable message. Messages that were sent before it may still be missing. */
  private done(id: number, b: Uint8Array): void {
    this.deliver(b);
    this.partials.set(id, null);
  }

  /** Delivers a sequenced message, and drops incomplete messages that are older. */
  private supersede(id: number, b: Uint8Array): void {
    this.deliver(b);
    this.base = id + 1;
    if (this.partials.size)
      for (const p of this.partials.values()) {
        if (p!.id > id) continue;
        this.counted.stale++;
        this.remove(p!);
      }
  }

  /** Adds an incomplete message. have says which pieces have arrived. */
  add(t: number, id: number, body: Uint8Array, have: boolean[] = []): PartialMessage {
    const p = { id, left: pieces(body.length) - have.filter(Boolean).length, have, assembled: body, first: t };
    this.partials.set(id, p);
    this.bytesHeld += body.length + messageCost;
    return p;
  }

  private remove(p: PartialMessage): void {
    this.partials.delete(p.id);
    this.bytesHeld -= p.assembled.length + messageCost;
  }

  /** Stores a piece, and returns whether the message is complete. */
  private store(p: PartialMessage, f: Packet): boolean {
    if (p.have[f.index]) {
      this.counted.duplicates++;
      return false;
    }
    p.have[f.index] = true;
    if (f.kind === frameFragment) p.assembled.set(f.payload, f.index * pieceSize);
    return --p.left === 0;
  }

  /** Processes a fragment of an unreliable or sequenced message. */
  private fragment(t: number, f: Packet): void {
    const p = this.partials.get(f.id) ?? this.admit(t, f);
    if (p.assembled.length !== f.fullSize) return this.drop("mismatch");
    if (!this.store(p, f)) return;
    this.remove(p);
    if (this.cfg.mode === "sequenced") this.supersede(p.id, p.assembled);
    else this.deliver(p.assembled);
  }

  /** Adds an incomplete message. Drops older ones to make room. */
  private admit(t: number, f: Packet): PartialMessage {
    for (const p of this.partials.values()) {
      if (this.partials.size < maxPartials && !this.full(f)) break;
      this.remove(p!);
      this.drop("evicted");
    }
    return this.add(t, f.id, new Uint8Array(f.fullSize));
  }

  private full(f: Packet): boolean {
    return this.bytesHeld + f.fullSize + messageCost > this.cfg.queueLimit;
  }

  /** Drops incomplete unreliable messages that are too old, and returns when the next one is too old. */
  age(t: number): number {
    if (isReliable(this.cfg.mode)) return Infinity;
    for (const p of this.partials.values()) {
      if (p!.first + partialAge > t) return p!.first + partialAge;
      this.remove(p!);
      this.drop("aged");
    }
    return Infinity;
  }

  /**
   * Processes a whole reliable message or a fragment of one. There is always room for it if the peer has the same
   * table; otherwise its packet must not be acknowledged.
   */
  private receiveReliable(t: number, f: Packet, whole: boolean): DropReason | undefined {
    const ordered = this.cfg.mode === "reliable-ordered";
    if (whole && f.id === this.base && !this.partials.size) {
      this.base++; // the most frequent case needs no look-up
      this.deliver(f.payload);
      return;
    }
    let p = this.partials.get(f.id);
    if (f.id >= this.base + sendWindow) return "window";
    if (f.id < this.base || p === null || p?.left === 0) {
      this.counted.duplicates++;
      return;
    }
    if (p && p.assembled.length !== f.fullSize) return "mismatch"; // a whole message is never refused for this
    if (whole && (!ordered || f.id === this.base)) {
      this.done(f.id, f.payload); // a message that is delivered at once needs no room
    } else {
      if (!p && this.full(f)) return "budget";
      p ??= this.add(t, f.id, whole ? f.payload : new Uint8Array(f.fullSize));
      if (!this.store(p, f)) return;
      if (!ordered) {
        this.remove(p);
        this.done(p.id, p.assembled);
      }
    }
    // The next messages may have waited for this one.
    for (let q; (q = this.partials.get(this.base)) !== undefined && !q?.left; this.base++) {
      this.partials.delete(this.base);
      if (!q) continue;
      this.remove(q);
      this.deliver(q.assembled);
    }
    return;
  }
}

/** What snapshotReceiver returns: partials only of a reliable channel; null for a message that was delivered. */
export type SavedReceiver = [base: number, partials: [id: number, p: null | [have: boolean[], body: Uint8Array]][]];

/** Returns a snapshot of a Receiver. */
export function snapshotReceiver({ base, cfg, partials }: Receiver): SavedReceiver {
  const all = isReliable(cfg.mode) ? [...partials] : [];
  return [base, all.map(([id, p]) => [id, p && [p.have, p.assembled]])];
}

/** Restores a new Receiver from a snapshot. */
export function restoreReceiver(r: Receiver, t: number, [base, partials]: SavedReceiver): void {
  r.base = base;
  for (const [id, p] of partials) {
    if (p) r.add(t, id, p[1], p[0]);
    else r.partials.set(id, null);
  }
}
