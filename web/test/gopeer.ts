// The Go engine of test/peer, with the methods of a Mux.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type MuxEvents } from "../src/mux";
import { type Channel, fullTable, tableText } from "../src/table";
import { type Engine } from "./sim";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** GoProcess is the program. Its pipes are files, so that a call can wait for the answer. */
export class GoProcess {
  private readonly dir = mkdtempSync(join(tmpdir(), "godwit-"));
  private readonly child: ChildProcess;
  private readonly requests: number;
  private readonly answers: number;
  private muxes = 0;

  constructor() {
    const program = join(this.dir, "peer");
    const [requests, answers] = [join(this.dir, "requests"), join(this.dir, "answers")];
    execFileSync("go", ["build", "-o", program, "./web/test/peer"], { cwd: root });
    execFileSync("mkfifo", [requests, answers]);
    this.child = spawn(program, [requests, answers], { stdio: ["ignore", "ignore", "inherit"] });
    this.requests = openSync(requests, "w");
    this.answers = openSync(answers, "r");
  }

  ask(kind: number, ...parts: Uint8Array[]): Buffer {
    const body = Buffer.concat(parts);
    const head = Buffer.alloc(5);
    head[0] = kind;
    head.writeUInt32BE(body.length, 1);
    writeSync(this.requests, Buffer.concat([head, body]));
    return this.read(this.read(4).readUInt32BE());
  }

  private read(n: number): Buffer {
    const b = Buffer.alloc(n);
    for (let got = 0; got < n; ) {
      const m = readSync(this.answers, b, got, n - got, null);
      if (m === 0) throw new Error("the Go peer has ended");
      got += m;
    }
    return b;
  }

  mux(channels: readonly Channel[], server: boolean, events: Partial<MuxEvents>): GoMux {
    return new GoMux(this, this.muxes++ % 256, channels, server, events);
  }

  /** Returns a session at the server whose client may open channels. */
  session(channels: readonly Channel[], most: number, events: GoSessionEvents): GoSession {
    return new GoSession(this, this.muxes++ % 256, channels, most, events);
  }

  stop(): void {
    closeSync(this.requests);
    closeSync(this.answers);
    this.child.unref();
    rmSync(this.dir, { recursive: true });
  }
}

export interface GoStats {
  drops: Record<string, number>;
  packetsIn: number;
  held: number;
  queued: number;
  rate: number;
  again: number; // pieces that were sent more than once
}

const u32 = (v: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(v);
  return b;
};
const f64 = (v: number): Buffer => {
  const b = Buffer.alloc(8);
  b.writeDoubleBE(v);
  return b;
};

/** GoMux is a Mux of the program. */
export class GoMux implements Engine {
  private readonly name: Uint8Array;

  constructor(
    private readonly go: GoProcess,
    name: number,
    channels: readonly Channel[],
    server: boolean,
    private readonly events: Partial<MuxEvents>,
  ) {
    this.name = Uint8Array.of(name);
    go.ask(0, this.name, Uint8Array.of(server ? 1 : 0), Buffer.from(tableText(fullTable(channels))));
  }

  receive(t: number, b: Uint8Array): void {
    this.happened(this.go.ask(1, this.name, f64(t), b));
  }

  append(t: number, b: Uint8Array, limit: number): number {
    const packet = this.go.ask(2, this.name, f64(t), u32(limit));
    b.set(packet);
    return packet.length;
  }

  send(t: number, channel: number, b: Uint8Array): boolean {
    return this.go.ask(3, this.name, f64(t), Uint8Array.of(channel), b)[0] === 0;
  }

  advance(t: number): void {
    this.happened(this.go.ask(4, this.name, f64(t)));
  }

  deadline(): number {
    return this.go.ask(5, this.name).readDoubleBE();
  }

  relink(t: number, _rtt?: number, reliable = false): void {
    this.go.ask(6, this.name, f64(t), Uint8Array.of(reliable ? 1 : 0));
  }

  close(t: number, code: number, reason: string): void {
    this.happened(this.go.ask(8, this.name, f64(t), u32(code), Buffer.from(reason)));
  }

  stats(): GoStats {
    return JSON.parse(this.go.ask(7, this.name).toString()) as GoStats;
  }

  private happened(b: Buffer): void {
    for (let at = 0; at < b.length; ) {
      const closed = b[at++] === 1;
      const code = closed ? b.readUInt32BE(at) : b[at]!;
      at += closed ? 4 : 1;
      const n = b.readUInt32BE(at);
      const body = b.subarray(at + 4, (at += 4 + n));
      if (closed) this.events.closed?.(code, body.toString(), 0);
      else this.events.message?.(code, new Uint8Array(body));
    }
  }
}

/** The events of a GoSession. */
export interface GoSessionEvents {
  message(channel: number, b: Uint8Array): void;
  opened(channel: number, name: string): void;
  channelClosed(channel: number): void;
  closed(code: number, reason: string): void;
}

/** GoSession is a session at a server of the program. */
export class GoSession implements Engine {
  private readonly name: Uint8Array;

  constructor(
    private readonly go: GoProcess,
    name: number,
    channels: readonly Channel[],
    most: number,
    private readonly events: GoSessionEvents,
  ) {
    this.name = Uint8Array.of(name);
    go.ask(9, this.name, Uint8Array.of(most), Buffer.from(tableText(fullTable(channels))));
  }

  receive(t: number, b: Uint8Array): void {
    this.tell(this.go.ask(1, this.name, f64(t), b));
  }

  append(t: number, b: Uint8Array, limit: number): number {
    const packet = this.go.ask(2, this.name, f64(t), u32(limit));
    b.set(packet);
    this.tell(this.go.ask(12, this.name, f64(t)));
    return packet.length;
  }

  send(t: number, channel: number, b: Uint8Array): boolean {
    return this.go.ask(3, this.name, f64(t), Uint8Array.of(channel), b)[0] === 0;
  }

  advance(t: number): void {
    this.tell(this.go.ask(4, this.name, f64(t)));
  }

  deadline(): number {
    return this.go.ask(5, this.name).readDoubleBE();
  }

  link(t: number): void {
    this.tell(this.go.ask(6, this.name, f64(t)));
  }

  /** Opens the channel of a line of the table's text, and returns its number, or 0 if it was refused. */
  openChannel(t: number, line: string): number {
    return this.go.ask(10, this.name, f64(t), Buffer.from(line))[0]!;
  }

  closeChannel(t: number, channel: number): boolean {
    return this.go.ask(11, this.name, f64(t), Uint8Array.of(channel))[0] === 0;
  }

  private tell(b: Buffer): void {
    for (let at = 0; at < b.length; ) {
      const kind = b[at++];
      const what = kind === 1 ? b.readUInt32BE(at) : b[at]!;
      at += kind === 1 ? 4 : 1;
      const n = b.readUInt32BE(at);
      const body = b.subarray(at + 4, (at += 4 + n));
      if (kind === 0) this.events.message(what, new Uint8Array(body));
      else if (kind === 1) this.events.closed(what, body.toString());
      else if (kind === 2) this.events.opened(what, body.toString());
      else this.events.channelClosed(what);
    }
  }
}
