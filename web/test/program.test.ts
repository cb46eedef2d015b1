// How a program uses a Conn: listening, iterating, requests in both directions, and what remains of them afterwards.
import { getEventListeners } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { Conn } from "../src/conn";
import { Inbox } from "../src/inbox";
import { full } from "../src/table";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, text, url } from "./client";

const page = client();

/** Makes the server send messages on a channel. */
function say(channel: number, ...messages: (string | Uint8Array)[]): void {
  const [s] = page.server.sessions;
  for (const m of messages) s!.mux.send(performance.now(), channel, typeof m === "string" ? utf8(m) : m);
  s!.flush();
}

/** Makes the server send a request. */
const ask = (id: number, name: string): void => say(0, Uint8Array.of(3, 0, 0, 0, id, name.length, ...utf8(name)));

describe("who listens", () => {
  test("hears what came before, all that comes, and nothing after the end of that", async () => {
    const conn = await page.join();
    say(2, "a", "b");
    await pass(20);
    const heard: string[] = [];
    const off = conn.on("chat", (b) => heard.push(text(b)));
    const also: string[] = [];
    conn.on("chat", (b) => also.push(text(b)));
    expect(heard).toEqual(["a", "b"]);
    say(2, "c");
    await pass(20);
    off();
    say(2, "d");
    await pass(20);
    expect([heard, also]).toEqual([
      ["a", "b", "c"],
      ["c", "d"],
    ]);
  });

  test("again in its own handler hears each message once", async () => {
    const conn = await page.join();
    const heard: string[] = [];
    let off = (): void => {};
    const hear = (b: Uint8Array): void => {
      off();
      heard.push(text(b));
      if (heard.length < 100) off = conn.on("chat", hear); // with a limit, in case the test fails
    };
    off = conn.on("chat", hear);
    say(2, "a", "b");
    await pass(20);
    expect(heard).toEqual(["a", "b"]);
  });

  test("from a handler on hears the messages after that one, and who stops there hears it no more", async () => {
    const conn = await page.join();
    const heard: string[] = [];
    const off = conn.on("chat", (b) => {
      heard.push(`first ${text(b)}`);
      off();
      conn.on("chat", (b) => heard.push(`new ${text(b)}`));
      late();
    });
    const late = conn.on("chat", (b) => heard.push(`late ${text(b)}`));
    say(2, "a", "b");
    await pass(20);
    expect(heard).toEqual(["first a", "new b"]);
  });

  test("and throws disturbs nobody: the error is reported as uncaught", async () => {
    const conn = await page.join();
    const uncaught: unknown[] = [];
    const soon = globalThis.queueMicrotask;
    vi.stubGlobal("queueMicrotask", (f: () => void) =>
      soon(() => {
        try {
          f();
        } catch (e) {
          uncaught.push(e);
        }
      }),
    );
    const heard: string[] = [];
    conn.on("chat", () => {
      throw "mine";
    });
    conn.on("chat", (b) => heard.push(text(b)));
    say(2, "a");
    await pass(20);
    expect([heard, uncaught, conn.state]).toEqual([["a"], ["mine"], "open"]);
  });
});

/** Iterates over messages; returns what it got, and how the loop ended. */
function iterate(conn: Joined, channel: "moves" | "chat"): { got: string[]; how: () => unknown } {
  const got: string[] = [];
  let how: unknown;
  const all = async (): Promise<void> => {
    for await (const b of conn.messages(channel)) got.push(text(b));
  };
  all().then(
    () => (how = "done"),
    (e) => (how = e.code),
  );
  return { got, how: () => how };
}

describe("who iterates", () => {
  test("gets one message after the other, those that wait first, until the session ends", async () => {
    const conn = await page.join();
    say(2, "a", "b");
    await pass(20);
    const { got, how } = iterate(conn, "chat");
    await pass(0);
    expect(got).toEqual(["a", "b"]);
    say(2, "c");
    await pass(20);
    say(2, "d", "e");
    await pass(20);
    expect([got, how()]).toEqual([["a", "b", "c", "d", "e"], undefined]);
    void conn.close();
    await pass(100);
    expect(how()).toBe("done");
  });

  test("beside a listener gets what comes from then on", async () => {
    const conn = await page.join();
    conn.on("chat", () => {});
    const { got } = iterate(conn, "chat");
    const other = iterate(conn, "chat");
    await pass(0);
    say(2, "a");
    await pass(20);
    expect([got, other.got]).toEqual([["a"], ["a"]]);
  });

  test("gets what came when the session has ended, and then the end", async () => {
    const conn = await page.join();
    say(2, "a", "b");
    await pass(20);
    void conn.close();
    await pass(100);
    const { got, how } = iterate(conn, "chat");
    await pass(0);
    expect([got, how()]).toEqual([["a", "b"], "done"]);
  });

  test("too slowly loses the oldest on an unreliable channel, and gets the rest", async () => {
    const small = [{ name: "moves", mode: "sequenced", maxMessage: 500, queueLimit: 1000 }, channels[1]] as const;
    const conn = new Conn(url, { channels: small });
    await pass(500);
    for (let i = 0; i < 10; i++) {
      say(1, new Uint8Array(200).fill(i));
      await pass(20);
    }
    const got: number[] = [];
    void (async () => {
      for await (const b of conn.messages("moves")) got.push(b[0]!);
    })();
    await pass(0);
    expect(got).toEqual([6, 7, 8, 9]);
    say(1, new Uint8Array(200).fill(10));
    await pass(20);
    expect(got).toEqual([6, 7, 8, 9, 10]);
  });

  test("and stops leaves nothing behind", async () => {
    const conn = await page.join();
    const { signal } = (conn as unknown as { ended: AbortController }).ended;
    const before = getEventListeners(signal, "abort").length;
    say(2, "a");
    await pass(20);
    const kept = vi.spyOn(Inbox.prototype, "push");
    for await (const b of conn.messages("chat")) {
      expect([text(b), getEventListeners(signal, "abort").length]).toEqual(["a", before + 1]);
      break;
    }
    expect(getEventListeners(signal, "abort").length).toBe(before);
    say(2, "b");
    await pass(20);
    expect([conn.channelStats("chat").messagesIn, kept.mock.calls.length]).toEqual([2, 0]);
  });
});

describe("who asks", () => {
  test("and is not interested any more gets the signal's reason, and the answer is nobody's", async () => {
    const conn = await page.join();
    const stop = new AbortController();
    const reply = conn.request("upper", utf8("a"), { signal: stop.signal });
    stop.abort("enough");
    await expect(reply).rejects.toBe("enough");
    await pass(100);
    const again = conn.request("upper", utf8("b"));
    await pass(100);
    expect(text(await again)).toBe("B");
  });

  test("with a signal that is aborted asks nothing", async () => {
    const conn = await page.join();
    const before = conn.stats().packetsOut;
    await expect(conn.request("upper", utf8("a"), { signal: AbortSignal.abort("enough") })).rejects.toBe("enough");
    await pass(10);
    expect(conn.stats().packetsOut).toBe(before);
  });

  test("leaves nothing behind when the answer is there", async () => {
    const conn = await page.join();
    const { pending } = conn as unknown as { pending: Set<unknown> };
    const { signal } = new AbortController();
    const reply = conn.request("upper", utf8("a"), { signal });
    const fate = conn.send("chat", utf8("x"), { receipt: true });
    await pass(0);
    expect([getEventListeners(signal, "abort").length, pending.size]).toEqual([1, 2]);
    await pass(200);
    expect([text(await reply), await fate]).toEqual(["A", "delivered"]);
    expect([getEventListeners(signal, "abort").length, pending.size]).toEqual([0, 0]);
  });
});

describe("who is asked", () => {
  test("answers with what the handler returns, when it does, or says why not", async () => {
    const conn = await page.join();
    let answer = (_: Uint8Array): void => {};
    conn.handle("late", () => new Promise((resolve) => (answer = resolve)));
    conn.handle("nothing", () => {});
    conn.handle("error", () => Promise.reject(new TypeError("not now")));
    conn.handle("other", () => {
      throw 7;
    });
    const names = ["late", "nothing", "error", "other", "unknown"];
    names.forEach((name, i) => ask(i + 1, name));
    await pass(200);
    const answers = (): unknown[] =>
      page.server.answers.map(({ type, id, words: why, payload }) => [type, id, why || text(payload)]);
    const all = [
      [5, 2, ""],
      [6, 3, "not now"],
      [6, 4, "7"],
      [6, 5, 'no handler for requests "unknown": set one with conn.handle'],
    ];
    expect(answers().sort()).toEqual(all);
    answer(utf8("here"));
    await pass(10);
    expect(answers().at(-1)).toEqual([4, 1, "here"]);
  });

  test.each([Object.create(null), Symbol("s"), Object.assign(new Error("x"), { message: Object.create(null) })])(
    "answers also where the handler throws what has no text",
    async (thrown) => {
      const conn = await page.join();
      conn.handle("q", () => {
        throw thrown;
      });
      ask(9, "q");
      await pass(100);
      expect(page.server.answers).toMatchObject([{ type: 6, id: 9, words: "no reason" }]);
      expect(conn.state).toBe("open");
    },
  );

  test("the last handler counts", async () => {
    const conn = await page.join();
    conn.handle("where", () => utf8("there"));
    conn.handle("where", () => utf8("here"));
    ask(1, "where");
    await pass(100);
    expect(page.server.answers.map(({ payload }) => text(payload))).toEqual(["here"]);
  });
});

test("who opens a channel is heard on it, and it is in the list when the event comes", async () => {
  const conn = await page.join();
  const loot = { name: "loot", mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 } as const;
  const events: unknown[] = [];
  conn.addEventListener("channel", ({ channel }) => events.push(channel.name, conn.channels.includes(channel)));
  page.server.sessions[0]!.open("3 loot reliable-ordered both 100 1000", full(loot));
  await pass(100);
  say(3, "before");
  await pass(100);
  const heard: string[] = [];
  conn.on(conn.channels[0]!.name, (b) => heard.push(text(b)));
  say(3, "after");
  await pass(100);
  expect([events, heard]).toEqual([
    ["loot", true],
    ["before", "after"],
  ]);
});

test("a channel that is not in the table is named, and those that are", async () => {
  const conn = await page.join();
  expect(() => conn.send("x" as never, utf8(""))).toThrow('no channel "x": there is moves, chat');
});

test("a session without channels says that there is none", () => {
  const conn = new Conn(url, { channels: [] });
  expect(() => conn.send("x" as never, utf8(""))).toThrow('no channel "x": there is none');
  void conn.close();
  conn.opened.catch(() => {});
});

test("a session that drains is closed for its program, and not yet for the server", async () => {
  const conn = await page.join();
  conn.send("chat", utf8("x"));
  void conn.close(300, "bye");
  expect(conn.state).toBe("closed");
  expect(() => conn.send("chat", utf8("y"))).toThrow("the session has ended");
  await pass(15);
  expect([page.server.sessions[0]!.closed, page.server.sessions[0]!.came.length]).toEqual([null, 1]);
  await pass(100);
  expect(page.server.sessions[0]!.closed).toEqual([300, "bye"]);
  expect(await conn.closed).toStrictEqual({ code: 300, reason: "bye", remote: false, lostOut: 0, lostIn: 0 });
});
