// Channels that either end opens and closes at run time, against the session of the Go server.
import { afterAll, beforeAll, expect, test } from "vitest";
import { maxPacket } from "../src/packet";
import { open, Session } from "../src/session";
import { type Channel, full, fullTable, type Mode, openLine } from "../src/table";
import { utf8 } from "./bytes";
import { GoProcess, type GoSession } from "./gopeer";
import { Ledger } from "./ledger";
import { type Engine, random, type Way, World } from "./sim";

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

const modes: Mode[] = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
const most = 3; // channels that the client may have open
// A large first table leaves few numbers, so they are used again soon.
const table: Channel[] = Array.from({ length: 56 }, (_, i) => ({ name: `c${i}`, mode: "reliable-ordered" }));

/** One channel, from OPEN until both ends know that it is closed. */
interface Life {
  name: string;
  out: Ledger; // from the client to the server
  back: Ledger;
  closed: number; // ends that know that it is closed
}

/** A client and a server of Go, joined by a bad link. Both use the newest link only. */
class Lives {
  readonly w: World;
  readonly client: Session;
  readonly server: GoSession;
  readonly lives = new Map<string, Life>();
  readonly atClient = new Map<number, Life>(); // by number
  readonly atServer = new Map<number, Life>();
  readonly ended: unknown[] = [];
  private links = 0;

  constructor(seed: number, way: Way) {
    this.w = new World(seed);
    this.client = new Session(
      0,
      { table: fullTable(table), rtt: 100, rate: 1 << 20, floor: 8 << 10, ceiling: 1 << 20 },
      utf8("hi"),
      {
        opened: () => {},
        message: (id, b) => this.atClient.get(id)!.back.take(b),
        request: () => {},
        channel: ({ name }, id, own) => own || this.atClient.set(id, this.lives.get(name)!),
        channelClosed: ({ name }, id) => this.close(this.atClient, id, name),
        interrupted: () => {},
        resumed: () => {},
        moved: () => {},
        closed: (...why) => void this.ended.push(why),
      },
    );
    this.server = go.session(table, most, {
      message: (id, b) => this.atServer.get(id)!.out.take(b),
      opened: (id, name) => void this.atServer.set(id, this.lives.get(name)!),
      channelClosed: (id) => this.close(this.atServer, id),
      closed: (...why) => void this.ended.push(why),
    });
    const { client } = this;
    const engine: Engine = {
      receive: (t, b) => client.receive(t, b),
      append: (t, b) => (client.idle(t) ? 0 : client.mux.append(t, b)),
      deadline: () => client.deadline(),
      advance: (t) => client.advance(t),
    };
    this.w.join(this.newest(engine), this.newest(this.server), way, way);
    client.link(0, 50);
    this.server.link(0);
    this.run(() => client.phase === open);
  }

  /** An engine whose datagrams begin with the number of the link, and which ignores those of other links. */
  private newest(e: Engine): Engine {
    const inner = new Uint8Array(maxPacket);
    return {
      receive: (t, b) => b[0] === this.links && e.receive(t, b.slice(1)),
      append: (t, b, limit) => {
        const n = e.append(t, inner, limit - 1);
        b[0] = this.links;
        b.set(inner.subarray(0, n), 1);
        return n && n + 1;
      },
      deadline: () => e.deadline(),
      advance: (t) => e.advance(t),
    };
  }

  /** Moves the session to a new link. */
  move(): void {
    this.links++;
    this.server.link(this.w.now);
    this.client.link(this.w.now, 50);
  }

  run(done: () => boolean): void {
    this.w.run(60_000, () => done() || this.ended.length > 0);
  }

  /** Opens a channel at one end, if the end has a number for it. */
  open(n: number, byClient: boolean): boolean {
    const name = `life${n}`;
    const mode = modes[n % 4]!;
    const life: Life = { name, out: new Ledger(n % 64, mode), back: new Ledger(n % 64, mode), closed: 0 };
    const c = { name, mode, maxMessage: 4000, queueLimit: 64 << 10 };
    this.lives.set(name, life);
    if (byClient) {
      try {
        this.client.openChannel(this.w.now, c);
      } catch {
        return false;
      }
      this.atClient.set(
        this.client.config.table.findIndex((c) => c?.name === name),
        life,
      );
      return true;
    }
    const id = this.server.openChannel(this.w.now, openLine(full(c), 60 + (n % 4)));
    if (id) this.atServer.set(id, life);
    return id > 0;
  }

  /** Sends on all channels at both ends that take messages. */
  send(size: () => number): void {
    const { now } = this.w;
    for (const [id, { out }] of this.atClient) if (this.takes(id)) this.client.send(now, id, out.next(size()));
    for (const [id, { back }] of this.atServer) if (!this.server.send(now, id, back.next(size()))) back.sent--;
  }

  takes(id: number): boolean {
    const s = this.client.mux.outbox.senders[id];
    return !!s && !this.client.ending.has(id) && s.free() > 3500;
  }

  private close(end: Map<number, Life>, id: number, name?: string): void {
    const life = end.get(id)!;
    if (name) expect(life.name).toBe(name);
    end.delete(id);
    if (++life.closed < 2) return;
    life.out.check();
    life.back.check();
  }
}

test.each([1, 2, 3, 4, 5])(
  "seed %i: on a bad link no message of a channel is lost, doubled or on the next channel with its number",
  (seed) => {
    const draw = random(seed);
    const l = new Lives(seed, { delay: 20, jitter: 30, loss: 0.15, duplicate: 0.1, reorder: 0.1, hold: 60 });
    const numbers = new Set<number>();
    let opened = 0;
    l.w.every(40, 1000, (i) => {
      if (opened < 120 && draw() < 0.5 && l.open(opened, draw() < 0.5)) opened++;
      l.send(() => (draw() < 0.1 ? 3000 : draw() * 300));
      for (const end of [l.atClient, l.atServer]) {
        for (const [id, { out, back }] of end) {
          if (out.sent + back.sent < 4 || draw() > 0.1) continue;
          if (end === l.atServer) l.server.closeChannel(l.w.now, id);
          else if (!l.client.ending.has(id)) l.client.closeChannel(id);
        }
      }
      if (i % 150 === 149) l.move();
    });
    l.run(() => {
      for (const id of [...l.atClient.keys(), ...l.atServer.keys()]) numbers.add(id);
      return opened === 120 && [...l.lives.values()].filter(({ closed }) => closed === 2).length === 120;
    });
    expect(l.ended).toEqual([]);
    expect([opened, l.atClient.size, l.atServer.size]).toEqual([120, 0, 0]);
    expect([...numbers].sort()).toEqual([57, 58, 59, 60, 61, 62, 63]);
    expect(Object.values(l.client.config.table).length).toBe(57);
  },
);
