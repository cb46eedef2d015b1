import { type Heard } from "./options";
import { type FullChannel, isReliable, messageCost } from "./table";

/** Inbox keeps messages that the program has not taken yet, up to limit bytes. */
export class Inbox {
  lost = 0; // messages that were dropped
  readonly untaken: Uint8Array[] = [];
  first = 0; // index of the oldest message that was not taken; at most half of untaken were taken
  private bytes = 0;

  constructor(
    private readonly limit: number,
    private readonly dropOldest: boolean,
  ) {}

  /** Keeps b. If there is no room, drops the oldest messages, or b. */
  push(b: Uint8Array): void {
    this.untaken.push(b);
    this.bytes += b.length + messageCost;
    for (; this.bytes > this.limit; this.lost++) {
      if (this.dropOldest) this.take();
      else this.bytes -= this.untaken.pop()!.length + messageCost;
    }
  }

  /** Removes and returns the oldest message. */
  take(): Uint8Array | undefined {
    const b = this.untaken[this.first];
    if (!b) return;
    this.bytes -= b.length + messageCost;
    if (2 * ++this.first > this.untaken.length) {
      this.untaken.splice(0, this.first);
      this.first = 0;
    }
    return b;
  }
}

// Snapshots are functions and not methods, here and in other files, because bundles without keep leave functions out.

/** Returns the messages that the program has not taken. */
export function snapshotInbox({ untaken, first }: Inbox): Uint8Array[] {
  return untaken.slice(first);
}

/** Adds the messages of a snapshot. */
export function restoreInbox(inbox: Inbox, saved: Uint8Array[]): void {
  for (const b of saved) inbox.push(b);
}

/** Returns the inbox of a channel. */
export const inboxOf = (c: FullChannel): Inbox => new Inbox(c.queueLimit, !isReliable(c.mode));

/** Calls a handler of the program. An error that it throws is reported as uncaught. */
export function run(f: Heard, b: Uint8Array): void {
  try {
    f(b);
  } catch (e) {
    queueMicrotask(() => {
      throw e;
    });
  }
}
