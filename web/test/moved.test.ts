// A server moves its clients to another server, docs/SESSION.md section 5.
import { describe, expect, test, vi } from "vitest";
import { connect, sessions } from "../src/connect";
import { type Seat, type Target } from "../src/direct";
import { type ConnectOptions } from "../src/options";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, text, url } from "./client";
import { number } from "./page";

const page = client();
const b: Seat = { url: "https://b.example/godwit/", token: "to b" };

/** Begins sessions, and returns the list of them, which grows. */
function run(options: Partial<ConnectOptions<typeof channels>> = {}, target: () => Target | Seat = () => url): Joined[] {
  const all: Joined[] = [];
  void (async () => {
    for await (const conn of sessions<typeof channels, Target>(target, { channels, ...options })) all.push(conn);
  })();
  return all;
}

/** The hosts of the requests, and their credentials. */
const asked = (): string[] => page.server.urls.map((u, i) => `${new URL(u).host} ${page.server.asked[i]}`);

describe("a client that the server moves", () => {
  test("goes on there at once, with the token of its seat, and without its own", async () => {
    const all = run({ token: "mine" });
    await pass(500);
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    await pass(150);
    expect(asked()).toEqual(["game.example Bearer mine", "b.example Bearer to b"]);
    expect(all.map((c) => [c.id, c.state])).toEqual([
      [number(1), "closed"],
      [number(2), "open"],
    ]);
    expect(await all[0]!.closed).toMatchObject({ code: 8, remote: true, lostOut: 0, lostIn: 0, seat: b });
    expect(page.server.sessions[0]!.closed).toEqual([8, ""]);
  });

  test("shows the other server none of the option request", async () => {
    run({ request: { headers: { Authorization: "Basic mine" } } });
    await pass(500);
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    await pass(500);
    expect(page.server.own).toEqual(["Basic mine", "Bearer to b"]);
  });

  test("shows no token at a seat that has none", async () => {
    run({ token: "mine" });
    await pass(500);
    page.server.sessions[0]!.moveTo('{"url":"https://b.example/"}');
    await pass(500);
    expect(asked()).toEqual(["game.example Bearer mine", "b.example "]);
  });

  test("sends what it has to send before, and takes nothing more", async () => {
    const [conn] = [run()];
    await pass(500);
    const first = conn[0]!;
    page.server.loss = 0.3;
    for (let i = 0; i < 200; i++) first.send("chat", utf8(`${i}`));
    const asks = first.request("shout", utf8("hey"));
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    while (first.state === "open") await pass(1);
    expect(() => first.send("chat", utf8("late"))).toThrow(expect.objectContaining({ code: "closed" }));
    expect(first.free("chat")).toBe(-1);
    await pass(10_000);
    expect(page.server.sessions[0]!.came.map(([, m]) => text(m))).toEqual([...Array(200).keys()].map(String));
    expect(text(await asks)).toBe("HEY");
    expect(page.server.sessions[0]!.closed).toEqual([8, ""]);
  });

  test("uses the invite of its seat, or the URL if the page has come over a WebSocket", async () => {
    Object.assign(page.server, { quick: true, most: 0 });
    const all = run();
    await pass(500);
    page.server.sessions[0]!.moveTo(JSON.stringify({ ...b, invite: page.server.invite() }));
    await pass(500);
    expect([all.length, page.server.asked.length, page.server.admits.length]).toEqual([2, 1, 1]);
    page.server.sessions[1]!.close(2);
    await pass(100);
    Object.assign(page.server, { udp: false, sockets: true });
    await pass(10_000);
    expect(all[2]!.link).toBe("websocket");
    page.server.sessions[2]!.moveTo(JSON.stringify({ ...b, invite: page.server.invite() }));
    await pass(1000);
    expect(all[3]!.link).toBe("websocket");
    expect(asked().at(-1)).toBe("b.example Bearer to b");
  });

  test("resumes while it is moved, and what it has sent arrives", async () => {
    const all = run();
    await pass(500);
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    await pass(6); // MOVE is on its way
    page.server.dark = true;
    all[0]!.send("chat", utf8("up"));
    await pass(6000);
    expect(page.server.sessions[0]!.came).toEqual([]);
    page.server.dark = false;
    await pass(20_000);
    expect(page.server.sessions[0]!.came.map(([, m]) => text(m))).toEqual(["up"]);
    expect([all.length, all.at(-1)!.state, asked().at(-1)]).toEqual([2, "open", "b.example Bearer to b"]);
  });

  test("begins where it began if the other server is not there", async () => {
    const all = run({ token: () => "mine" });
    await pass(500);
    page.refuse(403, "forbidden");
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    await pass(150);
    page.refuse(0);
    await pass(1000);
    expect(asked()).toEqual(["game.example Bearer mine", "b.example Bearer to b", "game.example Bearer mine"]);
    expect(all.at(-1)!.state).toBe("open");
  });

  test.each(["x", "{}", "7", '{"url":":"}', '"https://c.example/"'])(
    "to a place that is none, %s, begins where it began",
    async (seat) => {
      const all = run();
      await pass(500);
      page.server.sessions[0]!.moveTo(seat);
      await pass(2000);
      expect(asked()).toEqual(["game.example ", "game.example "]);
      expect(all.at(-1)!.state).toBe("open");
    },
  );

  test("in circles waits longer and longer", async () => {
    const all = run();
    let moved = 0;
    for (let t = 0; t < 60_000; t += 100) {
      for (; moved < all.length; moved++) page.server.sessions[moved]!.moveTo(JSON.stringify(b));
      await pass(100);
    }
    expect(asked().slice(0, 6)).toEqual(["game.example ", ...Array(4).fill("b.example Bearer to b"), "game.example "]);
    expect(all.length).toBeGreaterThan(6);
    expect(all.length).toBeLessThan(25);
  });

  test("after a long time each is not in circles", async () => {
    const all = run();
    for (let i = 0; i < 7; i++) {
      await pass(31_000);
      page.server.sessions[i]!.moveTo(JSON.stringify(b));
    }
    await pass(500);
    expect(asked()).toEqual(["game.example ", ...Array(7).fill("b.example Bearer to b")]);
    expect(all.length).toBe(8);
  });

  test("is closed by its program meanwhile, which counts", async () => {
    const conn = await page.join();
    page.server.loss = 1;
    conn.send("chat", utf8("up"));
    await pass(50);
    page.server.loss = 0;
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    while (conn.state === "open") await pass(1);
    void conn.close(300, "bye");
    await pass(1000);
    expect(await conn.closed).toMatchObject({ code: 300, remote: false });
    expect((await conn.closed).seat).toBeUndefined();
    expect(page.server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test("with connect is told where to go", async () => {
    const conn = connect(url, { channels });
    await pass(500);
    page.server.sessions[0]!.moveTo(JSON.stringify(b));
    await pass(500);
    expect((await (await conn).closed).seat).toEqual(b);
    expect(page.server.asked.length).toBe(1);
  });
});

describe("a function for seats", () => {
  test("gives the place of each session", async () => {
    const seats: Seat[] = [{ url: "https://a.example/", token: "1" }, b];
    const all = run({ token: "mine" }, () => seats.shift()!);
    await pass(500);
    page.server.sessions[0]!.close(2);
    await pass(1000);
    expect(asked()).toEqual(["a.example Bearer 1", "b.example Bearer to b"]);
    expect(all.length).toBe(2);
  });
});

describe("the option gone", () => {
  test("ends the session before the grace time, and the next one begins", async () => {
    const answers: (() => boolean | Promise<boolean>)[] = [
      () => false,
      () => {
        throw new Error("the front does not answer");
      },
      () => Promise.reject(new Error("nor now")),
      async () => true,
    ];
    const gone = vi.fn((_?: Seat) => answers.shift()!());
    const all = run({ gone }, () => b);
    await pass(500);
    page.server.dark = true;
    await pass(3100);
    expect(all[0]!.state).toBe("interrupted");
    await pass(3000);
    page.server.dark = false;
    await pass(1500);
    expect(gone.mock.calls).toEqual(Array(4).fill([b]));
    expect((await all[0]!.closed).code).toBe(6);
    expect(all[1]!.state).toBe("open");
    await pass(10_000);
    expect(gone.mock.calls.length).toBe(4);
  });

  test("is not asked any more when the session has resumed", async () => {
    const gone = vi.fn(() => false);
    const conn = await page.join({ gone });
    page.server.dark = true;
    await pass(5000);
    page.server.dark = false;
    await pass(5000);
    const asks = gone.mock.calls.length;
    expect(asks).toBeGreaterThan(1);
    await pass(60_000);
    expect([conn.state, gone.mock.calls.length]).toEqual(["open", asks]);
  });

  test("does not end a session on which the server is heard, whatever it answers then", async () => {
    const gone = vi.fn(() => false);
    const conn = await page.join({ gone });
    const [s] = page.server.sessions;
    s!.receive = () => {};
    page.refuse(503);
    while (conn.state === "open") await pass(10);
    s!.mux.send(performance.now(), 2, utf8("x"));
    s!.flush();
    await pass(20);
    gone.mockReturnValue(true);
    await pass(2000); // the search for a link goes on, because the server does not hear
    expect([conn.state, gone.mock.calls.length]).toEqual(["open", 1]);
  });

  test("does not end a session that goes on before the answer is there", async () => {
    let answer = (_: boolean): void => {};
    const conn = await page.join({ gone: () => new Promise<boolean>((resolve) => (answer = resolve)) });
    page.server.sessions[0]!.channel!.end();
    await pass(1000);
    answer(true);
    await pass(1000);
    expect([conn.state, conn.stats().links]).toEqual(["open", 2]);
  });

  test("is not asked by a page that is frozen", async () => {
    // An answer that never comes ends a loop that never pauses.
    const gone = vi.fn(() => gone.mock.calls.length > 20 && new Promise<boolean>(() => {}));
    const conn = await page.join({ gone });
    page.server.dark = true;
    while (conn.state === "open") await pass(10);
    await pass(100);
    page.fire("pagehide");
    await pass(5000);
    expect([conn.state, gone.mock.calls.length]).toEqual(["interrupted", 1]);
  });
});
