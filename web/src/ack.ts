import { delayUnit, expand, maxDelay, maxRanges, type AckBlock, type Packet } from "./wire";

/** How long a lone acknowledgement waits for a packet to ride in, in ms. */
export const maxAckDelay = 20;

const window = 4096;
const words = window / 32;
const lossSpan = 64; // numbers over which one loss is measured

/**
 * Received knows which of the peer's packets came: the last window of them, for telling duplicates apart, and what
 * of that is still worth saying.
 */
export class Received {
  next = 0; // one more than the largest that came
  eliciting = 0; // packets that came since the last ack block and want one
  due = Infinity; // when one must leave
  loss = 0; // share of the peer's packets that do not come, smoothed

  private floor = 0; // the peer knows of all that came below this
  private readonly bits = new Uint32Array(words);
  private lastAt = 0; // when the largest came
  private spanStart = 0;
  private spanCame = 0;

  expand(p: Packet): number {
    return expand(p.number, p.numberLen, this.next);
  }

  /** Whether a packet came for the first time. One that is older than the window counts as known. */
  fresh(n: number): boolean {
    return n >= this.next || (this.next - n <= window && (this.word(n) & (1 << n)) === 0);
  }

  private word(n: number): number {
    return this.bits[(n >>> 5) % words]!;
  }

  /** Takes note of a fresh packet. */
  mark(t: number, n: number, eliciting: boolean): void {
    const gap = n !== this.next;
    if (n >= this.next) {
      this.forget(n);
      this.next = n + 1;
      this.lastAt = t;
    }
    this.bits[(n >>> 5) % words]! |= 1 << n;
    this.floor = Math.min(this.floor, n); // one that comes late is news again
    this.measure(n);
    if (!eliciting) return;
    this.eliciting++;
    // What is missing should be known soon.
    this.due = gap ? t : Math.min(this.due, t + maxAckDelay);
  }

  /** Clears the window's bits that numbers up to n now stand for. */
  private forget(n: number): void {
    if (n - this.next >= window) {
      this.bits.fill(0);
      return;
    }
    for (let i = this.next; i <= n; i++) {
      if ((i & 31) === 0 && i + 31 <= n) {
        this.bits[(i >>> 5) % words] = 0;
        i += 31;
      } else {
        this.bits[(i >>> 5) % words]! &= ~(1 << i);
      }
    }
  }

  private measure(n: number): void {
    if (n < this.spanStart) return;
    this.spanCame++;
    const span = this.next - this.spanStart;
    if (span < lossSpan) return;
    this.loss += (Math.max(0, 1 - this.spanCame / span) - this.loss) / 4;
    this.spanStart = this.next;
    this.spanCame = 0;
  }

  /** Fills a with what came, newest ranges first. */
  block(t: number, a: AckBlock): void {
    const low = Math.max(this.floor, this.next - window);
    const largest = this.next - 1;
    a.largest = largest & 0xffff;
    a.delay = Math.min(maxDelay, Math.floor((t - this.lastAt) / delayUnit));
    let start = this.runStart(largest, low);
    a.first = largest - start;
    a.ranges = 0;
    while (start > low && a.ranges < maxRanges - 1) {
      const end = this.prior(start - 1, low);
      if (end < 0) return;
      a.gaps[a.ranges] = start - 2 - end;
      start = this.runStart(end, low);
      a.lengths[a.ranges++] = end - start;
    }
  }

  /** The first number of the run that ends at n. */
  private runStart(n: number, low: number): number {
    for (;;) {
      const room = (n & 31) + 1;
      const ones = Math.min(Math.clz32(~(this.word(n) << (32 - room))), room);
      n -= ones;
      if (n < low) return low;
      if (ones < room) return n + 1;
    }
  }

  /** The largest number up to n that came, or -1. */
  private prior(n: number, low: number): number {
    for (;;) {
      const room = (n & 31) + 1;
      const zeros = Math.min(Math.clz32(this.word(n) << (32 - room)), room);
      n -= zeros;
      if (n < low) return -1;
      if (zeros < room) return n;
    }
  }

  /** Takes note that an ack block has left. */
  said(): void {
    this.eliciting = 0;
    this.due = Infinity;
  }

  /** Takes note that the peer knows all that came up to largest, because a packet came to it that said so. */
  confirmed(largest: number): void {
    this.floor = Math.max(this.floor, largest + 1);
  }
}
