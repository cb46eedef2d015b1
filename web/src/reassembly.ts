import { frameBare, frameFragment, pieceSize, pieces } from "./frame";
import { type Packet } from "./packet";
import { sendWindow } from "./queue";
import { type ChannelStats, type DropReason } from "./stats";
import { type FullChannel, isReliable, messageCost } from "./table";

export const maxPartials = 32; // incomplete messages of an unreliable channel; the oldest makes room
export const partialAge = 3000; // when an incomplete unreliable message is given up

/** A message that has not been delivered yet: some of its fragments, or all of it before its turn. */
interface PartialMessage {
  id: number;
  left: number; // pieces that have not come
  have: boolean[];
  body: Uint8Array;
  first: number; // when its first piece came
}

/** Receiver is the receiving half of a channel. */
export class Receiver {
  held = 0; // bytes of partials, as queueLimit counts them

  base = 0; // reliable: all before it have come. Sequenced: the newest delivered, plus one. Unreliable: 0
  /** What came of messages from base on; null is all of one that was delivered. Unreliable: oldest first. */
  readonly partials = new Map<number, PartialMessage | null>();

  constructor(
    readonly cfg: FullChannel,
    private readonly allowed: boolean,
    readonly stats: ChannelStats, // the sending half's, too
    private readonly message: (b: Uint8Array) => void,
    private readonly drop: (why: DropReason) => void,
  ) {}

  /** Counts a piece of a message that comes too late to be of use; of a reliable one it never does. */
  outdated(): boolean {
    const late = this.allowed && !isReliable(this.cfg.mode);
    if (late) this.stats.stale++;
    return late;
  }

  /** Takes a piece of a message. Returns why it must be sent again, or undefined. */
  receive(t: number, f: Packet): DropReason | undefined {
    const { mode, maxMessage } = this.cfg;
    const bare = f.kind === frameBare;
    const whole = f.kind !== frameFragment;
    if (!this.allowed) return "direction";
    if (whole && bare !== (mode === "unreliable")) return "kind";
    if (f.total > maxMessage) return "too-large";
    if (isReliable(mode)) return this.receiveReliable(t, f, whole);
    if (bare) this.deliver(f.payload);
    else if (f.id < this.base) this.stats.stale++;
    else if (whole) this.supersede(f.id, f.payload);
    else this.fragment(t, f);
    return;
  }

  private deliver(b: Uint8Array): void {
    this.stats.messagesIn++;
    this.message(b);
  }

  /** Delivers a reliable message, maybe before some that were sent before it. */
  private done(id: number, b: Uint8Array): void {
    this.deliver(b);
    this.partials.set(id, null);
  }

  /** Delivers a sequenced message, which makes everything before it too old. */
  private supersede(id: number, b: Uint8Array): void {
    this.deliver(b);
    this.base = id + 1;
    if (this.partials.size)
      for (const p of this.partials.values()) {
        if (p!.id > id) continue;
        this.stats.stale++;
        this.remove(p!);
      }
  }

  /** Begins a message of which the pieces in have came. */
  add(t: number, id: number, body: Uint8Array, have: boolean[] = []): PartialMessage {
    const p = { id, left: pieces(body.length) - have.filter(Boolean).length, have, body, first: t };
    this.partials.set(id, p);
    this.held += body.length + messageCost;
    return p;
  }

  private remove(p: PartialMessage): void {
    this.partials.delete(p.id);
    this.held -= p.body.length + messageCost;
  }

  /** Stores a piece and reports whether it completes the message. */
  private store(p: PartialMessage, f: Packet): boolean {
    if (p.have[f.index]) {
      this.stats.duplicates++;
      return false;
    }
    p.have[f.index] = true;
    if (f.kind === frameFragment) p.body.set(f.payload, f.index * pieceSize);
    return --p.left === 0;
  }

  /** Takes a fragment of a message that nobody will send again. */
  private fragment(t: number, f: Packet): void {
    const p = this.partials.get(f.id) ?? this.admit(t, f);
    if (p.body.length !== f.total) return this.drop("mismatch");
    if (!this.store(p, f)) return;
    this.remove(p);
    if (this.cfg.mode === "sequenced") this.supersede(p.id, p.body);
    else this.deliver(p.body);
  }

  /** Begins an incomplete message, and gives up older ones to make room. */
  private admit(t: number, f: Packet): PartialMessage {
    for (const p of this.partials.values()) {
      if (this.partials.size < maxPartials && !this.full(f)) break;
      this.remove(p!);
      this.drop("evicted");
    }
    return this.add(t, f.id, new Uint8Array(f.total));
  }

  private full(f: Packet): boolean {
    return this.held + f.total + messageCost > this.cfg.queueLimit;
  }

  /** Gives up incomplete unreliable messages that are too old, and returns when the next one is. */
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
   * Takes a whole message or a fragment of one. There is always room for it if the peer has our table; else its
   * packet must not be acknowledged.
   */
  private receiveReliable(t: number, f: Packet, whole: boolean): DropReason | undefined {
    const ordered = this.cfg.mode === "reliable-ordered";
    if (whole && f.id === this.base && !this.partials.size) {
      this.base++; // as nearly always: nothing to look up
      this.deliver(f.payload);
      return;
    }
    let p = this.partials.get(f.id);
    if (f.id >= this.base + sendWindow) return "window";
    if (f.id < this.base || p === null || p?.left === 0) {
      this.stats.duplicates++;
      return;
    }
    if (p && p.body.length !== f.total) return "mismatch"; // as no whole message has
    if (whole && (!ordered || f.id === this.base)) {
      this.done(f.id, f.payload); // which needs no room
    } else {
      if (!p && this.full(f)) return "budget";
      p ??= this.add(t, f.id, whole ? f.payload : new Uint8Array(f.total));
      if (!this.store(p, f)) return;
      if (!ordered) {
        this.remove(p);
        this.done(p.id, p.body);
      }
    }
    // What comes next may have waited for this.
    for (let q; (q = this.partials.get(this.base)) !== undefined && !q?.left; this.base++) {
      this.partials.delete(this.base);
      if (!q) continue;
      this.remove(q);
      this.deliver(q.body);
    }
    return;
  }
}
