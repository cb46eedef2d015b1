// A packet as the vectors describe it.
import { controlClose, controlExtension, frameControl } from "../src/frame";
import { Packet } from "../src/packet";
import { hex } from "./bytes";

export interface FrameView {
  kind: string;
  channel?: number;
  id?: number;
  index?: number;
  total?: number;
  code?: number;
  payload?: string;
}

export interface PacketView {
  number: number;
  numberLength: number;
  ack?: { largest: number; delay: number; first: number; rest?: [number, number][] };
  frames: FrameView[];
}

const kinds = ["", "message", "fragment", "bare"];
const controls = ["padding", "ping", "close"];

/** Returns the content of a packet, or null if it is malformed. Zero values are left out. */
export function view(b: Uint8Array): PacketView | null {
  const p = new Packet();
  if (!p.parse(b)) return null;
  const v: PacketView = { number: p.number, numberLength: p.numberLen, frames: [] };
  if (p.hasAck) {
    const [first, ...rest] = p.ranges;
    v.ack = { largest: p.largest, delay: p.delay, first: first! };
    if (rest.length) v.ack.rest = Array.from({ length: rest.length / 2 }, (_, i) => [rest[2 * i]!, rest[2 * i + 1]!]);
  }
  for (let n = p.frames; n--; ) {
    if (p.frames > 1) p.next();
    v.frames.push(frame(p));
  }
  return v;
}

function frame(p: Packet): FrameView {
  const f: FrameView = { kind: kinds[p.kind]! };
  const set = (field: "channel" | "id" | "index" | "total" | "code", value: number): void => {
    if (value) f[field] = value;
  };
  const control = p.kind === frameControl;
  if (control) {
    f.kind = controls[p.chan] ?? "extension";
    if (p.chan < controlClose) return f;
    if (p.chan === controlClose) set("code", p.code);
  }
  if (!control || p.chan >= controlExtension) set("channel", p.chan);
  if (f.kind === "message" || f.kind === "fragment") set("id", p.id);
  if (f.kind === "fragment") {
    set("index", p.index);
    set("total", p.fullSize);
  }
  if (p.payload.length) f.payload = hex(p.payload);
  return f;
}
