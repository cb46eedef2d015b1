/** Inbox keeps messages that nobody has taken yet, up to a number of bytes. */
export class Inbox {
  lost = 0; // messages that there was no room for
  private readonly messages: Uint8Array[] = [];
  private bytes = 0;

  constructor(
    private readonly limit: number,
    private readonly dropOldest: boolean,
  ) {}

  /** Keeps b, and forgets the oldest if there is no room, or b. */
  push(b: Uint8Array): void {
    this.messages.push(b);
    this.bytes += cost(b);
    while (this.bytes > this.limit) {
      const gone = this.dropOldest ? this.messages.shift()! : this.messages.pop()!;
      this.bytes -= cost(gone);
      this.lost++;
    }
  }

  shift(): Uint8Array | undefined {
    const b = this.messages.shift();
    if (b) this.bytes -= cost(b);
    return b;
  }
}

const cost = (b: Uint8Array): number => b.length + 32;
