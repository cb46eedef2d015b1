import { appendAck, delayUnit, maxDelay, maxRanges } from "./packet";
import { type Writer } from "./varint";

/** How long an acknowledgement waits for a packet with content, in ms. */
export const maxAckDelay = 20;

/** Bytes of packets that a reliable link acknowledges at once: half of the least window. */
export const ackEvery = 4096;

export const receivedWindow = 4096;
export const lossSpan = 64; // numbers over which the loss is measured

/** Received records which of the peer's last packets have arrived, to detect duplicates and to write ack blocks. */
export class Received {
  next = 0; // largest number that has arrived, plus one
  eliciting = 0; // packets since the last ack block that must be acknowledged
  waiting = 0; // bytes of those packets, on a reliable link
  due = Infinity; // when an ack block must leave
  loss = 0; // share of the peer's packets that do not arrive, smoothed
  ranges: number[] = []; // of the last ack block

  private told = 0; // the peer knows which packets below this have arrived
  private news = Infinity; // smallest number that has arrived since the last ack block
  // What has arrived of the window, as ascending runs: the first number of each run, then its last number plus one.
  private readonly edges = [0, 0];
  private lastAt = 0; // when the largest number arrived
  private spanStart = 0;
  private spanCame = 0;

  /** Returns whether a packet arrives for the first time: false for a packet that is older than the window. */
  fresh(n: number): boolean {
    return this.next - n <= receivedWindow && this.below(n) % 2 === 0;
  }

  /** Returns the number of edges that are n or less. */
  private below(n: number): number {
    let i = this.edges.length;
    while (this.edges[i - 1]! > n) i--;
    return i;
  }

  /** Records a fresh packet. */
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
    this.told = Math.min(this.told, n); // a late packet is news again
    this.measure(n);
    if (!eliciting) return;
    this.eliciting++;
    // After a gap the peer must know soon what is missing.
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

  /** Appends an ack block, with the newest ranges first. */
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

  /** Records that an ack block was sent. */
  said(): void {
    this.eliciting = this.waiting = 0;
    this.due = this.news = Infinity;
  }

  /**
   * Records that the peer knows which packets below n have arrived, because it has acknowledged a packet that said so.
   * Packets that arrived since then may be below n, too.
   */
  confirmed(n: number): void {
    this.told = Math.min(Math.max(this.told, n), this.news);
  }
}
