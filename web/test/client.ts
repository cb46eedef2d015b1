// A page in virtual time, the server that it connects to, and a Conn of the source.
import { afterEach, beforeEach, expect, vi } from "vitest";
import { Conn } from "../src/conn";
import { type ConnectOptions } from "../src/options";
import { Server } from "./page";

export const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
export const url = "https://game.example/godwit/";
export type Joined = Conn<typeof channels>;

/** Lets time pass and runs the timers. */
export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
export const text = (b: Uint8Array | undefined): string => Buffer.from(b!).toString();

/** The fixture of the tests of a file. */
export class Client {
  server!: Server;
  readonly listeners = new Map<string, Set<(e: Event) => void>>(); // of the page
  private asleep = 0;

  /** Lets the clock run while no timer fires, as when the page sleeps. */
  sleep(ms: number): void {
    this.asleep += ms;
  }

  /** Calls the listeners of the page with an event. */
  fire(type: string, persisted = true): void {
    for (const f of this.listeners.get(type) ?? []) f(Object.assign(new Event(type), { persisted }));
  }

  async join(options: Partial<ConnectOptions<typeof channels>> = {}): Promise<Joined> {
    const conn = new Conn(url, { channels, ...options });
    await pass(500);
    expect(conn.state).toBe("open");
    return conn;
  }

  /** Makes the server refuse offers with a status; 0 ends that. */
  refuse(status: number, code = "full", more: Record<string, string> = {}): void {
    this.server.refusal = status;
    this.server.says = { code, error: "no", ...more };
  }

  begin(): void {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
    this.asleep = 0;
    const now = performance.now.bind(performance);
    Object.assign(performance, { now: () => now() + this.asleep });
    this.listeners.clear();
    const of = (type: string): Set<(e: Event) => void> => {
      if (!this.listeners.has(type)) this.listeners.set(type, new Set());
      return this.listeners.get(type)!;
    };
    vi.stubGlobal("addEventListener", (type: string, f: (e: Event) => void) => of(type).add(f));
    vi.stubGlobal("removeEventListener", (type: string, f: (e: Event) => void) => of(type).delete(f));
    this.server = new Server(channels);
  }

  end(): void {
    vi.unstubAllGlobals(); // before the real timers: a test may have replaced those of the fake clock
    vi.restoreAllMocks();
    vi.useRealTimers();
  }

  /** Returns the number of timers of the client: the server has one. */
  get timers(): number {
    return vi.getTimerCount() - 1;
  }

  /** Returns the events of the page for which there are listeners. */
  get heard(): string[] {
    return [...this.listeners].filter(([, all]) => all.size).map(([type]) => type);
  }
}

/** Returns a Client that begins and ends with each test of the file. */
export function client(): Client {
  const c = new Client();
  beforeEach(() => c.begin());
  afterEach(() => c.end());
  return c;
}

/** Returns the list of the events of a Conn, by name. */
export function told(conn: Joined): string[] {
  const events: string[] = [];
  for (const type of ["interrupted", "resumed", "close"] as const) conn.addEventListener(type, () => events.push(type));
  return events;
}
