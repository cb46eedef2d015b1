import { messageCost } from "./table";

/** Inbox keeps messages that nobody has taken yet, up to a number of bytes. */
export class Inbox {
  lost = 0; // messages that there was no room for
  readonly messages: Uint8Array[] = [];
  first = 0; // that was not taken: of messages at most half were
  private bytes = 0;

  constructor(
    private readonly limit: number,
    private readonly dropOldest: boolean,
  ) {}

  /** Keeps b, and forgets the oldest if there is no room, or b. */
  push(b: Uint8Array): void {
    this.messages.push(b);
    this.bytes += b.length + messageCost;
    for (; this.bytes > this.limit; this.lost++) {
      if (this.dropOldest) this.take();
      else this.bytes -= this.messages.pop()!.length + messageCost;
    }
  }

  /** Takes the oldest. */
  take(): Uint8Array | undefined {
    const b = this.messages[this.first];
    if (!b) return;
    this.bytes -= b.length + messageCost;
    if (2 * ++this.first > this.messages.length) {
      this.messages.splice(0, this.first);
      this.first = 0;
    }
    return b;
  }
}
