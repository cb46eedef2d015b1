// Channels that are opened at run time, as a page uses them: from the source and from the bundle.
import { beforeEach, describe, expect, test } from "vitest";
import { full } from "../src/table";
import { utf8 } from "./bytes";
import { channels, client, pass, text, url } from "./client";
import { type Server } from "./page";

const built = (await import(new URL("../dist/godwit.min.js", import.meta.url).href)) as typeof import("../src/godwit");

const page = client();
let server: Server;
beforeEach(() => void (server = page.server));

describe.each([
  ["source", await import("../src/godwit")],
  ["bundle", built],
])("%s", (_, { Conn, SendError }) => {
  async function join(): Promise<InstanceType<typeof Conn<typeof channels>>> {
    const conn = new Conn(url, { channels });
    await pass(200);
    await conn.opened;
    return conn;
  }

  test("a channel that the server opens with a priority", async () => {
    const conn = await join();
    server.sessions[0]!.open("3 bulk reliable-ordered both 100 1000 7 20000 2");
    await pass(100);
    expect(conn.channels[0]).toMatchObject({ name: "bulk", priority: 7, guarantee: 20_000, weight: 2 });
  });

  test("a channel that the server opens", async () => {
    const conn = await join();
    const s = server.sessions[0]!;
    const events: unknown[] = [];
    conn.addEventListener("channel", ({ channel }) => events.push(channel, conn.channels.includes(channel)));
    s.open(
      "3 loot reliable-ordered both 100 1000",
      full({ name: "loot", mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 }),
    );
    await pass(100);
    const [loot] = conn.channels;
    expect(loot).toMatchObject({ name: "loot", mode: "reliable-ordered", direction: "both", maxMessage: 100, queueLimit: 1000 });
    expect([events, s.opened]).toEqual([[loot, true], [3]]);

    s.mux.send(performance.now(), 3, utf8("sword"));
    await pass(100); // before the first listener
    const heard: string[] = [];
    conn.on(loot!.name, (b) => heard.push(text(b)));
    const fate = conn.send(loot!.name, utf8("shield"), { receipt: true });
    await pass(200);
    expect([await fate, heard]).toEqual(["delivered", ["sword", "shield"]]);
    expect(conn.channelStats(loot!.name)).toMatchObject({ messagesIn: 2, messagesOut: 1 });
    expect(() => conn.send(loot!.name, new Uint8Array(101))).toThrow(SendError);
  });

  describe("channels that the page opens, and either end closes", () => {
    const loot = { name: "loot", mode: "reliable-ordered", maxMessage: 100, queueLimit: 1000 } as const;
    const line = "3 loot reliable-ordered both 100 1000 0 0 1";

    test("messages wait for OPENED, and the name is free when both ends have closed the channel", async () => {
      server.most = 2;
      const conn = await join();
      const s = server.sessions[0]!;
      const gone: unknown[] = [];
      conn.addEventListener("channel", () => gone.push("channel"));
      conn.addEventListener("channelclosed", ({ channel }) => gone.push(channel, conn.channels.length));
      const c = conn.openChannel(loot);
      expect(c).toEqual(full(loot));
      expect(conn.channels).toEqual([c]);
      expect(() => conn.openChannel(loot)).toThrow("the name is taken");
      const fate = conn.send(c.name, utf8("sword"), { receipt: true });
      await pass(500);
      expect([s.lines, s.came, conn.status(fate)]).toEqual([[line], [], "sending"]);
      s.answer(3, full(loot));
      const heard: string[] = [];
      conn.on(c.name, (b) => heard.push(text(b)));
      await pass(100);
      expect([await fate, heard]).toEqual(["delivered", ["sword"]]);

      conn.send(c.name, utf8("last"));
      conn.closeChannel(c.name);
      expect(() => conn.send(c.name, utf8("late"))).toThrow('no channel "loot"');
      expect(() => conn.closeChannel(c.name)).toThrow('no channel "loot"');
      expect(() => conn.openChannel(loot)).toThrow("the name is taken");
      await pass(100);
      expect([s.shut, heard, gone]).toEqual([[3], ["sword", "last"], []]);
      s.mux.send(performance.now(), 3, utf8("theirs"));
      await pass(100);
      s.shutChannel(3);
      await pass(100);
      expect([heard, gone, conn.channels, s.shut]).toEqual([["sword", "last", "theirs"], [c, 0], [], [3]]);

      const again = conn.openChannel({ ...loot, mode: "unreliable" });
      await pass(100);
      s.answer(3, full({ ...loot, mode: "unreliable" }));
      conn.send(again.name, utf8("next"));
      conn.on(again.name, (b) => heard.push(text(b)));
      await pass(100);
      expect([s.lines[1], heard.slice(3), conn.state]).toEqual(["3 loot unreliable both 100 1000 0 0 1", ["next"], "open"]);
    });

    test("a channel that the server closes: what was sent arrives, loops end, and this end answers with SHUT", async () => {
      server.most = 0;
      const conn = await join();
      const s = server.sessions[0]!;
      s.open("3 loot reliable-ordered both 100 1000", full(loot));
      await pass(100);
      const heard: string[] = [];
      const loop = (async () => {
        for await (const b of conn.messages(conn.channels[0]!.name)) heard.push(text(b));
        return heard.push("end");
      })();
      const old = (b: Uint8Array): unknown => heard.push(`old ${text(b)}`);
      const off = conn.on(conn.channels[0]!.name, old);
      s.mux.send(performance.now(), 3, utf8("gold"));
      await pass(100);
      const gone: unknown[] = [];
      conn.addEventListener("channelclosed", () => gone.push(s.shut.length));
      const fate = conn.send(conn.channels[0]!.name, utf8("mine"), { receipt: true });
      s.shutChannel(3);
      await pass(200);
      await loop;
      expect([await fate, s.shut, gone.length, conn.channels]).toEqual(["delivered", [3], 1, []]);
      expect(heard).toEqual(["old gold", "gold", "end"]);

      s.open("3 loot reliable-ordered both 100 1000");
      s.mux.open!(full(loot), 3);
      await pass(100);
      conn.on(conn.channels[0]!.name, old);
      off(); // of the first channel
      s.mux.send(performance.now(), 3, utf8("new"));
      await pass(100);
      expect(heard.at(-1)).toBe("old new");
    });

    test("the limits of the server", async () => {
      const old = await join();
      expect(() => old.openChannel(loot)).toThrow("the server allows 0 channels");
      server.sessions[0]!.open("3 bag reliable-ordered both 100 1000");
      await pass(100);
      expect(() => old.closeChannel(old.channels[0]!.name)).toThrow("the channel cannot be closed");
      server.most = 2;
      const conn = await join();
      expect(() => conn.closeChannel("chat")).toThrow("the channel cannot be closed");
      expect(() => conn.openChannel({ ...loot, queueLimit: 1001 })).toThrow("2 channels of 1000 bytes");
      expect(() => conn.openChannel({ ...loot, name: "chat" })).toThrow("the name is taken");
      conn.openChannel(loot);
      conn.openChannel({ ...loot, name: "bag" });
      expect(() => conn.openChannel({ ...loot, name: "chest" })).toThrow(SendError);
      await pass(100);
      expect(server.sessions[1]!.lines.length).toBe(2);
      void conn.close();
      expect(() => conn.openChannel({ ...loot, name: "chest" })).toThrow("the session has ended");
    });

    test.each([
      ["OPENED that answers no OPEN", 9, 3],
      ["SHUT of a channel that is not open", 10, 3],
      ["SHUT of a channel of the table", 10, 1],
      ["SHUT of channel 0", 10, 0],
    ])("%s ends the session", async (_, type, id) => {
      server.most = 2;
      const conn = await join();
      server.sessions[0]!.mux.send(performance.now(), 0, Uint8Array.of(type, id));
      await pass(100);
      expect(await conn.closed).toMatchObject({ code: 3, remote: false });
    });

    test("SHUT before OPENED ends the session, and a second SHUT", async () => {
      server.most = 2;
      const conn = await join();
      conn.openChannel(loot);
      server.sessions[0]!.shutChannel(3);
      await pass(100);
      expect(conn.state).toBe("closed");
      expect(await conn.closed).toMatchObject({ code: 3, remote: false });
      const other = await join();
      other.openChannel(loot);
      await pass(100);
      const s = server.sessions[1]!;
      s.answer(3, full(loot));
      s.shutChannel(3);
      s.shutChannel(3);
      await pass(200);
      expect(other.state).toBe("closed");
      expect(await other.closed).toMatchObject({ code: 3, remote: false });
    });
  });

  test.each([
    ["with a number that is not free", "2 loot sequenced both 100 1000"],
    ["with the number of channel 0", "0 loot sequenced both 100 1000"],
    ["with a number that is too large", "64 loot sequenced both 100 1000"],
    ["with a number of the client", "3 loot sequenced both 100 1000", 2],
    ["with a name that is taken", "3 chat sequenced both 100 1000"],
    ["in an unknown mode", "3 loot quick both 100 1000"],
    ["too large", "3 loot sequenced both 100000000 1000"],
    ["without a size", "3 loot sequenced both 0 1000"],
    ["with a number in other words", "3 loot sequenced both 1e2 1000"],
    ["and more", "3 loot sequenced both 100 1000 5"],
    ["on two lines", "3 loot sequenced both 100 1000\n"],
    ["that is none", "3"],
  ] as [string, string, number?][])("a channel %s ends the session", async (_, line, most = 0) => {
    server.most = most;
    const conn = await join();
    server.sessions[0]!.open(line);
    await pass(100);
    expect(await conn.closed).toMatchObject({
      code: 3,
      reason: expect.stringMatching(/^malformed$|^godwit: channel "\w+": \w/),
      remote: false,
    });
    expect(conn.channels).toEqual([]);
  });
});
