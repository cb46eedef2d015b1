import { type Piece } from "./queue";

export const packetFlying = 0;
export const packetAcked = 1;
export const packetLost = 2; // taken for lost; an acknowledgement may still come

/** What we remember of a packet. */
export interface SentPacket {
  number: number;
  at: number;
  size: number;
  state: number;
  eliciting: boolean;
  closing: boolean; // it carries a close frame
  ackTop: number; // one more than the largest it acknowledged, or 0
  pieces: Piece[]; // those about which there is something to learn
}

export const maxFlight = 8192; // packets remembered

/** Flight remembers the packets that were sent, from base up to next. */
export class Flight {
  next = 0;
  bytes = 0; // of eliciting packets under way
  count = 0; // of those packets
  readonly packets: SentPacket[] = [];

  /** The oldest one. */
  base(): number {
    return this.next - this.packets.length;
  }

  /** Packet n, if it is remembered. */
  at(n: number): SentPacket | undefined {
    return this.packets[n - this.base()];
  }

  /** The packet that is sent next, empty. */
  open(t: number): SentPacket {
    return { number: this.next, at: t, size: 0, state: packetFlying, eliciting: false, closing: false, ackTop: 0, pieces: [] };
  }

  /** Makes what open returned part of the flight. */
  push(p: SentPacket): void {
    this.next++;
    this.packets.push(p);
    if (!p.eliciting) return;
    this.bytes += p.size;
    this.count++;
  }

  /** Makes it as if nothing had been sent so far but the numbers. */
  forget(): void {
    this.packets.length = this.bytes = this.count = 0;
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
   * Forgets the oldest packets of which nothing more is to be learned: those acknowledged, and those sent before old
   * and not under way.
   */
  trim(old: number): void {
    for (let p; (p = this.packets[0]); this.packets.shift()) {
      if (p.state !== packetAcked && (p.at >= old || (p.state === packetFlying && p.eliciting))) return;
    }
  }
}
