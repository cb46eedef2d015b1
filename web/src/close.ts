import { appendClose, maxCloseText, type Writer } from "./wire";

// A close frame is sent closeRepeats times, further and further apart, until an acknowledgement of one comes: the link
// may go away at any moment.
const closeRepeats = 6;
const closeInterval = 20;

/** Closing is how far the end of a link has come. */
export class Closing {
  byPeer = false; // the peer has closed
  begun = false; // we have
  left = 0; // close frames to send
  next = Infinity; // when
  private gap = closeInterval;
  private code = 0;
  private reason: Uint8Array = new Uint8Array(0);

  any(): boolean {
    return this.begun || this.byPeer;
  }

  begin(t: number, code: number, reason: string): void {
    this.begun = true;
    this.left = closeRepeats;
    this.next = t;
    this.code = code;
    this.reason = cut(reason, maxCloseText);
  }

  relink(t: number): void {
    if (this.begun) this.next = t;
  }

  /** Takes note that the peer knows. */
  acked(): void {
    this.left = 0;
    this.next = Infinity;
  }

  /** Appends the close frame if it is time for one. */
  append(w: Writer, t: number): boolean {
    if (this.left === 0 || t < this.next) return false;
    this.left--;
    this.next = this.left ? t + this.gap : Infinity;
    this.gap *= 2;
    appendClose(w, this.code, this.reason);
    return true;
  }
}

/** text in UTF-8, as much of it as fits n bytes. */
export function cut(text: string, n: number): Uint8Array {
  const b = new Uint8Array(n);
  return b.subarray(0, new TextEncoder().encodeInto(text, b).written);
}
