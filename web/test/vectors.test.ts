// The vectors of channel/testdata, which the Go engine passes, too.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConnectError } from "../src/error";
import { Mux } from "../src/mux";
import { expand, maxPacket } from "../src/packet";
import { type Channel, full, fullTable, hash, tableText } from "../src/table";
import { Reader, Writer } from "../src/varint";
import { hex, unhex } from "./bytes";
import { muxConfig } from "./sim";
import { type PacketView, view } from "./view";

function load<T>(file: string): T {
  return JSON.parse(readFileSync(new URL(`../../channel/testdata/${file}`, import.meta.url), "utf8")) as T;
}

interface Invalid {
  name: string;
  hex: string;
}

describe("varint.json", () => {
  const v = load<{ valid: { hex: string; value: number }[]; invalid: Invalid[] }>("varint.json");
  const read = (b: Uint8Array): [number, number] => {
    const r = new Reader(b);
    return [r.varint(), r.at];
  };
  test.each(v.valid)("$value", ({ hex: h, value }) => {
    const b = unhex(h);
    expect(read(Uint8Array.of(...b, 0xff))).toEqual([value, b.length]);
    const w = new Writer();
    w.b = new Uint8Array(10);
    w.varint(value);
    expect(hex(w.b.subarray(0, w.n))).toBe(h);
  });
  test.each(v.invalid)("invalid: $name", ({ hex: h }) => {
    expect(() => read(unhex(h))).toThrow("malformed");
  });
});

describe("numbers.json", () => {
  const vs = load<{ truncated: number; length: number; expected: number; number: number }[]>("numbers.json");
  test.each(vs)("$truncated in $length bytes near $expected", (v) => {
    expect(expand(v.truncated, v.length, v.expected)).toBe(v.number);
  });
});

describe("packets.json", () => {
  const v = load<{ valid: (PacketView & { name: string; hex: string })[]; invalid: Invalid[] }>("packets.json");
  test.each(v.valid)("$name", ({ name: _, hex: h, ...want }) => {
    expect(view(unhex(h))).toEqual(want);
  });
  test.each(v.invalid)("invalid: $name", ({ hex: h }) => {
    expect(view(unhex(h))).toBeNull();
  });
});

describe("tables.json", () => {
  const vs =
    load<{ name: string; channels: Channel[] | null; schema?: string; text: string; hash: string; error?: string }[]>(
      "tables.json",
    );
  test.each(vs)("$name", (v) => {
    if (v.error) {
      expect(() => fullTable(v.channels ?? [], v.schema)).toThrow(ConnectError);
      return;
    }
    const text = tableText(fullTable(v.channels ?? [], v.schema));
    expect(text).toBe(v.text);
    expect(hash(text)).toBe(v.hash);
  });
});

describe("receive.json", () => {
  interface Step {
    at: number;
    in?: string;
    events?: { channel: number; payload: string; closed?: boolean; code?: number; givenUp?: number }[];
    out?: string[];
  }
  const vs = load<{ name: string; channels: Channel[]; steps: Step[] }[]>("receive.json");
  test.each(vs)("$name", ({ channels, steps }) => {
    let events: Step["events"] = [];
    const m = new Mux(0, muxConfig(channels, { mine: "to-client", keepAlive: Infinity }), {
      message: (channel, b) => events!.push({ channel, payload: hex(b) }),
      closed: (code, text, givenUp) =>
        events!.push({
          channel: 0,
          payload: hex(new TextEncoder().encode(text)),
          closed: true,
          ...(code && { code }),
          ...(givenUp && { givenUp }),
        }),
    });
    const packet = new Uint8Array(maxPacket);
    for (const step of steps) {
      events = [];
      const out: string[] = [];
      m.advance(step.at);
      if (step.in) m.receive(step.at, unhex(step.in));
      for (let n = 1; n > 0; ) {
        n = m.append(step.at, packet);
        if (n > 0) out.push(hex(packet.subarray(0, n)));
      }
      expect({ at: step.at, events, out }).toEqual({ at: step.at, events: step.events ?? [], out: step.out ?? [] });
    }
  });
});

describe("lives.json", () => {
  interface Step {
    open?: { number: number; channel: Channel };
    shut?: number;
    relink?: boolean;
    in?: string;
    events?: { channel: number; payload: string }[];
    dropped?: string;
    acked?: boolean;
  }
  const vs = load<{ name: string; channels: Channel[]; steps: Step[] }[]>("lives.json");
  test.each(vs)("$name", ({ channels, steps }) => {
    let events: Step["events"] = [];
    const m = new Mux(0, muxConfig(channels, { mine: "to-client", keepAlive: Infinity }), {
      message: (channel, b) => events!.push({ channel, payload: hex(b) }),
      closed: () => {},
    });
    for (const [i, step] of steps.entries()) {
      const t = 1000 * (i + 1);
      const { open, shut, relink, in: packet, ...want } = step;
      events = [];
      const before = m.stats().drops as Record<string, number>;
      let acked = false;
      if (open) m.open(full(open.channel), open.number);
      else if (shut) m.stopReceiving(shut);
      else if (relink) m.relink(t, 100);
      else {
        m.receive(t, unhex(packet!));
        m.receive(t, unhex(packet!)); // a packet that may be acknowledged is a duplicate now
        acked = m.stats().drops.duplicate !== before["duplicate"];
      }
      const after = Object.entries(m.stats().drops).filter(([why, n]) => !/refused|duplicate/.test(why) && n !== before[why]);
      expect({ events: acked ? events : events.slice(0, events.length / 2), dropped: after[0]?.[0], acked }, `step ${i}`).toEqual(
        {
          events: [],
          dropped: undefined,
          acked: false,
          ...want,
        },
      );
    }
  });
});
