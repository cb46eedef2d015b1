// A session of the client, and a Mux as its server, in virtual time.
import { typeWelcome } from "../src/control";
import { Mux } from "../src/mux";
import { Session } from "../src/session";
import { fullTable } from "../src/table";
import { hex, utf8 } from "./bytes";
import { type Engine, muxConfig, type Way, World } from "./sim";

const channels = [
  { name: "moves", mode: "unreliable" },
  { name: "chat", mode: "reliable-ordered" },
] as const;

/** A session, and the Mux of a server, with which a test sends. */
export class Pair {
  readonly w = new World(1);
  readonly told: unknown[] = []; // events of the session
  readonly said: string[] = []; // control messages that the server has received
  readonly came: [number, string][] = [];
  readonly ended: unknown[] = [];
  readonly s: Session;
  readonly server: Mux;
  on: (what: string) => void = () => {};

  constructor(up: Way = { delay: 10 }, down: Way = { delay: 10 }, linked = true) {
    const note =
      (what: string) =>
      (...args: unknown[]): void => {
        this.told.push([what, ...args.map((a) => (a instanceof Uint8Array ? Buffer.from(a).toString() : a))]);
        this.on(what);
      };
    this.s = new Session(
      0,
      { table: fullTable(channels), rtt: 100, rate: 1 << 20, floor: 8 << 10, ceiling: 1 << 20 },
      utf8("hi"),
      {
        opened: note("opened"),
        message: note("message"),
        request: note("request"),
        channel: note("channel"),
        channelClosed: note("channelClosed"),
        interrupted: note("interrupted"),
        resumed: note("resumed"),
        moved: note("moved"),
        closed: note("closed"),
      },
    );
    this.server = new Mux(0, muxConfig(channels, { mine: "to-client", keepAlive: 60_000 }), {
      message: (ch, b) => void (ch ? this.came.push([ch, Buffer.from(b).toString()]) : this.said.push(hex(b))),
      closed: (...why) => void this.ended.push(why),
    });
    const { s } = this;
    const engine: Engine = {
      receive: (t, b) => s.receive(t, b),
      append: (t, b) => (s.idle(t) ? 0 : s.mux.append(t, b)),
      deadline: () => s.deadline(),
      advance: (t) => s.advance(t),
    };
    this.w.join(engine, this.server, up, down);
    if (linked) s.link(0, 20);
  }

  say(...b: number[]): void {
    this.server.send(this.w.now, 0, Uint8Array.from(b));
  }

  welcome(grace = 0x30): this {
    this.say(
      typeWelcome,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      7,
      ...Array.from({ length: 16 }, (_, i) => 255 - i),
      0,
      0,
      0x75,
      grace,
      0,
      0,
      0x27,
      0x10,
    );
    return this;
  }

  /** Lets time pass until everything that was sent has arrived. */
  pass(ms = 100): this {
    this.w.run(ms);
    return this;
  }

  names(): string[] {
    return this.told.map((e) => (e as string[])[0]!);
  }
}

export const opened = (...ways: Way[]): Pair => new Pair(...ways).welcome().pass();
