import { firstByte, leastDeflated, stream } from "./deflate";
import { SendError } from "./error";
import { appendPiece, pieceCost, pieces } from "./frame";
import { maxPacket } from "./packet";
import {
  cost,
  type Fate,
  type Message,
  type Piece,
  pieceAcked,
  pieceFlying,
  pieceLost,
  pieceUnsent,
  type SavedSender,
  Sender,
} from "./queue";
import { type SentPacket } from "./sent";
import { type FullChannel, maxPriority, maxWeight, messageCost } from "./table";
import { Writer } from "./varint";

/** MessageOptions are the options of one message. */
export interface MessageOptions {
  deadline?: number;
  key?: number | string | undefined;
  /** Is called once with the fate of the message, inside a call of the engine; sent says whether any of it was sent. */
  receipt?: ((fate: Fate, sent: boolean) => void) | undefined;
}

export const maxCopyable = 512; // largest message of which copies are sent, in bytes
export const staleAge = 250; // ms after which outdate drops an unreliable message
const slabSize = 16 << 10; // bytes of an array that many small messages share, because an array for each would take more time than the rest of send
export const maxLookback = 64; // messages of a channel that are examined for one packet

/** Outbox has the messages of all channels, from send until their fate is known. */
export class Outbox {
  readonly senders: Sender[] = []; // by channel; numbers without one are holes
  backlog = false; // a piece did not fit when pick was called last
  quiet = false; // unreliable messages are not sent, because the link would delay them
  retransmits = 0;
  copies = 0;

  private stirred = false; // a channel may have become active since hasWork found none
  private readonly slab = new Writer(); // has the bytes of the next messages
  private byPriority: Sender[] = [];
  private readonly passes: number[] = Array(maxPriority + 1).fill(0);

  /** Adds a channel; allowed says that this end may send on it. */
  open(c: FullChannel, allowed: boolean, id = this.senders.length): Sender {
    const s = (this.senders[id] = new Sender(c, id, allowed));
    this.sortSenders();
    return s;
  }

  /** Removes a channel that has no message. */
  remove(id: number): void {
    delete this.senders[id];
    this.sortSenders();
  }

  private sortSenders(): void {
    this.byPriority = Object.values(this.senders).sort((a, b) => a.cfg.priority - b.cfg.priority);
  }

  /**
   * Is called when the queue of channel ch has room for the message that send has refused last, once after such
   * refusals. It must not call the engine.
   */
  room = (_ch: number): void => {};

  /** Is called when a message that was being deflated may leave. */
  wake = (): void => {};

  /** Queues a copy of b as a message on channel ch, or throws a SendError. */
  send(t: number, ch: number, b: Uint8Array, { key = 0, deadline = Infinity, receipt }: MessageOptions = {}): void {
    const s = this.senders[ch]!;
    const { name, maxMessage, queueLimit } = s.cfg;
    const first = firstByte(s.cfg);
    const plain = b.length;
    const size = plain + first;
    if (!s.allowed) throw new SendError("direction", `channel "${name}" is to-client: only the server sends on it`);
    if (plain > maxMessage)
      throw new SendError("size", `channel "${name}": ${plain} bytes, and maxMessage is ${maxMessage}: raise it at both ends`);
    if (deadline <= t) throw new SendError("deadline", `channel "${name}": the deadline has passed: it is in ms from now`);
    const room = queueLimit - size - messageCost;
    let old = s.replaced(key);
    if (s.cost - (old ? cost(old) : 0) > room) {
      if (s.reliable) {
        s.wanted = size + messageCost;
        throw new SendError(
          "budget",
          `channel "${name}": its queueLimit of ${queueLimit} bytes is reached: send after receipts, or raise it at both ends`,
        );
      }
      while (s.cost > room) this.drop(s);
      old = s.replaced(key);
    }
    const slab = size > slabSize ? new Writer() : this.slab; // a large message gets its own array
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
      len: size,
      expiry: deadline,
      queued: t,
      plain,
      held: !!first && plain >= leastDeflated,
      receipt,
      pieces: [],
      sent: 0,
      left: 0,
      lost: 0,
    };
    if (first) slab.byte(0);
    slab.bytes(b);
    cut(m);
    s.cost += cost(m);
    if (key || s.cfg.mode === "sequenced") s.keyed.set(key, m);
    if (old) {
      s.queue.splice(s.queue.indexOf(old), 0, m);
      this.finish(old, "replaced");
    } else {
      s.queue.push(m);
      this.activate(s);
    }
    if (!m.held) return;
    stream(plain, 1, m.b.subarray(m.start + 1, m.start + m.len), globalThis.CompressionStream, (b) => {
      if (m.over || !m.held) return;
      m.held = false;
      if (b) {
        s.cost -= m.len - b.length;
        m.b = b;
        m.start = 0;
        m.len = b.length;
        cut(m);
      }
      this.activate(s);
      this.wake();
    });
  }

  /**
   * Drops the oldest message of an unreliable channel. A message that was sent in part is kept if there is another one.
   */
  private drop(s: Sender): void {
    const [head, next] = s.queue;
    this.finish((head?.sent && next) || head || s.waiting[0]!, "dropped");
  }

  /** Removes a message and reports its fate. */
  private finish(m: Message, fate: Fate): void {
    const { s, list } = m;
    if (!m.sent) s.counted.dropped++;
    this.report(m, fate);
    s.cost -= cost(m);
    s.lost -= m.lost;
    if (s.keyed.get(m.key) === m) s.keyed.delete(m.key);
    m.over = true;
    if (list[0] === m) list.shift();
    else list.splice(list.indexOf(m), 1);
    if (s.cost + s.wanted > s.cfg.queueLimit) return;
    s.wanted = Infinity;
    this.room(s.id);
  }

  /** Calls the receipt of a message. Only the first call has an effect. */
  private report(m: Message, fate: Fate): void {
    m.receipt?.(fate, m.sent > 0);
    m.receipt = undefined;
  }

  /**
   * Drops the queued unreliable messages that are older than staleAge. It is called when the peer does not answer, and
   * when it answers again: the messages that waited would arrive late, in a burst.
   */
  outdate(t: number): void {
    for (const { reliable, queue } of this.byPriority) {
      if (reliable) continue;
      for (const m of [...queue]) if (t - m.queued > staleAge) this.finish(m, "expired");
    }
  }

  // ---- which piece goes next: guaranteed shares, then priority, then weight -------------------------------------

  activate(s: Sender): void {
    this.stirred = true;
    if (s.active || s.shut) return;
    s.active = true;
    s.pass = Math.max(s.pass, this.passes[s.cfg.priority]!);
  }

  /**
   * Returns the piece that an active channel sends next. Drops queued messages whose deadline has passed, from the
   * first on, but no reliable message that was sent in part.
   */
  private next(s: Sender, t: number): Piece | undefined {
    if (this.quiet && !s.reliable) return;
    for (let m; (m = s.queue[0]) && t >= m.expiry && !(m.sent && s.reliable); ) this.finish(m, "expired");
    s.active = s.lost + s.queue.length > 0;
    return s.next();
  }

  /**
   * Returns the piece to send, among the channels whose next piece fits into space bytes: first the channels whose
   * guaranteed share is not used up, then by priority, then by weight.
   */
  private pick(t: number, space: number): Piece | undefined {
    let best: Piece | undefined;
    let bestRank = 0;
    this.backlog = false;
    for (const s of this.byPriority) {
      const q = s.active && this.next(s, t);
      if (!q) continue;
      if (pieceCost(q.m.len, q.i) > space) {
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
    if (!this.stirred) return false; // the most frequent case
    this.stirred = false;
    for (const s of this.byPriority) {
      if (s.active && this.next(s, t)) return (this.stirred = true);
      this.stirred ||= s.active;
    }
    return false;
  }

  /** Appends pieces up to end, which are then part of packet p. */
  fill(w: Writer, end: number, t: number, p: SentPacket): void {
    for (let q; (q = this.pick(t, end - w.n)); ) {
      const { m } = q;
      const { s } = m;
      const start = w.n;
      appendPiece(w, s.id, s.bare, m, q.i);
      s.tokens = Math.max(-maxPacket, s.tokens - w.n + start); // bytes beyond the share reduce it by one packet at most
      this.passes[s.cfg.priority] = s.pass += ((w.n - start) * maxWeight) / s.cfg.weight;
      if (s.reliable || m.receipt) p.pieces.push(q);
      this.pieceSent(q, p);
    }
  }

  /**
   * Appends copies up to end, which repair a loss before an end can detect it: small reliable messages that are not
   * acknowledged are sent again in the free space of packets that leave anyway. One channel after the other: first
   * messages that were sent before overdue and should be acknowledged by now, oldest first, then others, newest first.
   */
  repeat(w: Writer, end: number, overdue: number, p: SentPacket, loss: number): void {
    for (const s of this.byPriority) {
      const budget = s.copies(loss);
      if (!s.reliable || budget < 1) continue;
      for (const m of s.waiting.slice(0, maxLookback)) {
        const q = m.pieces[0]!;
        if (q.sentAt > overdue || !this.copy(w, end, q, p)) continue;
        q.sentAt = p.sentAt;
        q.sentCopies = 0;
      }
      for (const m of s.waiting.slice(-maxLookback).reverse()) {
        const q = m.pieces[0]!;
        if (q.sentCopies < budget) this.copy(w, end, q, p);
      }
    }
  }

  /**
   * Appends a copy of a message if the message is small, is not acknowledged or lost, has no other copy in this packet,
   * and fits. Returns whether it did.
   */
  private copy(w: Writer, end: number, q: Piece, p: SentPacket): boolean {
    const { m } = q;
    if (m.len > maxCopyable || q.phase !== pieceFlying || q.number === p.number) return false;
    if (w.n + pieceCost(m.len, 0) > end) return false;
    appendPiece(w, m.s.id, false, m, 0);
    q.sentCopies++;
    q.number = p.number;
    p.pieces.push(q);
    this.copies++;
    return true;
  }

  // ---- the states of pieces ------------------------------------------------------------------------------------------

  /** Records that a new or lost piece was sent in packet p. */
  private pieceSent(q: Piece, p: SentPacket): void {
    const { m } = q;
    const { s } = m;
    if (q.phase === pieceLost) {
      m.lost--;
      s.lost--;
      this.retransmits++;
    } else if (m.sent++ === 0) {
      s.nextID++;
      s.counted.messagesOut++;
      s.counted.bytesOut += m.plain;
      s.counted.wireOut += m.len;
    }
    q.phase = pieceFlying;
    q.sentCopies = 0;
    q.number = p.number;
    q.sentAt = p.sentAt;
    if (m.sent < m.pieces.length || m.list !== s.queue) return;
    if (!s.reliable && !m.receipt) return this.finish(m, "lost"); // nobody has requested its fate
    s.queue.shift();
    m.list = s.waiting;
    s.waiting.push(m);
  }

  /**
   * Records that packet number, which carried the piece, is considered lost. Returns false if that changes nothing: the
   * piece has arrived, or a newer packet carries it.
   */
  pieceLost(q: Piece, number: number): boolean {
    const { m } = q;
    const { s } = m;
    if (m.over || q.phase !== pieceFlying || q.number !== number) return false;
    if (s.reliable) {
      q.phase = pieceLost;
      m.lost++;
      s.lost++;
      this.activate(s);
    } else {
      this.finish(m, "lost"); // the other pieces have no use
    }
    return true;
  }

  /**
   * Records that a packet has arrived, and finishes messages that have arrived whole. An ordered message stays until
   * all messages before it have arrived: until then the peer may hold it, and its cost must count at both ends.
   */
  acked(p: SentPacket): void {
    for (const q of p.pieces) {
      const { m } = q;
      const { s } = m;
      if (m.over || q.phase === pieceAcked) continue;
      if (q.phase === pieceLost) {
        m.lost--;
        s.lost--;
      }
      q.phase = pieceAcked;
      if (--m.left) continue;
      this.report(m, "delivered");
      if (s.cfg.mode !== "reliable-ordered") this.finish(m, "delivered");
      else while (s.waiting[0]?.left === 0) this.finish(s.waiting[0], "delivered");
    }
    p.pieces = [];
  }

  /** Records that a packet is considered lost. */
  lost(p: SentPacket): void {
    for (const q of p.pieces) this.pieceLost(q, p.number);
  }

  /** Records that a packet will never be acknowledged, because its link has ended. */
  forgotten(p: SentPacket): void {
    for (const q of p.pieces) this.pieceLost(q, q.number);
  }

  /**
   * Marks the reliable pieces of a packet as lost, so that they are sent again; the packet may still arrive. Returns
   * false if there was none.
   */
  again(p: SentPacket): boolean {
    return p.pieces.filter((q) => q.m.s.reliable && this.pieceLost(q, p.number)).length > 0;
  }

  /** Returns whether every reliable message has arrived. */
  settled(): boolean {
    return this.byPriority.every((s) => !s.reliable || !s.cost);
  }

  /** Returns the number of bytes of reliable messages that have not arrived, without those of channel 0. */
  unsettled(): number {
    return this.senders
      .slice(1)
      .reduce((n, s) => n + (s.reliable ? s.cost - messageCost * (s.queue.length + s.waiting.length) : 0), 0);
  }

  /** Drops all messages; their fate is "abandoned". */
  abandon(): void {
    for (const s of this.byPriority) {
      s.wanted = Infinity;
      for (const m of [...s.waiting, ...s.queue]) this.finish(m, "abandoned");
    }
  }
}

/** Makes the pieces of a message. */
function cut(m: Message): void {
  m.pieces = [];
  m.left = pieces(m.len);
  for (let i = 0; i < m.left; i++) m.pieces.push({ m, i, phase: pieceUnsent, sentCopies: 0, number: 0, sentAt: 0 });
}

/** Restores channel ch of a new Outbox from a snapshot. Pieces that were sent and not acknowledged are sent again. */
export function restoreSender(outbox: Outbox, t: number, ch: number, [nextID, messages]: SavedSender, shift: number): void {
  const s = outbox.senders[ch]!;
  for (const [id, sent, acked, key, deadline, b] of messages) {
    outbox.send(t, ch, b.subarray(firstByte(s.cfg)), { key });
    const m = s.queue.at(-1)!;
    m.b = b; // with its first byte
    m.start = 0;
    m.held = false;
    m.id = id;
    m.sent = sent;
    m.expiry = (deadline ?? Infinity) - shift;
    for (const q of m.pieces.slice(0, sent)) {
      q.phase = acked[q.i] ? pieceAcked : pieceFlying;
      if (acked[q.i]) m.left--;
      else outbox.pieceLost(q, q.number);
    }
    if (sent < m.pieces.length) continue;
    m.list = s.waiting;
    s.waiting.push(s.queue.pop()!);
  }
  s.nextID = nextID;
}
