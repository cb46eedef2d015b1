// What the tests of kept sessions share: a page with storage, locks and its events, and the clients.
import { vi } from "vitest";
import { type SavedSender } from "../src/queue";
import { type SavedReceiver } from "../src/reassembly";
import { type SavedSession } from "../src/saved";

export const built = (await import(
  new URL("../dist/godwit.keep.min.js", import.meta.url).href
)) as typeof import("../src/godwit");

/** The client from its source, and as the bundle. */
export const clients = [
  ["source", await import("../src/godwit")],
  ["bundle", built],
] as const;

export const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "loot", mode: "reliable-unordered" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
export type Joined = import("../src/godwit").Conn<typeof channels>;
export const url = "https://game.example/godwit/";
export const key = `godwit ${url}`;
export const options = { channels, token: "ticket" };

/** Gives the test its own time, storage and locks. Returns the source of the event pagehide. */
export function stubPage(): EventTarget {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
  const leave = new EventTarget();
  const storage = new Map<string, string>();
  vi.stubGlobal("addEventListener", leave.addEventListener.bind(leave));
  vi.stubGlobal("removeEventListener", leave.removeEventListener.bind(leave));
  vi.stubGlobal("sessionStorage", {
    getItem: (k: string) => storage.get(k) ?? null,
    setItem: (k: string, v: string) => storage.set(k, v),
    removeItem: (k: string) => storage.delete(k),
    clear: () => storage.clear(),
    get length() {
      return storage.size;
    },
  });
  const held = new Set<string>();
  vi.stubGlobal("navigator", {
    locks: {
      async request(name: string, { ifAvailable }: LockOptions, f: (lock: object | null) => Promise<unknown>) {
        await null; // as browsers do
        const free = !held.has(name);
        if (!free && !ifAvailable) await new Promise(() => {}); // until the other page ends
        if (free) held.add(name);
        await f(free ? {} : null);
        if (free) held.delete(name);
      },
    },
  });
  return leave;
}

/** Ends stubPage. */
export function unstubPage(): void {
  vi.useRealTimers();
  vi.unstubAllGlobals();
}

export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** What a saved session has of a channel: its sending and its receiving half. */
export function channelOf(saved: string, id: number): [SavedSender, SavedReceiver] {
  const [, , sender, receiver] = (JSON.parse(saved) as [number, number, SavedSession])[2][6].find(([i]) => i === id)!;
  return [sender!, receiver!];
}

/** Lets time pass until p settles, ms at most. */
export async function within<T>(ms: number, p: Promise<T>): Promise<T> {
  let settled = false;
  const note = (): void => void (settled = true);
  p.then(note, note);
  for (const end = performance.now() + ms; !settled && performance.now() < end; ) await pass(10);
  if (!settled) throw new Error(`not after ${ms} ms`);
  return p;
}
