// The cost of the engine: npm run bench. One operation is a message of 200 bytes in each direction: sent, packed,
// received and delivered, with the acknowledgements of both ends.
import { bench } from "vitest";
import { Mux } from "../src/mux";
import { maxPacket } from "../src/packet";
import { type Mode } from "../src/table";
import { muxConfig } from "./sim";

const modes: Mode[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];

for (const mode of modes) {
  const config = muxConfig([{ name: "x", mode }], { ceiling: 1 << 30, rate: 1 << 30 });
  const events = { message: () => {}, closed: () => {} };
  const a = new Mux(0, config, events);
  const b = new Mux(0, { ...config, mine: "to-client" }, events);
  const message = new Uint8Array(200);
  const packets = Array.from({ length: 4 }, () => new Uint8Array(maxPacket));
  let t = 0;
  let next = 0;
  const pass = (from: Mux, to: Mux): void => {
    const packet = packets[next++ & 3]!;
    const n = from.append(t, packet);
    if (n > 0) to.receive(t, packet.subarray(0, n));
  };
  bench(mode, () => {
    t += 16;
    a.send(t, 1, message);
    pass(a, b);
    b.send(t, 1, message);
    pass(b, a);
  });
}
