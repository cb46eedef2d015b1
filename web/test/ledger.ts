// A ledger checks the promise of a channel: every message has its number, its length and bytes in a pattern.
import { expect } from "vitest";
import { type Mode } from "../src/table";

const header = 8;

/** Message number n of size bytes, on a channel. */
export function message(channel: number, n: number, size: number): Uint8Array {
  const b = new Uint8Array(Math.max(size, header));
  const v = new DataView(b.buffer);
  v.setUint32(0, n);
  v.setUint32(4, (size << 6) | channel);
  for (let i = header; i < b.length; i++) b[i] = n * 31 + i * 7;
  return b;
}

/** The messages that have arrived on one channel in one direction. */
export class Ledger {
  sent = 0;
  readonly came: number[] = [];

  constructor(
    readonly channel: number,
    readonly mode: Mode,
  ) {}

  next(size: number): Uint8Array {
    return message(this.channel, this.sent++, size);
  }

  take(b: Uint8Array): void {
    const v = new DataView(b.buffer, b.byteOffset, b.length);
    const n = v.getUint32(0);
    const size = v.getUint32(4) >>> 6;
    expect(Buffer.compare(b, message(this.channel, n, size)), `bytes of message ${n}`).toBe(0);
    this.came.push(n);
  }

  /** Compares the messages that have arrived with the promise of the mode. */
  check(): void {
    const { came, sent, mode } = this;
    expect(new Set(came).size, "none came twice").toBe(came.length);
    if (mode === "sequenced" || mode === "reliable-ordered") {
      expect(came, "in order").toEqual([...came].sort((a, b) => a - b));
    }
    if (mode.startsWith("reliable")) expect(came.length, "all came").toBe(sent);
  }
}
