// What of a session continues in the next page: messages, requests and channels. The server, with the
// engine in Go, sees only a new link.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Mux } from "../src/mux";
import { type FullChannel, full } from "../src/table";
import { utf8 } from "./bytes";
import { GoProcess } from "./gopeer";
import {
  built,
  channelOf,
  channels,
  clients,
  type Joined,
  key,
  options,
  pass,
  stubPage,
  unstubPage,
  url,
  within,
} from "./keeping";
import { Ledger } from "./ledger";
import { number, Server } from "./page";
import { random } from "./sim";

let go: GoProcess;
beforeAll(() => {
  go = new GoProcess();
});
afterAll(() => go.stop());

let server: Server;
let leave: EventTarget; // the source of the event pagehide
beforeEach(() => {
  leave = stubPage();
  server = new Server(channels);
});
afterEach(unstubPage);

const reload = (): boolean => leave.dispatchEvent(new Event("pagehide"));

describe.each(clients)("%s", (_, { connect, keep, RequestError, resume, suspend }) => {
  test.each([1, 2, 3, 4])("seed %i: pages that end at any moment lose nothing, and get nothing twice", async (seed) => {
    const draw = random(seed);
    server = new Server(channels, (events) => go.mux(channels, true, events));
    const ways = [new Ledger(1, "sequenced"), new Ledger(2, "reliable-unordered"), new Ledger(3, "reliable-ordered")];
    const echoes = ways.map(({ channel, mode }) => new Ledger(channel, mode));
    const listen = (conn: Joined): void => channels.forEach(({ name }, i) => void conn.on(name, (b) => echoes[i]!.take(b)));
    const size = (): number => (draw() < 0.05 ? 5000 : draw() * 300);
    server.loss = 0.1;
    let conn = await within(20_000, connect(url, options));
    for (let page = 0; page < 12; page++) {
      if (page % 3 > 0) listen(conn); // otherwise the program does not listen, and the messages are kept
      for (let i = Math.floor(draw() * 40); i > 0; i--) {
        if (conn.state === "open") conn.send("moves", ways[0]!.next(size()));
        conn.send("loot", ways[1]!.next(size()));
        conn.send("chat", ways[2]!.next(size()));
        await pass(draw() * 30);
      }
      const saved = suspend(conn);
      expect(await conn.closed).toMatchObject({ code: 0, reason: "suspended", remote: false });
      conn = await within(20_000, resume(url, options, saved));
      expect([conn.continued, conn.state, conn.id]).toEqual([true, "open", number(1)]);
    }
    listen(conn);
    const s = server.sessions[0]!;
    for (let i = 0; i < 50 && echoes[2]!.came.length < ways[2]!.sent; i++) await pass(200);
    await pass(500);
    for (const [channel, b] of s.came) {
      const l = ways[channel - 1]!;
      l.take(b);
    }
    for (const l of [...ways, ...echoes]) {
      l.sent = ways[l.channel - 1]!.sent;
      l.check();
    }
    expect(ways[2]!.sent).toBeGreaterThan(100);
    expect([s.hellos, s.moves.at(-1)]).toEqual([1, 12]);
    expect(server.asked.filter((a) => a === "Bearer ticket").length).toBe(1);
  });

  test("messages that were sent or received in part continue in both directions, and no piece is sent again that has arrived", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    const mux = s.mux as Mux;
    const channel = s.channel!;
    const big = (n: number): Uint8Array => new Uint8Array(5000).map((_, i) => i * n);
    const [send, fromServer] = [channel.send, channel.fromServer];
    const least = { up: 2, down: 2 }; // large packets that arrive
    channel.send = (b) => (b.length < 500 || least.up-- > 0) && send.call(channel, b);
    channel.fromServer = (b) => (b.length < 500 || least.down-- > 0) && fromServer.call(channel, b);
    const fate = first.send("chat", big(3), { receipt: true });
    await pass(100);
    mux.send(performance.now(), 2, big(5));
    s.flush();
    await pass(60);
    mux.send(performance.now(), 2, utf8("small"));
    s.flush();
    await pass(60);
    first.send("chat", utf8("late"), { deadline: 1000 }); // it has expired when the next page continues
    first.send("chat", utf8("kept"));
    const saved = suspend(first);
    expect([await fate, channel.readyState]).toEqual(["abandoned", "closed"]);
    const [[, messages]] = channelOf(saved, 3);
    const [, sent, acked] = messages[0]!;
    expect([sent > 2, acked.filter(Boolean).length]).toEqual([true, 2]);
    await pass(2000);
    const second = await within(1000, resume(url, options, saved));
    const heard: Uint8Array[] = [];
    second.on("loot", (b) => heard.push(b));
    await pass(2000);
    expect(s.came).toEqual([
      [3, big(3)],
      [3, utf8("kept")],
    ]);
    expect(heard.map((b) => b.length).sort()).toEqual([5, 5000]);
    expect(heard.find((b) => b.length > 5)).toEqual(big(5));
    expect(mux.channelStats(3).duplicates).toBe(0);
    expect(second.channelStats("loot").duplicates).toBe(0);
    expect([second.stats().queued, second.stats().held, mux.stats().queued]).toEqual([0, 0, 0]);
    const [, [base]] = channelOf(suspend(second), 2);
    expect(base, "nothing is missing: the small one was delivered before").toBe(2);
    await pass(500);
  });

  test("a session continues in a page with another bundle", async () => {
    const plain = (await import(new URL("../dist/godwit.js", import.meta.url).href)) as typeof built;
    for (const [a, b] of [
      [built, plain],
      [plain, built],
    ] as const) {
      server = new Server(channels);
      const conn = await within(500, a.connect(url, options));
      conn.send("chat", new Uint8Array(5000));
      const next = await within(1000, b.resume(url, options, a.suspend(conn as never)));
      await pass(300);
      expect([next.continued, server.sessions[0]!.came.map(([, m]) => m.length)]).toEqual([true, [5000]]);
      void next.close();
      await pass(300);
    }
  });

  test("a request of the page ends with it; a request of the server is served by the next page", async () => {
    const first = await within(500, connect(url, options));
    const asked: string[] = [];
    first.handle("where", () => new Promise(() => {}));
    server.sessions[0]!.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where"), ...utf8("Ann")));
    await pass(100);
    const call = expect(first.request("upper", utf8("x"))).rejects.toThrow(RequestError);
    const saved = suspend(first);
    await call;
    const second = await within(5000, resume(url, options, saved));
    second.handle("where", (b) => {
      asked.push(Buffer.from(b).toString());
      return utf8("here");
    });
    const reply = second.request("upper", utf8("abc"));
    await pass(300);
    expect(Buffer.from((await reply)!).toString()).toBe("ABC");
    expect(asked).toEqual(["Ann"]);
    expect(server.answers.map(({ id, payload }) => [id, Buffer.from(payload).toString()])).toEqual([[9, "here"]]);
  });

  const where = Uint8Array.of(3, 0, 0, 0, 9, 5, ...utf8("where"), ...utf8("Ann"));
  const here = (conn: Joined): Joined => {
    conn.handle("where", () => utf8("here"));
    return conn;
  };
  const answers = (): unknown[] => server.answers.map(({ type, id, payload }) => [type, id, Buffer.from(payload).toString()]);

  test("a request that was sent while there was no page is served by the next", async () => {
    const saved = suspend(await within(500, connect(url, options)));
    server.sessions[0]!.mux.send(performance.now(), 0, where);
    await within(1000, resume(url, options, saved).then(here));
    await pass(200);
    expect(answers()).toEqual([[4, 9, "here"]]);
  });

  test("a request that waits for its answer while the link changes again is served once", async () => {
    const saved = suspend(await within(500, connect(url, options)));
    server.sessions[0]!.mux.send(performance.now(), 0, where);
    let served = 0;
    const second = await within(1000, resume(url, options, saved));
    second.handle("where", () => (served++, new Promise(() => {})));
    await pass(200);
    const third = await within(1000, resume(url, options, suspend(second)));
    third.handle("where", () => (served++, new Promise(() => {})));
    await pass(200);
    server.sessions[0]!.channel!.end();
    await pass(1000);
    expect([third.state, server.sessions[0]!.moves.length, served]).toEqual(["open", 3, 2]);
  });

  test("a request outlives a page that ends before it receives anything from the server", async () => {
    const first = await within(500, keep(url, options));
    first.handle("where", () => new Promise(() => {}));
    server.sessions[0]!.mux.send(performance.now(), 0, where);
    await pass(100);
    reload();
    server.dark = true;
    void keep(url, options).catch(() => {});
    await pass(100);
    reload();
    server.dark = false;
    const third = await within(1000, keep(url, options).then(here));
    await pass(200);
    expect([third.continued, answers()]).toEqual([true, [[4, 9, "here"]]]);
  });

  test("a page that ends before it receives anything from the server saves the session unchanged", async () => {
    const first = await within(500, keep(url, options));
    first.handle("where", () => new Promise(() => {}));
    const s = server.sessions[0]!;
    const mux = s.mux as Mux;
    const channel = s.channel!;
    first.send("chat", utf8("arrives"));
    await pass(100);
    const { fromServer } = channel;
    let large = 1; // large packets that arrive
    channel.fromServer = (b) => (b.length < 500 || large-- > 0) && fromServer.call(channel, b);
    mux.send(performance.now(), 0, where);
    for (const b of [new Uint8Array(5000).fill(1), utf8("heard by nobody")]) {
      mux.send(performance.now(), 2, b);
      s.flush();
      await pass(60);
    }
    first.send("chat", new Uint8Array(100_000), { key: "map" });
    first.send("chat", utf8("waits"), { deadline: 60_000 });
    await pass(60);
    reload();
    const saved = sessionStorage.getItem(key)!;
    const [[, messages]] = channelOf(saved, 3);
    const [, [base, partials]] = channelOf(saved, 2);
    expect([messages.length, messages[0]![0], base]).toEqual([2, 1, 0]);
    expect(partials, "one in part, and one that is complete").toEqual([
      [0, [expect.any(Array), { b: expect.any(String) }]],
      [1, null],
    ]);
    const [, sent, acked] = messages[0]!;
    expect([sent > 0 && sent < acked.length, acked.includes(true)]).toEqual([true, true]);
    server.dark = true;
    void keep(url, options).catch(() => {});
    await pass(100);
    reload();
    const again = JSON.parse(sessionStorage.getItem(key)!) as unknown[];
    expect(again).toEqual(Object.assign(JSON.parse(saved), { 1: again[1] }));
  });

  test("a deadline is saved as wall-clock time, because the monotonic clock of the next page begins again", async () => {
    const first = await within(500, connect(url, options));
    const { came } = server.sessions[0]!;
    server.dark = true;
    first.send("chat", utf8("expires"), { deadline: 1000 });
    first.send("chat", utf8("stays"), { deadline: 5000 });
    const saved = suspend(first);
    await pass(2000);
    server.dark = false;
    const before = performance.now();
    const now = performance.now.bind(performance);
    Object.assign(performance, { now: () => now() - before });
    await within(1000, resume(url, options, saved));
    await pass(500);
    expect(came.map(([, b]) => Buffer.from(b).toString())).toEqual(["stays"]);
  });

  test("sequenced messages that no listener has received end with their page", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    s.mux.send(performance.now(), 1, utf8("old"));
    s.mux.send(performance.now(), 3, utf8("kept"));
    s.flush();
    await pass(100);
    const second = await within(1000, resume(url, options, suspend(first)));
    const heard: string[] = [];
    for (const name of ["moves", "chat"] as const) second.on(name, (b) => heard.push(Buffer.from(b).toString()));
    await pass(500);
    expect(heard).toEqual(["kept"]);
  });

  test("messages that were acknowledged before a missing one do not block those after it", async () => {
    const first = await within(500, connect(url, options));
    const { channel, came } = server.sessions[0]!;
    const { send } = channel!;
    channel!.send = (b) => !Buffer.from(b as Uint8Array).includes("one") && send.call(channel, b);
    for (const word of ["one", "two"]) {
      first.send("chat", utf8(word));
      await pass(50);
    }
    const fourth = first.send("chat", utf8("three"));
    const saved = suspend(first);
    const [[, messages]] = channelOf(saved, 3);
    const acked = messages.map((m) => m[2][0]);
    expect([acked, fourth]).toEqual([[false, true, false], undefined]);
    await within(1000, resume(url, options, saved));
    await pass(500);
    expect(came.map(([, b]) => Buffer.from(b).toString())).toEqual(["one", "two", "three"]);
  });

  test("suspend from a handler saves the other messages of the same packet", async () => {
    const first = await within(500, connect(url, options));
    const heard: string[] = [];
    const note = (b: Uint8Array): number => heard.push(Buffer.from(b).toString());
    let saved = "";
    first.on("chat", (b) => {
      note(b);
      saved = suspend(first);
    });
    const { mux } = server.sessions[0]!;
    for (const word of ["a", "b", "c"]) mux.send(performance.now(), 3, utf8(word));
    mux.send(performance.now(), 0, where);
    await pass(100);
    expect(heard).toEqual(["a"]);
    const second = await within(1000, resume(url, options, saved).then(here));
    second.on("chat", note);
    await pass(200);
    expect([heard, answers()]).toEqual([["a", "b", "c"], [[4, 9, "here"]]]);
  });

  test("suspend from a handler saves the messages that came before there was a listener", async () => {
    const first = await within(500, connect(url, options));
    const heard: string[] = [];
    const { mux } = server.sessions[0]!;
    for (const word of ["a", "b", "c"]) mux.send(performance.now(), 3, utf8(word));
    await pass(100);
    let saved = "";
    first.on("chat", (b) => {
      heard.push(Buffer.from(b).toString());
      saved = suspend(first);
    });
    expect(heard).toEqual(["a"]);
    const second = await within(1000, resume(url, options, saved));
    second.on("chat", (b) => heard.push(Buffer.from(b).toString()));
    await pass(200);
    expect(heard).toEqual(["a", "b", "c"]);
  });

  test("a channel that the server opened continues, with the messages that were sent on it", async () => {
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    const bag = { name: "bag", mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 } as const;
    s.open("4 bag reliable-ordered both 100 1000", full(bag));
    await pass(200);
    first.send(first.channels[0]!.name, utf8("one"));
    const second = await within(5000, resume(url, options, suspend(first)));
    expect(second.channels).toEqual([expect.objectContaining(bag)]);
    const { name } = second.channels[0]!;
    const heard: string[] = [];
    second.on(name, (b) => heard.push(Buffer.from(b).toString()));
    second.send(name, utf8("two"));
    await pass(300);
    expect([heard, s.opened]).toEqual([["one", "two"], [4]]);
  });

  test("channels that either end has opened continue in each of their phases", async () => {
    server.most = 5;
    const first = await within(500, connect(url, options));
    const s = server.sessions[0]!;
    const c = (name: string): FullChannel => full({ name, mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 });
    for (const name of ["asked", "open", "ending", "said"]) first.openChannel({ ...c(name), copies: 3 });
    await pass(200);
    expect(s.lines.map((line) => line.split(" ")[0])).toEqual(["4", "5", "6", "7"]);
    s.open("9 heard reliable-ordered both 100 1000", undefined);
    s.mux.open!(c("heard"), 9);
    const second = await within(5000, resume(url, options, suspend(first)));
    expect(second.channels.map(({ name, copies }) => [name, copies])).toEqual([
      ["asked", 3],
      ["open", 3],
      ["ending", 3],
      ["said", 3],
      ["heard", 0],
    ]);
    await pass(300);
    for (const id of [4, 5, 6, 7]) s.answer(id, c(`${id}`));
    await pass(300);
    const names = second.channels.map(({ name }) => name);
    expect(names).toEqual(["asked", "open", "ending", "said", "heard"]);
    second.closeChannel(names[3]!);
    await pass(300);
    expect(s.shut).toEqual([7]);
    second.send(names[2]!, utf8("last"));
    second.closeChannel(names[2]!); // not acknowledged when the page goes
    s.shutChannel(9);
    const third = await within(5000, resume(url, options, suspend(second)));
    const closed: string[] = [];
    third.addEventListener("channelclosed", ({ channel }) => closed.push(channel.name));
    await pass(500);
    expect([closed, s.shut]).toEqual([[], [7, 6, 9]]); // "heard" was closed before resume returned
    expect(s.came.map(([id, b]) => [id, Buffer.from(b).toString()])).toEqual([[6, "last"]]);
    s.shutChannel(7);
    s.shutChannel(6);
    await pass(300);
    expect([closed, third.channels.map(({ name }) => name)]).toEqual([
      ["said", "ending"],
      ["asked", "open"],
    ]);
    third.openChannel(c("next"));
    await pass(200);
    expect([s.lines.at(-1), third.state]).toEqual(["6 next reliable-ordered both 100 1000 0 0 1", "open"]);
  });
});
