// One end of a link: a test gives it packets and takes its packets, one at a time.

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

/** One end of a link, with its packets and events. */
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

  /** Returns all packets that are sent at t. */
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

  /** Gives the end packet number n with an ack block and these frames. */
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
/** Returns the frame of an unreliable message. */
export const bare = (ch: number, text: string): string =>
  (0xc0 + ch).toString(16) + text.length.toString(16).padStart(2, "0") + Buffer.from(text).toString("hex");
