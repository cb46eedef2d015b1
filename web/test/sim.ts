// Two engines in virtual time: no timers, and one seeded source of randomness.

import { Mux, type MuxConfig, type MuxEvents } from "../src/mux";
import { maxPacket } from "../src/packet";
import { type Channel, fullTable } from "../src/table";

export function muxConfig(channels: readonly Channel[], more: Partial<MuxConfig> = {}): MuxConfig {
  return {
    table: fullTable(channels),
    mine: "to-server",
    rtt: 100,
    rate: 64 << 10,
    floor: 8 << 10,
    ceiling: 256 << 10,
    keepAlive: 3000,
    ...more,
  };
}

/** Returns a seeded generator of numbers below 1: Mulberry32. */
export function random(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One direction of a path. Times are in ms. */
export interface Way {
  loss?: number;
  burst?: number; // mean length of a run of losses
  duplicate?: number;
  reorder?: number;
  hold?: number; // delay of reordered packets
  delay?: number;
  jitter?: number;
  mtu?: number; // bytes of the largest packet that passes
  dark?: [from: number, to: number];
  narrow?: (t: number) => number; // bytes per second that the way carries, after a queue without a limit
  pause?: (t: number) => number; // ms for which the way holds everything back that is sent at a time
}

/** An engine in the simulation. */
export interface Engine {
  receive(t: number, b: Uint8Array): void;
  append(t: number, b: Uint8Array, limit: number): number;
  deadline(): number;
  advance(t: number): void;
}

export interface End {
  engine: Engine;
  out: Way;
  losing: boolean;
  last: number; // arrival of the last packet
  busy: number; // until then the narrowest link sends earlier packets
  peer: End;
}

interface Due {
  at: number;
  order: number;
  run: () => void;
}

export class World {
  now = 0;
  readonly ends: End[] = [];
  private readonly rng: () => number;
  private readonly queue: Due[] = []; // sorted by time, then order
  private order = 0;
  private readonly packet = new Uint8Array(maxPacket);

  constructor(seed: number) {
    this.rng = random(seed);
  }

  /** Connects two engines by two directions. */
  join(a: Engine, b: Engine, up: Way, down: Way): void {
    const end = (engine: Engine, out: Way): End => ({
      engine,
      out,
      losing: false,
      last: 0,
      busy: 0,
      peer: null as unknown as End,
    });
    const [x, y] = [end(a, up), end(b, down)];
    x.peer = y;
    y.peer = x;
    this.ends.push(x, y);
  }

  after(d: number, run: () => void): void {
    const due = { at: this.now + d, order: this.order++, run };
    let lo = 0;
    let hi = this.queue.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.queue[mid]!.at <= due.at) lo = mid + 1;
      else hi = mid;
    }
    this.queue.splice(lo, 0, due);
  }

  /** Runs f n times, at equal intervals. */
  every(d: number, n: number, f: (i: number) => void): void {
    for (let i = 0; i < n; i++) this.after(i * d, () => f(i));
  }

  /** Sends everything that the engines want to send. */
  flush(): void {
    for (const e of this.ends) {
      for (let n = 1; n > 0; ) {
        n = e.engine.append(this.now, this.packet, maxPacket);
        if (n > 0) this.carry(e, this.packet.slice(0, n));
      }
    }
  }

  private carry(e: End, b: Uint8Array): void {
    if (b.length > (e.out.mtu ?? Infinity) || this.loses(e)) return;
    e.busy = Math.max(this.now, e.busy) + (1000 * b.length) / (e.out.narrow?.(this.now) ?? Infinity);
    const arrive = (): void => {
      const { delay = 0, jitter = 0, reorder = 0, hold = 0, pause } = e.out;
      let at = Math.max(e.last, e.busy + delay + this.rng() * jitter + (pause?.(this.now) ?? 0));
      if (this.rng() < reorder) at += hold;
      else e.last = at;
      this.after(at - this.now, () => e.peer.engine.receive(this.now, b.slice()));
    };
    if (this.rng() < (e.out.duplicate ?? 0)) arrive();
    arrive();
  }

  /** The channel of Gilbert and Elliott: losses come in runs. */
  private loses(e: End): boolean {
    const { loss = 0, burst = 1, dark = [0, 0] } = e.out;
    const draw = this.rng();
    if (this.now >= dark[0] && this.now < dark[1]) return true;
    let p = loss;
    if (burst > 1 && loss > 0 && loss < 1) p = e.losing ? 1 - 1 / burst : loss / (burst * (1 - loss));
    e.losing = draw < p;
    return e.losing;
  }

  /** Lets d ms pass, or less if done returns true. */
  run(d: number, done: () => boolean = () => false): void {
    const stop = this.now + d;
    let spins = 0;
    for (this.flush(); !done(); this.flush()) {
      if (++spins > 10_000) throw new Error(`nothing moves at ${this.now} ms`);
      let next = stop;
      let overdue: End | null = null;
      for (const e of this.ends) {
        const at = Math.max(this.now, e.engine.deadline());
        if (at < next) [next, overdue] = [at, e];
      }
      const due = this.queue[0];
      if (due && due.at <= next) {
        this.queue.shift();
        if (due.at > this.now) spins = 0;
        this.now = Math.max(this.now, due.at);
        due.run();
        continue;
      }
      if (next > this.now) spins = 0;
      this.now = next;
      if (!overdue) return;
      overdue.engine.advance(this.now);
    }
  }
}

/** Two Muxes on one table. */
export function pair(
  w: World,
  channels: readonly Channel[],
  up: Way,
  down: Way,
  client: Partial<MuxEvents>,
  server: Partial<MuxEvents>,
  more: Partial<MuxConfig> = {},
): [client: Mux, server: Mux] {
  const silent: MuxEvents = { message: () => {}, closed: () => {} };
  const a = new Mux(w.now, muxConfig(channels, more), { ...silent, ...client });
  const b = new Mux(w.now, muxConfig(channels, { ...more, mine: "to-client", keepAlive: 4000 }), { ...silent, ...server });
  w.join(a, b, up, down);
  return [a, b];
}
