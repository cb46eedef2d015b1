// Channels with compress, against the engine in Go.
import { deflateRawSync, constants as zlib } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { deferred } from "../src/deferred";
import { type Channel } from "../src/table";
import { GoProcess } from "./gopeer";
import { clients, pass, stubPage, unstubPage, url, within } from "./keeping";
import { Server } from "./page";
import { random } from "./sim";

const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "loot", mode: "reliable-unordered", compress: true },
  { name: "chat", mode: "reliable-ordered", compress: true, maxMessage: 100_000, queueLimit: 200_000 },
] as const satisfies readonly Channel[];
const [moves, loot, chat] = [1, 2, 3];
const options = { channels, token: "ticket" };

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

let server: Server;
beforeEach(() => {
  stubPage();
  server = new Server(channels, (events) => go.mux(channels, true, events));
});
afterEach(unstubPage);

const rest = globalThis.setTimeout; // in real time

/**
 * Lets time pass until ok, and gives the streams, which have no virtual time, theirs: on a busy machine they may take
 * seconds.
 */
async function until(ok: () => boolean): Promise<void> {
  for (let i = 0; !ok(); i++) {
    expect(i, "this does not happen").toBeLessThan(10_000);
    await new Promise((resolve) => (i < 2000 ? setImmediate(resolve) : rest(resolve, 10)));
    await pass(5);
  }
}

const hash = (b: Uint8Array): string => `${b.length} ${Buffer.from(b).toString("latin1")}`;

/** A message of any length that gets smaller or not. */
function anyMessage(draw: () => number): Uint8Array {
  const b = new Uint8Array([0, 10, 511, 512, 3000, 20_000][Math.floor(draw() * 6)]!);
  const kind = draw();
  return b.map((_, i) => (kind < 0.3 ? draw() * 256 : kind < 0.6 ? i : 97 + draw() * 4));
}

/** Replaces a stream of the browser by one that waits for open, and that adds up the bytes that come out. */
function stubStream(name: "CompressionStream" | "DecompressionStream", opened?: Promise<unknown>): { out: number } {
  const Real = globalThis[name];
  const count = { out: 0 };
  vi.stubGlobal(
    name,
    class {
      readonly writable: WritableStream;
      readonly readable: ReadableStream;
      constructor(format: CompressionFormat) {
        const real = new Real(format);
        const before = new TransformStream<BufferSource, BufferSource>({
          async transform(b, c) {
            await opened;
            c.enqueue(b);
          },
        });
        const after = new TransformStream<Uint8Array, Uint8Array>({
          transform(b, c) {
            count.out += b.length;
            c.enqueue(b);
          },
        });
        this.writable = before.writable;
        this.readable = before.readable.pipeThrough(real).pipeThrough(after);
      }
    },
  );
  return count;
}

/** A server whose engine sends the bytes of messages as they are. */
const rawServer = (): Server =>
  new Server(channels.map((c) => ({ ...c, compress: false, maxMessage: 200_000, queueLimit: 1 << 20 })));

const bomb = (n: number): Uint8Array => new Uint8Array([1, ...deflateRawSync(new Uint8Array(n))]);

describe.each(clients)("%s", (_, { connect, resume, suspend }) => {
  test.each([1, 2])("seed %i: messages of all kinds, both ways, over links that change", async (seed) => {
    const draw = random(seed);
    const conn = await within(20_000, connect(url, options));
    const echoes: Uint8Array[] = [];
    const all: Uint8Array[] = [];
    const found = new Map<string, number>();
    conn.on("chat", (b) => echoes.push(b));
    conn.on("loot", (b) => found.set(hash(b), (found.get(hash(b)) ?? 0) + 1));
    server.loss = 0.05;
    const fates: string[] = [];
    let things = 0;
    for (let i = 0; i < 60; i++) {
      const b = anyMessage(draw);
      await until(() => conn.free("chat") > 20_000);
      void conn.send("chat", b, { receipt: true }).then((fate) => fates.push(fate));
      all.push(b.slice());
      b.fill(0); // send has copied it
      if (i % 3 === 0) conn.send("loot", new Uint8Array(600 + things++));
      if (i % 20 === 10) server.sessions[0]!.channel!.end();
    }
    // The receipt of the last message may come after its echo: an acknowledgement that is lost is sent again.
    await until(() => echoes.length >= all.length && found.size >= things && fates.length >= all.length);
    expect(echoes.map(hash)).toEqual(all.map(hash));
    expect(server.sessions[0]!.came.filter(([c]) => c === chat).map(([, b]) => hash(b))).toEqual(all.map(hash));
    expect([...found.values()]).toEqual(Array(things).fill(1));
    expect(new Set(fates)).toEqual(new Set(["delivered"]));
    const s = conn.channelStats("chat");
    const bytes = all.reduce((n, b) => n + b.length, 0);
    expect([s.bytesOut, s.bytesIn, s.messagesOut, s.messagesIn]).toEqual([bytes, bytes, all.length, all.length]);
    expect(s.wireOut).toBeLessThan(0.7 * bytes);
    expect(s.wireIn).toBeLessThan(0.7 * bytes);
    expect(conn.free("chat")).toBe(100_000);
  });

  test("messages behind one that is being deflated wait for it; those of other channels do not", async () => {
    const { promise, resolve } = deferred<void>();
    stubStream("CompressionStream", promise);
    const conn = await within(20_000, connect(url, options));
    conn.send("chat", new Uint8Array(90_000));
    expect([conn.free("chat"), conn.stats().queued]).toEqual([100_000, 90_033]);
    conn.send("chat", Uint8Array.of(1));
    conn.send("moves", Uint8Array.of(2));
    const { came } = server.sessions[0]!;
    await pass(100);
    expect(came.map(([c, b]) => [c, b.length])).toEqual([[moves, 1]]);
    resolve();
    await until(() => came.length === 3);
    expect(came.map(([c, b]) => [c, b.length])).toEqual([
      [moves, 1],
      [chat, 90_000],
      [chat, 1],
    ]);
  });

  test("messages that are being inflated come before the end of the session, and those of other channels before them", async () => {
    const { promise, resolve } = deferred<void>();
    stubStream("DecompressionStream", promise);
    const conn = await within(20_000, connect(url, options));
    const told: unknown[] = [];
    conn.on("chat", (b) => told.push(b.length));
    conn.on("moves", (b) => told.push(b[0]));
    conn.addEventListener("close", () => told.push("close"));
    const s = server.sessions[0]!;
    for (const [c, n] of [
      [chat, 50_000],
      [chat, 600],
      [chat, 7],
      [moves, 1],
    ] as const) {
      s.mux.send(performance.now(), c, c === moves ? Uint8Array.of(99) : new Uint8Array(n));
    }
    s.flush();
    await pass(50);
    expect(told).toEqual([99]);
    s.close(300);
    s.flush();
    await pass(50);
    expect(told).toEqual([99]);
    resolve();
    await until(() => told.includes("close"));
    expect(told).toEqual([99, 50_000, 600, 7, "close"]);
  });

  test("a message that is being inflated when the page closes the session does not come after that", async () => {
    const { promise, resolve } = deferred<void>();
    stubStream("DecompressionStream", promise);
    const conn = await within(20_000, connect(url, options));
    const came: number[] = [];
    conn.on("chat", (b) => came.push(b.length));
    const s = server.sessions[0]!;
    s.mux.send(performance.now(), chat, new Uint8Array(50_000));
    s.flush();
    await pass(50);
    s.flush = () => {}; // so that what the page sends is not acknowledged
    conn.send("loot", Uint8Array.of(1));
    const end = conn.close(300, "enough");
    resolve();
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
    await pass(30_000);
    expect(await end).toMatchObject({ code: 300 });
    expect(came).toEqual([]);
  });

  test("what the page has sent arrives before the end of its session", async () => {
    const conn = await within(20_000, connect(url, options));
    for (let i = 0; i < 3; i++) conn.send("chat", new Uint8Array(30_000 + i));
    const end = conn.close(300, "enough");
    await until(() => server.sessions[0]!.closed !== null);
    expect(await end).toMatchObject({ code: 300, lostOut: 0 });
    expect(server.sessions[0]!.came.map(([, b]) => b.length)).toEqual([30_000, 30_001, 30_002]);
  });

  test("a page that goes takes with it what waits in both directions", async () => {
    const draw = random(5);
    let conn = await within(20_000, connect(url, options));
    const all: string[] = [];
    const echoes: string[] = [];
    for (let page = 0; page < 6; page++) {
      if (page % 3) conn.on("chat", (b) => echoes.push(hash(b)));
      for (let i = 0; i < 8; i++) {
        const b = anyMessage(draw);
        await until(() => conn.free("chat") > 20_000);
        conn.send("chat", b);
        all.push(hash(b));
        await pass(draw() * 20);
      }
      const saved = suspend(conn);
      conn = await within(20_000, resume(url, options, saved));
      expect(conn.continued).toBe(true);
    }
    conn.on("chat", (b) => echoes.push(hash(b)));
    await until(() => echoes.length >= all.length);
    await pass(1000);
    expect(echoes).toEqual(all);
    expect(server.sessions[0]!.came.map(([, b]) => hash(b))).toEqual(all);
  });

  test.each([
    ["no DEFLATE", Uint8Array.of(1, 104, 101, 108, 108, 111)],
    ["half of a message", bomb(50_000).subarray(0, 30)],
    ["a first byte of no meaning", Uint8Array.of(2, 1, 2, 3)],
    ["nothing", new Uint8Array(0)],
    ["more than maxMessage", bomb(100_001)],
  ])("a message that cannot be inflated ends the session: %s", async (_, b) => {
    server = rawServer();
    const conn = await within(20_000, connect(url, options));
    const came: number[] = [];
    conn.on("chat", (b) => came.push(b.length));
    const s = server.sessions[0]!;
    for (const m of [bomb(100_000), b, Uint8Array.of(0, 1, 2)]) s.mux.send(performance.now(), chat, m);
    s.flush();
    await until(() => conn.state === "closed");
    expect(await conn.closed).toMatchObject({ code: 3, reason: "cannot inflate", remote: false });
    expect(came).toEqual([100_000]);
    expect(conn.stats().drops).toEqual({ inflate: 1 });
  });

  test("a bomb is inflated no further than a few MiB", async () => {
    const inflated = stubStream("DecompressionStream");
    server = rawServer();
    const conn = await within(20_000, connect(url, options));
    const s = server.sessions[0]!;
    const part = deflateRawSync(new Uint8Array(1 << 20), { level: 9, finishFlush: zlib.Z_SYNC_FLUSH });
    s.mux.send(
      performance.now(),
      chat,
      new Uint8Array([
        1,
        ...Array(90)
          .fill([...part])
          .flat(),
      ]),
    );
    s.flush();
    await until(() => conn.state === "closed");
    expect((await conn.closed).code).toBe(3);
    expect(inflated.out).toBeLessThan(8 << 20);
  });

  test("without CompressionStream messages go as they are", async () => {
    vi.stubGlobal("CompressionStream", undefined);
    const conn = await within(20_000, connect(url, options));
    const echoes: number[] = [];
    conn.on("chat", (b) => echoes.push(b.length));
    conn.send("chat", new Uint8Array(5000));
    conn.send("chat", new Uint8Array(3));
    await until(() => echoes.length === 2);
    expect(echoes).toEqual([5000, 3]);
    expect(conn.channelStats("chat")).toMatchObject({ bytesOut: 5003, wireOut: 5005, bytesIn: 5003 });
  });

  test("without DecompressionStream a table with compress is refused, unless the client only sends on the channel", async () => {
    vi.stubGlobal("DecompressionStream", undefined);
    await expect(connect(url, options)).rejects.toMatchObject({
      code: "table",
      message: expect.stringContaining("DecompressionStream"),
    });
    const table = [{ name: "chat", mode: "reliable-ordered", compress: true, direction: "to-server" }] as const;
    server = new Server(table);
    const conn = await within(20_000, connect(url, { channels: table, token: "ticket" }));
    expect(conn.state).toBe("open");
  });

  test("nothing is deflated on a channel without compress, and loot is as small as chat", async () => {
    const conn = await within(20_000, connect(url, options));
    conn.send("moves", new Uint8Array(1000));
    conn.send("loot", new Uint8Array(1000));
    await until(() => server.sessions[0]!.came.length === 2);
    expect(conn.channelStats("moves")).toMatchObject({ bytesOut: 1000, wireOut: 1000 });
    expect(conn.channelStats("loot").wireOut).toBeLessThan(50);
    expect(server.sessions[0]!.came.find(([c]) => c === loot)![1]).toEqual(new Uint8Array(1000));
  });
});
