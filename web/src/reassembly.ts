import { isReliable, messageCost, type FullChannel } from "./channel";
import { sendWindow } from "./queue";
import { type ChannelStats, type DropReason, channelStats } from "./stats";
import { type Packet, frameBare, frameMessage, frameFragment, pieceSize, pieces } from "./wire";

const maxPartials = 32; // incomplete messages of an unreliable channel; the oldest makes room
const partialAge = 3000; // when an incomplete unreliable message is given up

/** A message that has not been delivered yet: some of its fragments, or all of it before its turn. */
interface Partial {
  id: number;
  total: number;
  left: number; // pieces that have not come
  have: boolean[];
  body: Uint8Array;
  first: number; // when its first piece came
}

/** What a receiver tells its mux. */
export interface Delivery {
  message(channel: number, b: Uint8Array): void;
  drop(why: DropReason): void;
}

/** Receiver is the receiving half of a channel. */
export class Receiver {
  held = 0; // bytes of partials, as queueLimit counts them
  expireAt = Infinity; // when an incomplete unreliable message grows too old
  readonly stats: ChannelStats = channelStats();

  private base = 0; // reliable: all before it have come. Sequenced: the newest delivered, plus one
  /** What came of messages from base on; null is all of one that was delivered. Unreliable: oldest first. */
  private readonly partials = new Map<number, Partial | null>();
  private readonly reliable: boolean;
  private readonly ordered: boolean;
  private readonly sequenced: boolean;

  constructor(
    readonly cfg: FullChannel,
    readonly id: number,
    readonly allowed: boolean,
    private readonly to: Delivery,
  ) {
    this.reliable = isReliable(cfg.mode);
    this.ordered = cfg.mode === "reliable-ordered";
    this.sequenced = cfg.mode === "sequenced";
  }

  /** Takes a piece of a message. It returns why it must be sent again, or null. */
  receive(t: number, f: Packet): DropReason | null {
    if (!this.allowed) return "direction";
    if ((f.kind === frameBare || f.kind === frameMessage) && (f.kind === frameBare) !== (this.cfg.mode === "unreliable")) {
      return "kind";
    }
    const total = f.kind === frameFragment ? f.total : f.payload.length;
    if (total > this.cfg.maxMessage) return "too-large";
    if (this.reliable) return this.receiveReliable(t, f, total);
    if (f.kind === frameBare) this.deliver(f.payload);
    else if (this.sequenced && f.id < this.base) this.stats.stale++;
    else if (f.kind === frameFragment) this.fragment(t, f, total);
    else this.supersede(f.id, f.payload);
    return null;
  }

  private deliver(b: Uint8Array): void {
    this.stats.messagesIn++;
    this.stats.bytesIn += b.length;
    this.to.message(this.id, b);
  }

  /** Delivers a sequenced message, which makes everything before it too old. */
  private supersede(id: number, b: Uint8Array): void {
    this.deliver(b);
    this.base = id + 1;
    for (const p of this.partials.values()) {
      if (p!.id > id) continue;
      this.stats.stale++;
      this.remove(p!);
    }
  }

  private add(t: number, id: number, total: number, body: Uint8Array | null): Partial {
    const n = pieces(total);
    const p = { id, total, left: n, have: [], body: body ?? new Uint8Array(total), first: t };
    this.partials.set(id, p);
    this.held += total + messageCost;
    return p;
  }

  private remove(p: Partial): void {
    this.partials.delete(p.id);
    this.held -= p.total + messageCost;
  }

  /** Stores a piece and reports whether it is a new one. */
  private store(p: Partial, f: Packet): boolean {
    const index = f.kind === frameFragment ? f.index : 0;
    if (p.have[index]) {
      this.stats.duplicates++;
      return false;
    }
    p.have[index] = true;
    p.left--;
    if (f.kind === frameFragment) p.body.set(f.payload, index * pieceSize);
    return true;
  }

  /** Takes a fragment of a message that nobody will send again. */
  private fragment(t: number, f: Packet, total: number): void {
    const p = this.partials.get(f.id) ?? this.admit(t, f.id, total);
    if (p.total !== total) {
      this.to.drop("mismatch");
      return;
    }
    if (!this.store(p, f) || p.left > 0) return;
    this.remove(p);
    if (this.sequenced) this.supersede(p.id, p.body);
    else this.deliver(p.body);
  }

  /** Begins an incomplete message, and gives up older ones to make room. */
  private admit(t: number, id: number, total: number): Partial {
    for (const p of this.partials.values()) {
      if (this.partials.size < maxPartials && this.held + total + messageCost <= this.cfg.queueLimit) break;
      this.remove(p!);
      this.to.drop("evicted");
    }
    this.expireAt = Math.min(this.expireAt, t + partialAge);
    return this.add(t, id, total, null);
  }

  /** Gives up incomplete unreliable messages that are too old. */
  age(t: number): void {
    if (t < this.expireAt) return;
    this.expireAt = Infinity;
    for (const p of this.partials.values()) {
      if (p!.first + partialAge > t) {
        this.expireAt = p!.first + partialAge;
        return;
      }
      this.remove(p!);
      this.to.drop("aged");
    }
  }

  /**
   * Takes a whole message or a fragment of one. There is always room for it if the peer has our table; else its
   * packet must not be acknowledged.
   */
  private receiveReliable(t: number, f: Packet, total: number): DropReason | null {
    const whole = f.kind === frameMessage;
    if (f.id >= this.base + sendWindow) return "window";
    const known = this.partials.get(f.id);
    if (f.id < this.base || known === null || (known && known.left === 0)) {
      this.stats.duplicates++;
      return null;
    }
    if (known && (whole || known.total !== total)) return "mismatch";
    const inTurn = !this.ordered || f.id === this.base;
    if (whole && inTurn) {
      this.deliver(f.payload);
      this.finish(f.id);
      return null;
    }
    if (!known && this.held + total + messageCost > this.cfg.queueLimit) return "budget";
    const p = known ?? this.add(t, f.id, total, whole ? f.payload : null);
    if (!this.store(p, f) || p.left > 0 || !inTurn) return null;
    this.remove(p);
    this.deliver(p.body);
    this.finish(p.id);
    return null;
  }

  /** Takes note that a message was delivered, and delivers what waited for that. */
  private finish(id: number): void {
    if (id !== this.base) {
      this.partials.set(id, null);
      return;
    }
    this.base++;
    while (this.partials.size > 0) {
      const p = this.partials.get(this.base);
      if (p === undefined || (p && p.left > 0)) return;
      if (p) {
        this.remove(p);
        this.deliver(p.body);
      } else {
        this.partials.delete(this.base);
      }
      this.base++;
    }
  }
}
