import { appendAck, delayUnit, maxDelay, maxRanges } from "./packet";
import { type Writer } from "./varint";

/** How long a lone acknowledgement waits for a packet to ride in, in ms. */
export const maxAckDelay = 20;

export const receivedWindow = 4096;
export const lossSpan = 64; // numbers over which one loss is measured

/**
 * Received knows which of the peer's packets came: the last window of them, for telling duplicates apart, and what
 * of that is still worth saying.
 */
export class Received {
  next = 0; // one more than the largest that came
  eliciting = 0; // packets that came since the last ack block and want one
  due = Infinity; // when one must leave
  loss = 0; // share of the peer's packets that do not come, smoothed
  ranges: number[] = []; // of the last ack block

  private told = 0; // the peer knows of all that came below this
  private news = Infinity; // the smallest that came since the last ack block
  // What came of the window, in ascending runs: the first number of each and, after it, one more than its last.
  private readonly edges = [0, 0];
  private lastAt = 0; // when the largest came
  private spanStart = 0;
  private spanCame = 0;

  /** Whether a packet came for the first time. One that is older than the window counts as known. */
  fresh(n: number): boolean {
    return this.next - n <= receivedWindow && this.below(n) % 2 === 0;
  }

  /** How many edges are at most n. */
  private below(n: number): number {
    let i = this.edges.length;
    while (this.edges[i - 1]! > n) i--;
    return i;
  }

  /** Takes note of a fresh packet. */
  mark(t: number, n: number, eliciting: boolean): void {
    const { edges } = this;
    const gap = n !== this.next;
    if (gap) {
      const i = this.below(n);
      const grows = +(edges[i - 1] === n); // the run before n
      const joins = +(edges[i] === n + 1); // the one after it
      edges.splice(i - grows, grows + joins, ...[n, n + 1].slice(grows, 2 - joins));
    } else {
      edges[edges.length - 1] = n + 1;
    }
    if (n >= this.next) {
      this.next = n + 1;
      this.lastAt = t;
      while (edges[1]! <= n + 1 - receivedWindow) edges.splice(0, 2);
    }
    this.news = Math.min(this.news, n);
    this.told = Math.min(this.told, n); // one that comes late is news again
    this.measure(n);
    if (!eliciting) return;
    this.eliciting++;
    // What is missing should be known soon.
    this.due = gap ? t : Math.min(this.due, t + maxAckDelay);
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

  /** Appends a block of what came, newest ranges first. */
  append(w: Writer, t: number, end: number): void {
    const { edges } = this;
    const low = Math.max(this.told, this.next - receivedWindow);
    let start = this.next;
    this.ranges = [];
    for (let i = edges.length - 1; edges[i]! > low && this.ranges.length < 2 * maxRanges - 1; i -= 2) {
      const end = edges[i]!;
      if (start > end) this.ranges.push(start - end - 1);
      start = Math.max(low, edges[i - 1]!);
      this.ranges.push(end - start - 1);
    }
    appendAck(w, this.next - 1, Math.min(maxDelay, Math.floor((t - this.lastAt) / delayUnit)), this.ranges, end);
  }

  /** Takes note that an ack block has left. */
  said(): void {
    this.eliciting = 0;
    this.due = this.news = Infinity;
  }

  /**
   * Takes note that the peer knows all that came below n, because a packet came to it that said so. What has come since
   * may be below that.
   */
  confirmed(n: number): void {
    this.told = Math.min(Math.max(this.told, n), this.news);
  }
}
