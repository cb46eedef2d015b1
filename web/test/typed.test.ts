// Typed messages over a Conn: values go in and come out, and bytes that are no message are counted.
import { describe, expect, test } from "vitest";
import { connect, type Reader, sessions, type TypedConn, typed, type Writer } from "../src/typed";
import { utf8 } from "./bytes";
import { channels, client, pass, text, url } from "./client";

interface Move {
  x: number;
  y: number;
}
const byte = (v: number): number => {
  if (v < 0 || v > 255) throw new Error("range");
  return v;
};
const move = {
  write: (w: Writer, { x, y }: Move): void => {
    w.bits(byte(x), 8);
    w.bits(byte(y), 8);
  },
  read: (r: Reader): Move => ({ x: r.bits(8), y: r.bits(8) }),
};
const line = { write: (w: Writer, s: string): void => w.string(s, 20), read: (r: Reader): string => r.string(20) };
const json = {
  encode: (m: unknown): Uint8Array => utf8(JSON.stringify(m)),
  decode: (b: Uint8Array): unknown => JSON.parse(text(b)),
};
const game = {
  channels,
  messages: { moves: move, chat: line },
  requests: { name: [json, json], raw: [null, null] },
  hello: move,
} as const;

const page = client();

/** Connects, and returns the server's end, too. */
async function join(): Promise<{ conn: TypedConn<typeof game>; send: (channel: number, ...b: number[]) => Promise<void> }> {
  const joining = connect(url, game, { hello: { x: 1, y: 2 } });
  await pass(500);
  const conn = await joining;
  const send = async (channel: number, ...b: number[]): Promise<void> => {
    const [s] = page.server.sessions;
    s!.mux.send(performance.now(), channel, Uint8Array.from(b));
    s!.flush();
    await pass(20);
  };
  return { conn, send };
}

test("the other options are those of connect", async () => {
  const joining = connect(url, game, { token: "ticket", app: "7" });
  await pass(500);
  await joining;
  expect([page.server.asked, new URL(page.server.urls[0]!).searchParams.get("app")]).toEqual([["Bearer ticket"], "7"]);
});

describe("values", () => {
  test("go out and come back on channels", async () => {
    const { conn } = await join();
    const moves: Move[] = [];
    const chat: string[] = [];
    conn.on("moves", ({ x, y }) => moves.push({ x, y }));
    const off = conn.on("chat", (s) => chat.push(s));
    conn.send("moves", { x: 7, y: 8 });
    conn.send("chat", "hello");
    await pass(50);
    off();
    conn.send("chat", "nobody hears this");
    await pass(50);
    expect([moves, chat]).toEqual([[{ x: 7, y: 8 }], ["hello"]]);
    expect(page.server.sessions[0]!.came.map(([channel, b]) => [channel, text(b)])).toContainEqual([2, "\x05hello"]);
  });

  test("come one after the other, also those that came before", async () => {
    const { conn, send } = await join();
    await send(2, 1, 97);
    const all = conn.messages("chat");
    await send(2, 1, 98);
    expect([(await all.next()).value, (await all.next()).value]).toEqual(["a", "b"]);
    await all.return();
  });

  test("are the connect message, requests and replies", async () => {
    const { conn, send } = await join();
    const answered = conn.request("name", "ann");
    const raw = conn.request("raw", utf8("ann"));
    await pass(50);
    expect([await answered, await raw]).toEqual(["ANN", utf8("ANN")]);
    conn.handle("name", async (q) => ({ hello: q }));
    await send(0, 3, 0, 0, 0, 9, 4, ...utf8('name"bob"'));
    await pass(50);
    expect(page.server.answers.map((a) => text((a as { payload: Uint8Array }).payload))).toEqual(['{"hello":"bob"}']);
  });

  test("are those of the next session, too", async () => {
    const all = sessions(url, game);
    const first = all.next();
    await pass(500);
    const conn = (await first).value as TypedConn<typeof game>;
    const chat: string[] = [];
    conn.on("chat", (s) => chat.push(s));
    conn.send("chat", "again");
    await pass(50);
    expect(chat).toEqual(["again"]);
    void all.return();
    await pass(50);
  });

  test("that cannot be written are an error that names the channel and the cause", async () => {
    const { conn } = await join();
    expect(() => conn.send("moves", { x: 256, y: 0 })).toThrow("moves: range");
    expect(() => conn.send("chat", "a text of more than twenty bytes")).toThrow("chat: length");
    conn.send("chat", "the next one leaves");
    await pass(50);
    expect(page.server.sessions[0]!.came).toHaveLength(1);
  });
});

describe("bytes that are no message", () => {
  test("are dropped and counted on a sequenced channel", async () => {
    const { conn, send } = await join();
    const moves: Move[] = [];
    conn.on("moves", (m) => moves.push(m));
    await send(1, 1);
    await send(1, 1, 2, 3);
    await send(1, 3, 4);
    expect(moves).toEqual([{ x: 3, y: 4 }]);
    expect([...conn.bad]).toEqual([
      ["moves: truncated", 1],
      ["moves: trailing", 1],
    ]);
    expect(conn.state).toBe("open");
  });

  test("end the session in an answer, also if there are none", async () => {
    const { conn, send } = await join();
    const answer = conn.request("name", "ann");
    const refused = expect(answer).rejects.toThrow("name(): form");
    await send(0, 5, 0, 0, 0, 1); // an acknowledgement comes before the reply
    await refused;
    await pass(50);
    expect(page.server.sessions[0]!.closed).toEqual([3, "name(): form"]);
  });

  test.each([
    ["on a reliable channel", "chat: utf8", [2, 1, 255]],
    ["in a request", "name(): form", [0, 3, 0, 0, 0, 9, 4, ...utf8('name{"')]],
  ])("end the session %s", async (_, why, [channel, ...b]) => {
    const { conn, send } = await join();
    const thrown: unknown[] = [];
    const listen = (e: unknown): unknown => thrown.push(e);
    process.on("uncaughtException", listen);
    conn.on("chat", () => thrown.push("heard"));
    conn.handle("name", () => thrown.push("handled"));
    await send(channel!, ...b);
    await pass(50);
    process.off("uncaughtException", listen);
    expect(thrown.filter((e) => typeof e === "string")).toEqual([]);
    expect(page.server.sessions[0]!.closed).toEqual([3, why]);
    expect(conn.state).toBe("closed");
  });
});

test("typed makes a Conn that was made otherwise a TypedConn", async () => {
  const conn = typed(await page.join(), { channels, messages: { chat: line } });
  const chat: string[] = [];
  conn.on("chat", (s) => chat.push(s));
  conn.on("moves", (b) => chat.push(text(b)));
  conn.send("moves", utf8("bytes"));
  conn.send("chat", "typed");
  await pass(50);
  expect(chat.sort()).toEqual(["bytes", "typed"]);
});

/** What must not compile. */
function wrong(conn: TypedConn<typeof game>): void {
  // @ts-expect-error a message of another type
  conn.send("moves", "a text");
  // @ts-expect-error no such channel
  conn.send("nothing", "a text");
  // @ts-expect-error a handler of another type
  conn.on("chat", (m: Move) => m);
  // @ts-expect-error no such request
  void conn.request("nothing", 1);
}

test("messages of other types do not compile", () => expect(wrong).toBeTypeOf("function"));

// The names of private members are short there, and a Conn has short names, too.
test.each(["godwit.types.js", "godwit.types.min.js"])("%s does all of this", async (file) => {
  const built = (await import(new URL(`../dist/${file}`, import.meta.url).href)) as typeof import("../src/typed");
  const joining = built.connect(url, game, { hello: { x: 1, y: 2 } });
  await pass(500);
  const conn = await joining;
  const came: unknown[] = [];
  conn.on("moves", (m) => came.push(m));
  conn.on("chat", (s) => came.push(s));
  conn.handle("name", (q) => [q, "?"]);
  conn.send("moves", { x: 7, y: 8 });
  conn.send("chat", "hello");
  const asked = expect(conn.request("name", "ada")).resolves.toBe("ADA");
  await pass(100);
  expect(came.sort()).toEqual([{ x: 7, y: 8 }, "hello"]);
  await asked;
  const [s] = page.server.sessions;
  s!.mux.send(performance.now(), 0, Uint8Array.of(3, 0, 0, 0, 9, 4, ...utf8("name"), ...utf8('"bob"')));
  s!.mux.send(performance.now(), 1, Uint8Array.of(1));
  s!.flush();
  await pass(100);
  expect(page.server.answers.map((c) => text(c.payload))).toEqual(['["bob","?"]']);
  expect([...conn.bad]).toEqual([["moves: truncated", 1]]);
  void conn.close();
});
