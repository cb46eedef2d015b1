import { type Piece } from "./queue";

export const packetFlying = 0;
export const packetAcked = 1;
export const packetLost = 2; // considered lost; an acknowledgement may still arrive

/** SentPacket is the record of a packet that was sent. */
export interface SentPacket {
  number: number;
  sentAt: number;
  len: number;
  phase: number;
  eliciting: boolean;
  closing: boolean; // it carries a close frame
  ackTop: number; // the largest number that it acknowledged, plus one; 0 if it has no ack block
  pieces: Piece[]; // pieces whose fate is of interest
}

export const maxFlight = 8192; // records at most

/** Flight has the records of the packets that were sent, from base to next. */
export class Flight {
  next = 0;
  bytes = 0; // bytes of eliciting packets in flight
  count = 0; // number of those packets
  readonly packets: SentPacket[] = [];

  /** Returns the number of the oldest record. */
  base(): number {
    return this.next - this.packets.length;
  }

  /** Returns the record of packet n, if there is one. */
  at(n: number): SentPacket | undefined {
    return this.packets[n - this.base()];
  }

  /** Returns a record for the packet that is sent next. It is not part of the flight yet. */
  open(t: number): SentPacket {
    return { number: this.next, sentAt: t, len: 0, phase: packetFlying, eliciting: false, closing: false, ackTop: 0, pieces: [] };
  }

  /** Adds the record that open returned. */
  push(p: SentPacket): void {
    this.next++;
    this.packets.push(p);
    if (!p.eliciting) return;
    this.bytes += p.len;
    this.count++;
  }

  /** Drops all records. Numbers continue. */
  forget(): void {
    this.packets.length = this.bytes = this.count = 0;
  }

  /** Sets the phase of a packet, which is not in flight any more. */
  land(p: SentPacket, phase: number): void {
    if (p.eliciting && p.phase === packetFlying) {
      this.bytes -= p.len;
      this.count--;
    }
    p.phase = phase;
  }

  /**
   * Drops the oldest records that have no use any more: packets that were acknowledged, and packets that were sent
   * before old and are not in flight.
   */
  trim(old: number): void {
    for (let p; (p = this.packets[0]); this.packets.shift()) {
      if (p.phase !== packetAcked && (p.sentAt >= old || (p.phase === packetFlying && p.eliciting))) return;
    }
  }
}
