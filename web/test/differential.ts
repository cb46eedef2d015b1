// What the engine and the engine in Go do with each other, over links of any kind.
import { expect } from "vitest";
import { Mux } from "../src/mux";
import { maxPacket } from "../src/packet";
import { type Channel, type Mode } from "../src/table";
import { hex } from "./bytes";
import { type GoMux, type GoProcess } from "./gopeer";
import { Ledger } from "./ledger";
import { muxConfig, random, type Way, World } from "./sim";
import { mutate, packets } from "./strange";

export const modes: Mode[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
export const table: Channel[] = modes.map((mode) => ({ name: mode, mode }));
export const rtt = 100; // first estimate, the same in both

const whole = (l: Ledger): boolean => !l.mode.startsWith("reliable") || l.came.length === l.sent;

/**
 * Sends messages on all channels in both directions, 30 times a second, and checks the promises of the channels.
 * Returns both engines.
 */
export function talk(go: GoProcess, server: boolean, way: Way, times: number, reliable: boolean): [Mux, GoMux] {
  const w = new World(5);
  const draw = random(6);
  const out = modes.map((mode, i) => new Ledger(i + 1, mode));
  const back = modes.map((mode, i) => new Ledger(i + 1, mode));
  const ours = new Mux(0, muxConfig(table, { mine: server ? "to-server" : "to-client", ceiling: 1 << 20 }), {
    message: (ch, b) => back[ch - 1]!.take(b),
    closed: () => {},
  });
  const theirs = go.mux(table, server, { message: (ch, b) => out[ch - 1]!.take(b) });
  if (reliable) for (const m of [ours, theirs]) m.relink(0, rtt, true);
  w.join(ours, theirs, { ...way }, { ...way });
  const size = (): number => (draw() < 0.03 ? 5000 : Math.floor(draw() * 300));
  w.every(1000 / 30, times, () => {
    for (const l of out) ours.send(w.now, l.channel, l.next(size()));
    for (const l of back) expect(theirs.send(w.now, l.channel, l.next(size()))).toBe(true);
  });
  w.run(60_000, () => w.now > 6000 && ours.outbox.settled() && out.every(whole) && back.every(whole));
  for (const l of [...out, ...back]) l.check();
  return [ours, theirs];
}

const seeds = packets();

/**
 * Gives both engines the same datagrams at the same times. They have no messages to send. Every event, every counter
 * and every packet of their answers must be the same. same is called after each datagram, to compare more.
 */
export function compareAnswers(
  go: GoProcess,
  seed: number,
  reliable: boolean,
  same: (ours: Mux, theirs: GoMux, t: number, i: number) => void = () => {},
): void {
  const draw = random(seed);
  const heard: [string[], string[]] = [[], []];
  const log = (to: string[]) => ({
    message: (ch: number, b: Uint8Array) => void to.push(`${ch} ${hex(b)}`),
    closed: (code: number, text: string) => void to.push(`closed ${code} ${text}`),
  });
  const ours = new Mux(0, muxConfig(table, { mine: "to-client", keepAlive: 4000, ceiling: 1 << 20 }), log(heard[0]));
  const theirs = go.mux(table, true, log(heard[1]));
  if (reliable) for (const m of [ours, theirs]) m.relink(0, rtt, true);
  const packet = new Uint8Array(maxPacket);
  for (let t = 1, i = 0; i < 150; i++, t += Math.floor(draw() * 15)) {
    const b = mutate(seeds, draw);
    for (const m of [ours, theirs]) {
      m.advance(t);
      m.receive(t, b.slice());
    }
    for (let n = 1; n > 0; ) {
      n = ours.append(t, packet);
      const mine = hex(packet.subarray(0, n));
      const m = theirs.append(t, packet, maxPacket);
      expect(mine, `packet ${i}, after ${hex(b)}`).toBe(hex(packet.subarray(0, m)));
    }
    expect(heard[0], `packet ${i}: ${hex(b)}`).toEqual(heard[1]);
    same(ours, theirs, t, i);
  }
  const { drops, packetsIn, held } = theirs.stats();
  const s = ours.stats();
  expect({ drops: s.drops, packetsIn: s.packetsIn, held: s.held }).toEqual({ drops, packetsIn, held });
}
