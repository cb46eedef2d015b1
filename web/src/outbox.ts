import { SendError } from "./error";
import { appendPiece, pieceCost, pieces } from "./frame";
import { maxPacket } from "./packet";
import { cost, type Fate, type Message, type Piece, pieceAcked, pieceFlying, pieceLost, pieceUnsent, Sender } from "./queue";
import { type SentPacket } from "./sent";
import { type FullChannel, maxPriority, maxWeight, messageCost } from "./table";
import { Writer } from "./varint";

/** What one message asks for. */
export interface MessageOptions {
  deadline?: number;
  key?: number | string | undefined;
  /** Is called once with what became of the message, from within the engine. */
  receipt?: ((fate: Fate, sent: boolean) => void) | undefined;
}

export const maxCopyable = 512; // bytes of a message that counts as small
export const staleAge = 250; // ms that an unreliable message is of use while nobody answers
const slabSize = 16 << 10; // bytes that many small messages share: an array for each would cost more than the rest of send
export const maxLookback = 64; // messages of a channel that are looked at for one packet

/** Outbox has the messages of all channels from send until nothing more is to be learned about them. */
export class Outbox {
  readonly senders: Sender[] = [];
  backlog = false; // pick saw a piece that did not fit
  quiet = false; // unreliable messages wait, for where they are let go next they would grow old
  retransmits = 0;
  copies = 0;

  private stirred = false; // a channel has become active since hasWork saw none that is
  private readonly slab = new Writer(); // where the next messages are copied to
  private readonly byPriority: Sender[] = [];
  private readonly passes: number[] = Array(maxPriority + 1).fill(0);

  /** Adds a channel. */
  open(c: FullChannel, allowed: boolean): Sender {
    const s = new Sender(c, this.senders.length, allowed);
    this.senders.push(s);
    this.byPriority.push(s);
    this.byPriority.sort((a, b) => a.cfg.priority - b.cfg.priority);
    return s;
  }

  /** Queues a copy of b. */
  send(t: number, ch: number, b: Uint8Array, { key = 0, deadline = Infinity, receipt }: MessageOptions = {}): void {
    const s = this.senders[ch]!;
    const { name, maxMessage, queueLimit } = s.cfg;
    const size = b.length;
    if (!s.allowed) throw new SendError("direction", `channel "${name}" is to-client: only the server sends on it`);
    if (size > maxMessage)
      throw new SendError("size", `channel "${name}": ${size} bytes, and maxMessage is ${maxMessage}: raise it at both ends`);
    if (deadline <= t) throw new SendError("deadline", `channel "${name}": the deadline has passed: it is in ms from now`);
    const room = queueLimit - size - messageCost;
    let old = s.replaced(key);
    if (s.cost - (old ? cost(old) : 0) > room) {
      if (s.reliable)
        throw new SendError(
          "budget",
          `channel "${name}": its queueLimit of ${queueLimit} bytes is reached: send after receipts, or raise it at both ends`,
        );
      while (s.cost > room) this.drop(s);
      old = s.replaced(key);
    }
    const slab = size > slabSize ? new Writer() : this.slab; // what is large goes with its message
    if (slab.n + size > slab.b.length) {
      slab.b = new Uint8Array(Math.max(size, slabSize));
      slab.n = 0;
    }
    const m: Message = {
      s,
      list: s.queue,
      over: false,
      id: 0,
      key,
      b: slab.b,
      start: slab.n,
      size,
      deadline,
      queued: t,
      receipt,
      pieces: [],
      sent: 0,
      left: pieces(size),
      lost: 0,
    };
    slab.bytes(b);
    for (let i = 0; i < m.left; i++) m.pieces.push({ m, i, state: pieceUnsent, copies: 0, number: 0, at: 0 });
    s.cost += cost(m);
    if (key || s.cfg.mode === "sequenced") s.keyed.set(key, m);
    if (old) {
      s.queue.splice(s.queue.indexOf(old), 0, m);
      this.finish(old, "replaced");
    } else {
      s.queue.push(m);
      this.activate(s);
    }
  }

  /** Drops the oldest message of a channel. One that is sent in part is finished, if that is not all. */
  private drop(s: Sender): void {
    const [head, next] = s.queue;
    this.finish((head?.sent && next) || head || s.waiting[0]!, "dropped");
  }

  /** Forgets a message, whatever became of it, and writes its receipt. */
  private finish(m: Message, fate: Fate): void {
    const { s, list } = m;
    if (!m.sent) s.stats.dropped++;
    this.report(m, fate);
    s.cost -= cost(m);
    s.lost -= m.lost;
    if (s.keyed.get(m.key) === m) s.keyed.delete(m.key);
    m.over = true;
    if (list[0] === m) list.shift();
    else list.splice(list.indexOf(m), 1);
  }

  /** Writes a message's receipt, once. */
  private report(m: Message, fate: Fate): void {
    m.receipt?.(fate, m.sent > 0);
    m.receipt = undefined;
  }

  /**
   * Drops the unreliable messages that have waited for too long. It is for when the link is silent, or just was: what
   * waited then would come in a burst, and old.
   */
  outdate(t: number): void {
    for (const { reliable, queue } of this.senders) {
      if (reliable) continue;
      for (const m of [...queue]) if (t - m.queued > staleAge) this.finish(m, "expired");
    }
  }

  // ---- which piece goes next: guaranteed shares, then priority, then weight -------------------------------------

  private activate(s: Sender): void {
    this.stirred = true;
    if (s.active) return;
    s.active = true;
    s.pass = Math.max(s.pass, this.passes[s.cfg.priority]!);
  }

  /**
   * The piece that an active channel sends next. Drops queued messages whose deadline has passed, from the first on; but a
   * reliable message that was sent in part is finished.
   */
  private next(s: Sender, t: number): Piece | undefined {
    if (this.quiet && !s.reliable) return;
    for (let m; (m = s.queue[0]) && t >= m.deadline && !(m.sent && s.reliable); ) this.finish(m, "expired");
    s.active = s.lost + s.queue.length > 0;
    return s.next();
  }

  /** The piece to send, from the best of the channels whose next piece fits. */
  private pick(t: number, space: number): Piece | undefined {
    let best: Piece | undefined;
    let bestRank = 0;
    this.backlog = false;
    for (const s of this.senders) {
      const q = s.active && this.next(s, t);
      if (!q) continue;
      if (pieceCost(q.m.size, q.i) > space) {
        this.backlog = true;
        continue;
      }
      const rank = s.cfg.priority - (s.share(t) ? maxPriority + 1 : 0);
      if (best && (rank > bestRank || (rank === bestRank && s.pass >= best.m.s.pass))) continue;
      best = q;
      bestRank = rank;
    }
    return best;
  }

  hasWork(t: number): boolean {
    if (!this.stirred) return false; // most often
    this.stirred = false;
    for (const s of this.senders) {
      if (s.active && this.next(s, t)) return (this.stirred = true);
      this.stirred ||= s.active;
    }
    return false;
  }

  /** Appends pieces up to end. */
  fill(w: Writer, end: number, t: number, p: SentPacket): void {
    for (let q; (q = this.pick(t, end - w.n)); ) {
      const { m } = q;
      const { s } = m;
      const start = w.n;
      appendPiece(w, s.id, s.bare, m, q.i);
      s.tokens = Math.max(-maxPacket, s.tokens - w.n + start); // what comes on top of the share is not taken off it
      this.passes[s.cfg.priority] = s.pass += ((w.n - start) * maxWeight) / s.cfg.weight;
      if (s.reliable || m.receipt) p.pieces.push(q);
      this.pieceSent(q, p);
    }
  }

  /**
   * Repairs a loss before anybody can know of it: small reliable messages that are not acknowledged ride again in the
   * spare bytes of packets that leave anyway. Channel after channel, first those that were sent before overdue and
   * should have been acknowledged by now, oldest first, then others, newest first.
   */
  repeat(w: Writer, end: number, overdue: number, p: SentPacket, loss: number): void {
    for (const s of this.byPriority) {
      const budget = s.copies(loss);
      if (!s.reliable || budget < 1) continue;
      for (const m of s.waiting.slice(0, maxLookback)) {
        const q = m.pieces[0]!;
        if (q.at > overdue || !this.copy(w, end, q, p)) continue;
        q.at = p.at;
        q.copies = 0;
      }
      for (const m of s.waiting.slice(-maxLookback).reverse()) {
        const q = m.pieces[0]!;
        if (q.copies < budget) this.copy(w, end, q, p);
      }
    }
  }

  /** Appends a message again if it is a small one, under way in another packet, and fits. */
  private copy(w: Writer, end: number, q: Piece, p: SentPacket): boolean {
    const { m } = q;
    if (m.size > maxCopyable || q.state !== pieceFlying || q.number === p.number) return false;
    if (w.n + pieceCost(m.size, 0) > end) return false;
    appendPiece(w, m.s.id, false, m, 0);
    q.copies++;
    q.number = p.number;
    p.pieces.push(q);
    this.copies++;
    return true;
  }

  // ---- what becomes of pieces ------------------------------------------------------------------------------------

  /** Takes note that a piece left in a packet, for need. */
  private pieceSent(q: Piece, p: SentPacket): void {
    const { m } = q;
    const { s } = m;
    if (q.state === pieceLost) {
      m.lost--;
      s.lost--;
      this.retransmits++;
    } else if (m.sent++ === 0) {
      s.nextID++;
      s.stats.messagesOut++;
    }
    q.state = pieceFlying;
    q.copies = 0;
    q.number = p.number;
    q.at = p.at;
    if (m.sent < m.pieces.length || m.list !== s.queue) return;
    if (!s.reliable && !m.receipt) return this.finish(m, "lost"); // nobody asks
    s.queue.shift();
    m.list = s.waiting;
    s.waiting.push(m);
  }

  /**
   * Takes note that packet number, which carried the piece, did not arrive. Reports whether that is news: the piece has
   * not arrived otherwise, and no newer copy is under way.
   */
  pieceLost(q: Piece, number: number): boolean {
    const { m } = q;
    const { s } = m;
    if (m.over || q.state !== pieceFlying || q.number !== number) return false;
    if (s.reliable) {
      q.state = pieceLost;
      m.lost++;
      s.lost++;
      this.activate(s);
    } else {
      this.finish(m, "lost"); // the rest of it is of no use
    }
    return true;
  }

  /**
   * Takes note that a packet has arrived, and finishes messages that have arrived whole. An ordered one is kept until all
   * before it have arrived: until then the other end may hold it, and its cost must count here as there.
   */
  acked(p: SentPacket): void {
    for (const q of p.pieces) {
      const { m } = q;
      const { s } = m;
      if (m.over || q.state === pieceAcked) continue;
      if (q.state === pieceLost) {
        m.lost--;
        s.lost--;
      }
      q.state = pieceAcked;
      if (--m.left) continue;
      this.report(m, "delivered");
      if (s.cfg.mode !== "reliable-ordered") this.finish(m, "delivered");
      else while (s.waiting[0]?.left === 0) this.finish(s.waiting[0], "delivered");
    }
    p.pieces = [];
  }

  /** Takes note that a packet did not arrive. */
  lost(p: SentPacket): void {
    for (const q of p.pieces) this.pieceLost(q, p.number);
  }

  /** Takes note that nothing will be known of a packet: its link is gone. */
  forgotten(p: SentPacket): void {
    for (const q of p.pieces) this.pieceLost(q, q.number);
  }

  /** Makes what a packet carried due to be sent again, though it may still arrive; whether there was anything. */
  again(p: SentPacket): boolean {
    return p.pieces.filter((q) => q.m.s.reliable && this.pieceLost(q, p.number)).length > 0;
  }

  /** Whether every reliable message has arrived. */
  settled(): boolean {
    return this.senders.every((s) => !s.reliable || !s.cost);
  }

  /** Bytes of reliable messages that have not arrived, without those of channel 0. */
  unsettled(): number {
    return this.senders
      .slice(1)
      .reduce((n, s) => n + (s.reliable ? s.cost - messageCost * (s.queue.length + s.waiting.length) : 0), 0);
  }

  /** Forgets all messages. */
  abandon(): void {
    for (const s of this.senders) {
      for (const m of [...s.waiting, ...s.queue]) this.finish(m, "abandoned");
    }
  }
}
