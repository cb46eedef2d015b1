import { maxPriority, maxWeight, messageCost, type FullChannel } from "./channel";
import { SendError } from "./errors";
import { type Fate, Message, pieceAcked, pieceFlying, pieceLost, Sender } from "./queue";
import { type SentPacket } from "./sent";
import { appendPiece, maxPacket, pieceLen, type Writer } from "./wire";

/** What one message asks for. */
export interface MessageOptions {
  deadline?: number;
  key?: number | string;
  receipt?: boolean;
}

const maxCopyable = 512; // bytes of a message that counts as small
const maxLookback = 64; // messages of a channel that are looked at for one packet

/** Outbox has the messages of all channels from send until nothing more is to be learned about them. */
export class Outbox {
  readonly senders: readonly Sender[];
  backlog = false; // pick saw a piece that did not fit

  private readonly byPriority: Sender[];
  private readonly passes = new Float64Array(maxPriority + 1);
  private handles = 0;
  private free: Message | null = null; // a list by next
  private found: Message | null = null; // by next, and which piece of it
  private foundIndex = 0;

  constructor(
    table: readonly FullChannel[],
    allows: (c: FullChannel) => boolean,
    private readonly receipt: (handle: number, fate: Fate) => void,
  ) {
    this.senders = table.map((c, i) => new Sender(c, i, allows(c)));
    this.byPriority = [...this.senders].sort((a, b) => a.cfg.priority - b.cfg.priority);
  }

  /** Queues a copy of b, and returns how receipts call it. */
  send(t: number, ch: number, b: Uint8Array, o: MessageOptions = {}): number {
    const s = this.senders[ch]!;
    const size = b.length;
    const key = o.key ?? 0;
    const deadline = o.deadline ?? Infinity;
    if (!s.allowed) throw new SendError("direction", `only the server sends on ${s.cfg.name}`);
    if (size > s.cfg.maxMessage) throw new SendError("size", `${s.cfg.name} takes ${s.cfg.maxMessage} bytes, not ${size}`);
    if (deadline <= t) throw new SendError("deadline", "the deadline has passed");
    if (!this.room(s, key, size)) {
      s.stats.overBudget++;
      throw new SendError("budget", `the queue of ${s.cfg.name} is full`);
    }
    const old = s.replaced(key);
    const m = old ?? this.message(s);
    if (old) {
      s.stats.replaced++;
      s.cost -= m.cost();
      this.report(m, "replaced");
    }
    m.fill(b);
    m.key = key;
    m.deadline = deadline;
    m.queued = t;
    m.receipt = o.receipt ?? false;
    m.handle = ++this.handles;
    s.cost += m.cost();
    if (!old) {
      s.queue.push(m);
      s.remember(m);
      this.activate(s);
    }
    return m.handle;
  }

  private message(s: Sender): Message {
    const m = this.free ?? new Message();
    this.free = m.next;
    m.next = null;
    m.ch = s.id;
    return m;
  }

  /** Makes room for a message of n bytes by the channel's policy, and reports whether there is any. */
  private room(s: Sender, key: number | string, n: number): boolean {
    const limit = s.cfg.queueLimit - n - messageCost;
    if (s.cost <= limit + (s.replaced(key)?.cost() ?? 0)) return true;
    if (s.reliable) return false;
    while (s.cost > limit) {
      let oldest = s.queue.head;
      // Finish what is sent in part, if that is not all.
      if (oldest && oldest.sent > 0 && oldest.next) oldest = oldest.next;
      s.stats.overflowed++;
      this.finish(s, oldest ?? s.waiting.head!, "dropped");
    }
    return true;
  }

  /** Forgets a message, whatever became of it, and writes its receipt. */
  private finish(s: Sender, m: Message, fate: Fate): void {
    this.report(m, fate);
    s.cost -= m.cost();
    s.lost -= m.lost;
    s.forget(m);
    m.list?.remove(m);
    m.gen++;
    m.next = this.free;
    this.free = m;
  }

  /** Writes a message's receipt, once. */
  private report(m: Message, fate: Fate): void {
    if (!m.receipt) return;
    m.receipt = false;
    this.receipt(m.handle, fate);
  }

  /**
   * Drops queued messages whose deadline has passed, from the head on. A reliable message that was sent in part is
   * finished; others are not.
   */
  private expire(s: Sender, t: number): void {
    for (let m = s.queue.head; m && t >= m.deadline; m = s.queue.head) {
      if (m.sent > 0 && s.reliable) return;
      s.stats.expired++;
      this.finish(s, m, "expired");
    }
  }

  // ---- which piece goes next: guaranteed shares, then priority, then weight -------------------------------------

  private activate(s: Sender): void {
    if (s.active) return;
    s.active = true;
    s.pass = Math.max(s.pass, this.passes[s.cfg.priority]!);
  }

  /** Finds the piece that the channel sends next, and returns its length in a packet, or 0. */
  private next(s: Sender, t: number): number {
    let m: Message | null;
    let i = 0;
    if (s.lost > 0) {
      m = s.firstLost();
      while (m.pieces[i]!.state !== pieceLost) i++;
    } else {
      this.expire(s, t);
      m = s.queue.head;
      s.active = m !== null;
      if (!m || (m.sent === 0 && !s.inWindow())) return 0;
      if (m.sent === 0) m.id = s.nextID;
      i = m.sent; // fragments of a message leave in order
    }
    this.found = m;
    this.foundIndex = i;
    return pieceLen(s.bare, m.id, m.body.length, i);
  }

  /** The channel to send from, among those whose next piece fits. */
  private pick(t: number, space: number): Sender | null {
    let best: Sender | null = null;
    let bestShare = false;
    this.backlog = false;
    for (const s of this.senders) {
      if (!s.active) continue;
      const n = this.next(s, t);
      if (n === 0) continue;
      if (n > space) {
        this.backlog = true;
        continue;
      }
      const share = s.cfg.guarantee > 0 && s.share(t, maxPacket) > 0;
      if (!best || s.before(best, share, bestShare)) {
        best = s;
        bestShare = share;
      }
    }
    return best;
  }

  hasWork(t: number): boolean {
    return this.senders.some((s) => s.active && this.next(s, t) > 0);
  }

  /** Appends pieces up to end. */
  fill(w: Writer, end: number, t: number, p: SentPacket, number: number): void {
    for (let s = this.pick(t, end - w.n); s; s = this.pick(t, end - w.n)) {
      const size = this.next(s, t);
      const m = this.found!;
      const i = this.foundIndex;
      appendPiece(w, s.id, s.bare, m.id, m.body, i);
      s.tokens -= size;
      s.pass += Math.floor((size * maxWeight) / s.cfg.weight);
      this.passes[s.cfg.priority] = s.pass;
      if (s.reliable || m.receipt) p.refer(m, i);
      this.pieceSent(s, m, i, number, t);
    }
  }

  /**
   * Repairs a loss before anybody can know of it: small reliable messages that are not acknowledged ride again in the
   * spare bytes of packets that leave anyway. Channel after channel, first those that were sent before overdue and
   * should have been acknowledged by now, oldest first, then others, newest first.
   */
  repeat(w: Writer, end: number, t: number, overdue: number, p: SentPacket, number: number, share: number): void {
    for (const s of this.byPriority) {
      const budget = s.copies(share);
      if (!s.reliable || budget < 1) continue;
      let m = s.waiting.head;
      for (let left = maxLookback; m && left > 0; m = m.next, left--) {
        const q = m.pieces[0]!;
        if (q.state !== pieceFlying || q.at > overdue || !this.copy(w, end, s, m, p, number)) continue;
        q.at = t;
        q.copies = 0;
      }
      m = s.waiting.tail;
      for (let left = maxLookback; m && left > 0; m = m.prev, left--) {
        if (m.pieces[0]!.copies < budget) this.copy(w, end, s, m, p, number);
      }
    }
  }

  /** Appends a message again if it is a small one, under way in another packet, and fits. */
  private copy(w: Writer, end: number, s: Sender, m: Message, p: SentPacket, number: number): boolean {
    const q = m.pieces[0]!;
    const size = m.body.length;
    if (m.count > 1 || size > maxCopyable || q.state !== pieceFlying || q.number === number) return false;
    if (w.n + pieceLen(false, m.id, size, 0) > end) return false;
    appendPiece(w, s.id, false, m.id, m.body, 0);
    q.copies++;
    q.number = number;
    p.refer(m, 0);
    s.stats.copies++;
    return true;
  }

  // ---- what becomes of pieces ------------------------------------------------------------------------------------

  /** Calls f for each piece in a packet about which there is something to learn. */
  private eachPiece(p: SentPacket, f: (m: Message, i: number) => void): void {
    for (let k = 0; k < p.messages.length; k++) {
      const m = p.messages[k]!;
      if (p.gens[k] === m.gen) f(m, p.indexes[k]!);
    }
  }

  /** Takes note that a piece left in packet number, for need. */
  private pieceSent(s: Sender, m: Message, i: number, number: number, t: number): void {
    const p = m.pieces[i]!;
    if (p.state === pieceLost) {
      m.lost--;
      s.lost--;
      s.stats.retransmits++;
    } else if (m.sent++ === 0) {
      s.forget(m);
      s.nextID++;
      s.stats.queueTime += (t - m.queued - s.stats.queueTime) / 16;
      s.stats.messagesOut++;
      s.stats.bytesOut += m.body.length;
    }
    p.state = pieceFlying;
    p.copies = 0;
    p.number = number;
    p.at = t;
    if (m.sent < m.count || m.list !== s.queue) return;
    s.queue.remove(m);
    if (s.reliable || m.receipt) {
      s.waiting.push(m);
      this.settle(s, m);
    } else {
      this.finish(s, m, "lost"); // nobody asks
    }
  }

  private readonly pieceAcked = (m: Message, i: number): void => {
    const s = this.senders[m.ch]!;
    const p = m.pieces[i]!;
    if (p.state === pieceAcked) return;
    if (p.state === pieceLost) {
      m.lost--;
      s.lost--;
    }
    p.state = pieceAcked;
    m.acked++;
    this.settle(s, m);
  };

  /**
   * Finishes what has arrived whole. An ordered message is kept until all before it have arrived: until then the other
   * end may hold it, and its cost must count here as there.
   */
  private settle(s: Sender, m: Message): void {
    if (!m.done() || m.list !== s.waiting) return;
    this.report(m, "delivered");
    if (s.cfg.mode !== "reliable-ordered") {
      this.finish(s, m, "delivered");
      return;
    }
    for (let head = s.waiting.head; head?.done(); head = s.waiting.head) this.finish(s, head, "delivered");
  }

  /** Takes note that packet number, which carried the piece, did not arrive. */
  private pieceLost(m: Message, i: number, number: number): void {
    const s = this.senders[m.ch]!;
    const p = m.pieces[i]!;
    if (p.state !== pieceFlying || p.number !== number) return; // it has arrived, or a newer copy is under way
    if (!s.reliable) {
      this.finish(s, m, "lost"); // the rest of it is of no use
      return;
    }
    p.state = pieceLost;
    m.lost++;
    s.lost++;
    this.activate(s);
  }

  /** Takes note that a packet has arrived. */
  acked(p: SentPacket): void {
    this.eachPiece(p, this.pieceAcked);
    p.drop();
  }

  /** Takes note that packet number did not arrive. */
  lost(p: SentPacket, number: number): void {
    this.eachPiece(p, (m, i) => this.pieceLost(m, i, number));
  }

  /** Takes note that nothing will be known of a packet: its link is gone. */
  forgotten(p: SentPacket): void {
    this.eachPiece(p, (m, i) => this.pieceLost(m, i, m.pieces[i]!.number));
  }

  /** Makes what packet number carried due to be sent again, though it may still arrive; whether there was anything. */
  again(p: SentPacket, number: number): boolean {
    let found = false;
    this.eachPiece(p, (m, i) => {
      const q = m.pieces[i]!;
      if (!this.senders[m.ch]!.reliable || q.state !== pieceFlying || q.number !== number) return;
      this.pieceLost(m, i, number);
      found = true;
    });
    return found;
  }

  /** Whether every reliable message has arrived. */
  settled(): boolean {
    return this.senders.every((s) => !s.reliable || s.cost === 0);
  }

  /** Forgets all messages. */
  abandon(): void {
    for (const s of this.senders) {
      for (const l of [s.waiting, s.queue]) {
        while (l.head) this.finish(s, l.head, l.head.sent > 0 ? "lost" : "abandoned");
      }
      s.active = false;
    }
  }
}
