// Packets for an engine, good and bad ones.
import { readFileSync } from "node:fs";
import { unhex } from "./bytes";

/** Every packet of the vectors, good and bad. */
export function packets(): Uint8Array[] {
  const text = readFileSync(new URL("../../channel/testdata/packets.json", import.meta.url), "utf8");
  const receive = readFileSync(new URL("../../channel/testdata/receive.json", import.meta.url), "utf8");
  return [...(text + receive).matchAll(/"(?:hex|in)": "([0-9a-f]*)"/g)].map((m) => unhex(m[1]!));
}

/** Returns a packet of the vectors with a new number, perhaps changed, or one with random frames. */
export function mutate(seeds: Uint8Array[], draw: () => number): Uint8Array {
  const pick = (n: number): number => Math.floor(draw() * n);
  if (draw() < 0.4) {
    const b = [0x11, 0, pick(256)];
    for (let i = pick(5); i >= 0; i--) {
      const kind = pick(4);
      b.push((kind << 6) | pick(kind === 0 ? 3 : 6));
      for (let k = pick(4); k >= 0; k--) b.push(pick(draw() < 0.8 ? 8 : 256));
    }
    return Uint8Array.from(b);
  }
  const b = seeds[pick(seeds.length)]!.slice();
  if (b.length > 3 && draw() < 0.8) b[2] = pick(256);
  for (let i = draw() < 0.5 ? 0 : pick(3); i > 0 && b.length > 0; i--) b[pick(b.length)] = pick(256);
  return draw() < 0.9 ? b : b.subarray(0, pick(b.length + 1));
}
