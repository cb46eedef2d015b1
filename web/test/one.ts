// One end of a link that a test gives packets and takes packets from, one by one.

import { controlPing } from "../src/frame";
import { Mux, type MuxConfig } from "../src/mux";
import { appendAck, appendHeader } from "../src/packet";
import { type Channel } from "../src/table";
import { Writer } from "../src/varint";
import { unhex } from "./bytes";
import { muxConfig } from "./sim";
import { type PacketView, view } from "./view";

const table: Channel[] = [
  { name: "effects", mode: "unreliable" },
  { name: "chat", mode: "reliable-ordered" },
  { name: "up", mode: "unreliable", direction: "to-server" },
  { name: "down", mode: "unreliable", direction: "to-client" },
];
const fast = { rate: 1 << 20, ceiling: 1 << 20, rtt: 40 };

/** One end of a link, and what it says and tells. */
export class One {
  readonly events: unknown[] = [];
  readonly m: Mux;
  private readonly b = new Uint8Array(1150);

  constructor(more: Partial<MuxConfig> = {}) {
    this.m = new Mux(0, muxConfig(table, { ...fast, ...more }), {
      message: (ch, b) => this.events.push([ch, Buffer.from(b).toString()]),
      closed: (...why) => this.events.push(why),
    });
  }

  /** All packets that leave at t. */
  raw(t: number): Uint8Array[] {
    const all: Uint8Array[] = [];
    for (let n; (n = this.m.append(t, this.b)); ) all.push(this.b.slice(0, n));
    return all;
  }

  out(t: number): PacketView[] {
    return this.raw(t).map((b) => view(b)!);
  }

  kinds(t: number): string[] {
    return this.out(t).map((p) => [p.ack && `ack ${p.ack.largest}`, ...p.frames.map((f) => f.kind)].filter(Boolean).join(" "));
  }

  drops(): string[] {
    return Object.entries(this.m.stats().drops).flatMap(([why, n]) => Array<string>(n).fill(why));
  }

  /** Takes packet number n with these bytes after its number, and flags. */
  take(t: number, n: number, frames: string, ack?: { largest: number; delay?: number; ranges: number[] }): void {
    const w = new Writer();
    w.b = new Uint8Array(1150);
    appendHeader(w, n);
    if (ack) appendAck(w, ack.largest, ack.delay ?? 0, ack.ranges, 1150);
    w.bytes(unhex(frames));
    this.m.receive(t, w.b.slice(0, w.n));
  }
}

export const ping = controlPing.toString(16).padStart(2, "0");
/** The bytes of an unreliable message. */
export const bare = (ch: number, text: string): string =>
  (0xc0 + ch).toString(16) + text.length.toString(16).padStart(2, "0") + Buffer.from(text).toString("hex");
