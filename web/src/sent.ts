import { type Message } from "./queue";

export const packetFlying = 0;
export const packetAcked = 1;
export const packetLost = 2; // taken for lost; an acknowledgement may still come

/** What we remember of a packet. */
export class SentPacket {
  at = 0;
  size = 0;
  state = packetFlying;
  eliciting = false;
  closing = false; // it carries a close frame
  ackTop = 0; // one more than the largest it acknowledged, or 0

  // The pieces it carries. A message's memory is used again, so its generation is remembered too.
  readonly messages: Message[] = [];
  readonly gens: number[] = [];
  readonly indexes: number[] = [];

  reset(t: number): this {
    this.at = t;
    this.size = this.ackTop = 0;
    this.state = packetFlying;
    this.eliciting = this.closing = false;
    this.drop();
    return this;
  }

  refer(m: Message, index: number): void {
    this.messages.push(m);
    this.gens.push(m.gen);
    this.indexes.push(index);
  }

  drop(): void {
    this.messages.length = this.gens.length = this.indexes.length = 0;
  }
}

const maxFlight = 8192; // packets remembered

/** Flight remembers the packets that were sent, from base up to next. */
export class Flight {
  base = 0;
  next = 0;
  bytes = 0; // of eliciting packets under way
  count = 0; // of those packets
  private ring: SentPacket[] = Array.from({ length: 64 }, () => new SentPacket());

  at(n: number): SentPacket {
    return this.ring[n & (this.ring.length - 1)]!;
  }

  full(): boolean {
    return this.next - this.base >= maxFlight;
  }

  /** The record for the next packet, empty. */
  open(t: number): SentPacket {
    const size = this.ring.length;
    if (this.next - this.base === size) {
      const old = this.ring;
      this.ring = Array.from({ length: 2 * size }, () => new SentPacket());
      for (let n = this.base; n < this.next; n++) this.ring[n & (2 * size - 1)] = old[n & (size - 1)]!;
    }
    return this.at(this.next).reset(t);
  }

  /** Makes the record that open returned part of the flight. */
  push(p: SentPacket): void {
    this.next++;
    if (!p.eliciting) return;
    this.bytes += p.size;
    this.count++;
  }

  /** Takes a packet out of the bytes under way. */
  land(p: SentPacket, state: number): void {
    if (p.eliciting && p.state === packetFlying) {
      this.bytes -= p.size;
      this.count--;
    }
    p.state = state;
  }

  /**
   * Forgets packets at the base of which nothing more is to be learned: those acknowledged, and those sent before old
   * and not under way.
   */
  trim(old: number): void {
    for (; this.base < this.next; this.base++) {
      const p = this.at(this.base);
      if (p.state !== packetAcked && (p.at >= old || (p.state === packetFlying && p.eliciting))) return;
    }
  }
}
