import { messageCost } from "./channel";

/** Inbox keeps messages that nobody has taken yet, up to a number of bytes. */
export class Inbox {
  lost = 0; // messages that there was no room for
  readonly messages: Uint8Array[] = [];
  private bytes = 0;

  constructor(
    private readonly limit: number,
    private readonly dropOldest: boolean,
  ) {}

  /** Keeps b, and forgets the oldest if there is no room, or b. */
  push(b: Uint8Array): void {
    this.messages.push(b);
    this.bytes += b.length + messageCost;
    for (; this.bytes > this.limit; this.lost++) this.take(this.dropOldest ? 0 : -1);
  }

  /** Takes the oldest, or with -1 the newest. */
  take(i = 0): Uint8Array | undefined {
    const [b] = this.messages.splice(i, 1);
    if (b) this.bytes -= b.length + messageCost;
    return b;
  }
}
