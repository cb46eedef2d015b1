// Links without a request: what an invite is, the answer that the page writes, and what the server hears and says.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { Conn } from "../src/conn";
import { connect, sessions } from "../src/connect";
import { answerTo, homeOf, type Invite, inviteOf } from "../src/direct";
import { resume, suspend } from "../src/keep";
import { type ConnectOptions } from "../src/options";
import { firstSeek } from "../src/race";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, told, url } from "./client";
import { addresses, fingerprint, number, type Server } from "./page";

const page = client();
const textOf = (v: unknown): string => Buffer.from(JSON.stringify(v)).toString("base64url");

/** Makes the server one that knows links without requests. */
function quick(): Server {
  return Object.assign(page.server, { quick: true, most: 0 });
}

/** Connects with an invite. */
async function enter(options: Partial<ConnectOptions<typeof channels>> = {}, invite = quick().invite()): Promise<Joined> {
  const conn = new Conn(invite, { channels, ...options });
  await pass(500);
  expect(conn.state).toBe("open");
  return conn;
}

describe("an invite", () => {
  const good = { v: 1, addresses, fingerprint, ufrag: "DAAAA0", pwd: "p".repeat(32) };
  const text = textOf(good);

  test("is an object or its text, with members that nobody knows, and everything else is a URL", () => {
    for (const target of [good, text, textOf({ ...good, channels: "1", more: 1 }), `${text}==`]) {
      expect(inviteOf(target)).toMatchObject({ ufrag: "DAAAA0" });
    }
    for (const target of ["/godwit/", "e", "https://game.example/e", `/${text}`, new URL("https://game.example/")]) {
      expect(inviteOf(target)).toBe(undefined);
    }
  });

  test.each<[string, unknown]>([
    ["no JSON", `e${"z".repeat(120)}`],
    ["not UTF-8", Buffer.concat([Buffer.from('{"'), Buffer.alloc(120, 0xff)]).toString("base64url")],
    ["no addresses", { ...good, addresses: [] }],
    ["addresses that are a text", { ...good, addresses: "203.0.113.7:7777" }],
    ["a name", { ...good, addresses: ["game.example:7777"] }],
    ["no port", { ...good, addresses: ["203.0.113.7"] }],
    ["a second line in an address", { ...good, addresses: ["203.0.113.7:7777\r\na=x"] }],
    ["a second line in ufrag", { ...good, ufrag: "DAAAA0\na=x" }],
    ["a second line in pwd", { ...good, pwd: `${good.pwd}\ra=x` }],
    ["a second line in fingerprint", { ...good, fingerprint: `${fingerprint}\na=x` }],
    ["a short fingerprint", { ...good, fingerprint: fingerprint.slice(0, -3) }],
    ["a fingerprint of SHA-1", { ...good, fingerprint: `sha-1 ${"AB:".repeat(19)}AB` }],
    ["no fingerprint", { ...good, fingerprint: undefined }],
    ["a ufrag of other characters", { ...good, ufrag: "DAAAA_" }],
    ["nine addresses", { ...good, addresses: Array(9).fill(addresses[0]) }],
    ["a ufrag that is too long", { ...good, ufrag: "D".repeat(257) }],
    ["a short pwd", { ...good, pwd: "short" }],
    ["nothing", {}],
    ["null", textOf(null).padEnd(120, "A")],
  ])("with %s cannot be used", async (_, target) => {
    const invite = target as Invite;
    if (typeof target === "string" && !target.startsWith("e")) return expect(inviteOf(target)).toBe(undefined);
    await expect(connect(invite, { channels })).rejects.toMatchObject({
      code: "invite",
      status: 0,
      retryAfter: undefined,
      message: "godwit: the invite cannot be used: it is malformed",
      cause: expect.any(Error),
    });
  });

  test("of another version says that the page is old", async () => {
    const message = "godwit: the invite cannot be used: its version is 2: reload the page";
    await expect(connect({ ...good, v: 2 }, { channels })).rejects.toMatchObject({ code: "invite", message });
  });

  test.each(["crypto", "RTCPeerConnection"])("cannot be used without %s, and a URL can", async (name) => {
    vi.stubGlobal(name, undefined);
    await expect(connect(text, { channels })).rejects.toMatchObject({
      code: "invite",
      message: expect.stringContaining("over https, from localhost or from a file"),
    });
    expect(inviteOf(url)).toBe(undefined);
  });

  test("has the addresses in the order and form of an answer", () => {
    expect(homeOf(good)).toEqual([fingerprint, "203.0.113.7 7777", "2001:db8::1 7777"]);
  });
});

describe("the answer that a page writes", () => {
  const pwd = "p".repeat(32);
  const mac = (...of: (string | Buffer)[]): Buffer =>
    createHmac("sha256", pwd)
      .update(Buffer.concat(of.map((b) => Buffer.from(b as string))))
      .digest();
  const offer = (more = ""): string =>
    `v=0\r\na=fingerprint:sha-256 ${"0F:".repeat(31)}A1\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data 1\r\n${more}`;
  const home = [fingerprint, "203.0.113.7 7777", "2001:db8::1 7777"];

  test("has every line that a browser needs", async () => {
    const answer = await answerTo(offer(), home, "DAAAA0", pwd, "v=1");
    expect(answer.type).toBe("answer");
    expect(answer.sdp!.split("\r\n")).toEqual([
      "v=0",
      "o=- 0 1 IN IP4 0.0.0.0",
      "s=-",
      "t=0 0",
      "a=group:BUNDLE data 1",
      "a=ice-lite",
      "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
      "c=IN IP4 0.0.0.0",
      "a=candidate:1 1 udp 2130706431 203.0.113.7 7777 typ host",
      "a=candidate:2 1 udp 2130706175 2001:db8::1 7777 typ host",
      "a=end-of-candidates",
      "a=ice-ufrag:DAAAA0",
      `a=ice-pwd:${pwd}`,
      `a=fingerprint:${fingerprint}`,
      "a=setup:active",
      "a=mid:data 1",
      "a=sctp-port:5000",
      "",
    ]);
  });

  test("comes with a proof for the certificates of both ends, and with the query", async () => {
    const { admit } = await answerTo(offer(), home, "DAAAA0", pwd, "v=1&app=é");
    const mine = Buffer.concat([Buffer.alloc(31, 0x0f), Buffer.of(0xa1)]);
    const proof = mac("hello", mine, Buffer.alloc(32, 0xab));
    expect(Buffer.from(admit!).toString("hex")).toBe(`01${proof.toString("hex")}${Buffer.from("v=1&app=é").toString("hex")}`);
  });

  // The example of docs/snap.md: the tag 01020304 and the first TSN 05060708.
  const mine = "a=sctp-init:AQAAHgECAwQACAAA/////wUGBwjAAAAEgAgABsCCAAA=\r\n";

  test("has the INIT of the server only if the offer has one, and tells the server that of the page", async () => {
    const derived = mac("sctp").toString("hex");
    const init = `0100001e${derived.slice(0, 8)}00080000ffffffff${derived.slice(8, 16)}c000000480080006c0820000`;
    for (const [ufrag, told] of [
      ["DAAAA0", "dAAAA0AQIDBAUGBwg"],
      ["RAAAA+", "rAAAA+AQIDBAUGBwg"],
    ] as const) {
      const { sdp } = await answerTo(offer(mine), home, ufrag, pwd, "");
      expect(/^a=sctp-init:(.*)$/m.exec(sdp!)![1]).toBe(Buffer.from(init, "hex").toString("base64"));
      expect(/^a=ice-ufrag:(.*)$/m.exec(sdp!)![1]).toBe(told);
    }
  });

  test("has no INIT with the tag 0", async () => {
    vi.spyOn(crypto.subtle, "sign").mockResolvedValue(new Uint8Array(32).buffer);
    const { sdp } = await answerTo(offer(mine), home, "DAAAA0", pwd, "");
    expect(Buffer.from(/^a=sctp-init:(.*)$/m.exec(sdp!)![1]!, "base64").toString("hex")).toMatch(
      /^0100001e00000001.{16}00000000/,
    );
  });

  test("has the values of the vectors that the server has, too", async () => {
    const { fragments, proof } = JSON.parse(
      readFileSync(new URL("../../internal/ufrag/testdata/vectors.json", import.meta.url), "utf8"),
    ) as { fragments: Record<string, never>[]; proof: Record<"pwd" | "page" | "server" | "proof", string> };
    expect(fragments.length).toBeGreaterThan(2);
    for (const { ufrag, pwd, tag, tsn } of fragments) {
      const { sdp } = await answerTo(offer(mine), home, ufrag!, pwd!, "");
      const b = Buffer.from(/^a=sctp-init:(.*)$/m.exec(sdp!)![1]!, "base64");
      expect([b.readUInt32BE(4), b.readUInt32BE(16)]).toEqual([tag, tsn]);
    }
    const print = (hex: string): string => `sha-256 ${hex.match(/../g)!.join(":")}`;
    const { admit } = await answerTo(`a=fingerprint:${print(proof.page)}\r\n`, [print(proof.server)], "D", proof.pwd, "");
    expect(Buffer.from(admit!).toString("hex")).toBe(`01${proof.proof}`);
  });
});

describe("a page with an invite", () => {
  test("opens a session without a request, and says what it is", async () => {
    const conn = await enter({ app: "1.4 β" });
    expect(page.server.asked).toEqual([]);
    expect(page.server.admits[0]).toBe("DAAAA0 " + new URLSearchParams(`${conn.query}`));
    expect(page.server.admits[0]).toMatch(/^DAAAA0 v=1&channels=[\da-f]{16}&kind=browser&app=1\.4\+%CE%B2$/);
    expect([conn.link, conn.id, page.server.sessions[0]!.hellos]).toEqual(["webrtc", number(1), 1]);
    expect(conn.times).toMatchObject({ http: 0, ice: 40, hello: expect.any(Number) });
    conn.send("chat", utf8("x"));
    await pass(100);
    expect(page.server.sessions[0]!.came.length).toBe(1);
  });

  test("says it before every packet until a packet of the server has arrived, and never again", async () => {
    const sent: Uint8Array[] = [];
    const { createDataChannel } = RTCPeerConnection.prototype;
    vi.spyOn(RTCPeerConnection.prototype, "createDataChannel").mockImplementation(function (this: RTCPeerConnection, ...args) {
      const channel = createDataChannel.apply(this, args);
      const { send } = channel;
      channel.send = (b: unknown) => {
        sent.push((b as Uint8Array).slice());
        send.call(channel, b as never);
      };
      return channel;
    });
    const conn = new Conn(quick().invite(), { channels });
    page.server.dark = true; // no packet arrives
    await pass(300);
    page.server.dark = false;
    while (conn.state !== "open") await pass(5);
    const before = sent.length;
    conn.send("chat", utf8("x"));
    await pass(200);
    const kinds = sent.map((b) => b[0]! >> 4);
    expect(before).toBeGreaterThan(4);
    expect(kinds.slice(0, before)).toEqual(Array.from({ length: before }, (_, i) => i % 2));
    expect(new Set(kinds.slice(before))).toEqual(new Set([1]));
  });

  test.each([
    ["", 0.3],
    ["the first datagrams", 0],
  ])("opens its session when %s are lost", async (_, loss) => {
    const conn = new Conn(quick().invite(), { channels });
    page.server.loss = loss;
    await pass(52); // the link is open, and what it has sent is under way
    if (!loss) page.server.dark = true;
    await pass(20);
    page.server.dark = false;
    await pass(4000);
    expect([conn.state, page.server.sessions.length]).toEqual(["open", 1]);
  });

  test("that another page has used is told that it is used", async () => {
    const invite = quick().invite();
    await enter({}, invite);
    const second = new Conn(invite, { channels });
    const refused = expect(second.opened).rejects.toMatchObject({
      code: "invite",
      status: 409,
      retryAfter: undefined,
      details: { reason: "spent" },
      message: "godwit: the invite was used before",
    });
    await pass(500);
    await refused;
    expect([second.state, page.server.sessions.length]).toEqual(["closed", 1]);
    expect(await second.closed).toMatchObject({ code: 6, error: { code: "invite" } });
  });

  test("is refused as by a request: with the difference of the tables", async () => {
    quick().refuses = {
      status: 409,
      code: "channels",
      error: "the tables differ",
      channels: "1 moves unreliable both 16384 65536\n",
    };
    const refused = expect(connect(page.server.invite(), { channels })).rejects.toMatchObject({
      code: "channels",
      message: expect.stringMatching(/the tables differ: .*moves/),
    });
    await pass(500);
    await refused;
    expect(page.timers).toBe(0);
  });

  test("that is refused for now is told to try again, with another invite", async () => {
    quick().refuses = { status: 503, code: "full", error: "no room" };
    const invite = vi.fn(() => page.server.invite());
    const ids: string[] = [];
    const failed = (async () => {
      for await (const conn of sessions(invite, { channels })) ids.push(conn.id);
    })();
    const refused = expect(failed).rejects.toMatchObject({ code: "full", status: 503, retryAfter: 0 });
    await pass(500);
    await refused;
    page.server.refuses = undefined;
    void (async () => {
      for await (const conn of sessions(invite, { channels })) ids.push(conn.id);
    })();
    await pass(500);
    page.server.refuses = { status: 429, code: "rate", error: "slowly" };
    page.server.sessions[0]!.close(2);
    await pass(5000);
    page.server.refuses = undefined;
    await pass(10_000);
    expect(ids).toEqual([number(1), number(2)]);
    expect(new Set(page.server.admits.map((a) => a.split(" ")[0])).size).toBe(invite.mock.calls.length);
  });

  test("gets no invite: sessions tells why, and tries again", async () => {
    const invite = vi.fn(async () => page.server.invite());
    quick();
    invite.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    const first = sessions(invite, { channels }).next();
    const message = "godwit: the function for invites has thrown: Failed to fetch";
    await expect(first).rejects.toMatchObject({ code: "invite", status: 0, retryAfter: 0, message });
    const loop = sessions(invite, { channels });
    const begun = loop.next();
    await pass(500);
    const conn = (await begun).value as Joined;
    invite.mockRejectedValueOnce(new TypeError("Failed to fetch"));
    page.server.sessions[0]!.close(2);
    const next = loop.next();
    await pass(5000);
    expect([((await next).value as Joined).id, conn.state]).toEqual([number(2), "closed"]);
  });

  test("has another table than the server: it sends nothing", async () => {
    const invite = quick().invite({ channels: "0".repeat(16) });
    await expect(connect(invite, { channels })).rejects.toMatchObject({
      code: "channels",
      message: "godwit: the server's table of channels differs from the client's",
    });
    await pass(1000);
    expect(page.server.remote).toEqual([]);
  });

  test("and the right hash connects, over WebRTC whatever the option links says", async () => {
    const conn = await enter();
    const invite = page.server.invite({ channels: conn.query.get("channels")! });
    const other = await enter({ links: ["websocket"] }, invite);
    page.server.sessions[1]!.channel!.end();
    await pass(500);
    expect([other.state, page.server.sessions[1]!.moves, page.server.opened]).toEqual(["open", [1], []]);
  });

  test("and a server that is silent is told why that may be", async () => {
    page.server.udp = false;
    const failed = expect(connect(quick().invite(), { channels, timeout: 20 })).rejects.toMatchObject({
      code: "timeout",
      message: "godwit: no UDP from 203.0.113.7 7777: its port may be closed, or the invite was used or has expired",
    });
    await failed;
  });

  test("tries a handshake that is lost once more: the invite is not used", async () => {
    page.server.udp = false;
    page.server.fails = true;
    const conn = new Conn(quick().invite(), { channels });
    await pass(500);
    page.server.udp = true;
    await pass(1000);
    expect([conn.state, page.server.remote.length]).toEqual(["open", 2]);
  });

  test("ignores a refusal that is none", async () => {
    quick().refuses = { status: 409, error: "without a code" };
    const refused = expect(connect(page.server.invite(), { channels })).rejects.toMatchObject({
      code: "closed",
      message: "godwit: no WELCOME",
      retryAfter: 0,
    });
    await pass(6000);
    await refused;
  });
});

describe("a session that is interrupted", () => {
  const lose = (n = 0): void => page.server.sessions[n]!.channel!.end();

  test.each(["a request", "an invite"])("continues without a request, also one that began with %s", async (how) => {
    quick();
    const conn = how === "an invite" ? await enter() : await page.join();
    const asked = page.server.asked.length;
    const events = told(conn);
    for (let i = 0; i < 3; i++) {
      lose();
      conn.send("chat", utf8(`${i}`));
      await pass(200);
      expect(conn.state).toBe("open");
      await pass(firstSeek); // a link that lasts for less time would count as one on which UDP is gone soon
    }
    expect([conn.state, events.length, page.server.asked.length]).toEqual(["open", 6, asked]);
    const [s] = page.server.sessions;
    expect([s!.came.length, s!.moves, page.server.sessions.length]).toEqual([3, [1, 2, 3], 1]);
    const used = page.server.admits.map((a) => a.split(" ")[0]!).filter((ufrag) => ufrag.startsWith("R"));
    expect(new Set(used).size, "the credentials of each WELCOME").toBe(3);
    expect(page.server.remote.at(-1)).toContain(`a=fingerprint:${fingerprint}`);
    expect(page.server.remote.at(-1)).toContain(" 203.0.113.7 7777 ");
  });

  test("asks 500 ms later if no link opens, and continues on what opens first", async () => {
    quick();
    const conn = await page.join();
    page.server.admissions.clear(); // the server does not know the fragment
    vi.spyOn(RTCPeerConnection.prototype, "setRemoteDescription").mockReturnValueOnce(new Promise(() => {}));
    vi.spyOn(Math, "random").mockReturnValue(0); // storm.test.ts has other draws
    lose();
    await pass(499);
    expect(page.server.asked.length).toBe(1);
    await pass(2);
    expect(page.server.asked.length).toBe(2);
    await pass(200);
    expect([conn.state, conn.stats().links]).toEqual(["open", 2]);
  });

  test("asks 5 round trips later on a slow path", async () => {
    quick();
    const conn = await page.join();
    Object.assign(conn.session.mux.loss, { smoothed: 300 });
    page.server.udp = false;
    vi.spyOn(Math, "random").mockReturnValue(0);
    lose();
    await pass(1499);
    expect(page.server.asked.length).toBe(1);
    await pass(2);
    expect(page.server.asked.length).toBe(2);
  });

  test("asks at once when the link has failed", async () => {
    quick();
    const conn = await page.join();
    vi.spyOn(RTCPeerConnection.prototype, "setRemoteDescription").mockRejectedValueOnce(new Error("no"));
    lose();
    await pass(10);
    expect(page.server.asked.length).toBe(2);
    await pass(200);
    expect(conn.state).toBe("open");
  });

  test("asks when the server refuses the link", async () => {
    quick();
    const conn = await page.join();
    page.server.refuses = { status: 403, code: "forbidden", error: "no" };
    lose();
    await pass(5000);
    expect([conn.state, page.server.asked.length, page.server.admits.length]).toEqual(["open", 2, 1]);
    expect(conn.failure).toBe(undefined);
  });

  test("asks when a link opens on which the server is not heard, and does not open another such link", async () => {
    quick();
    const conn = await page.join();
    vi.spyOn(page.server, "admit").mockReturnValue(undefined as never);
    const deaf = vi.spyOn(page.server.sessions[0]!, "receive");
    lose();
    await pass(2900);
    expect([page.server.asked.length, page.server.remote.length]).toEqual([1, 2]);
    await pass(1000);
    expect([conn.state, page.server.asked.length, page.server.remote.length]).toEqual(["open", 2, 3]);
    expect(deaf).toHaveBeenCalled();
  });

  test.each([
    ["the server has told nothing for it", (): void => void (page.server.quick = false)],
    ["there is no crypto.subtle", (): void => void vi.stubGlobal("crypto", {})],
  ])("asks at once when %s", async (_, change) => {
    quick();
    change();
    const made = vi.spyOn(RTCPeerConnection.prototype, "createDataChannel");
    const conn = await page.join();
    lose();
    await pass(10);
    expect([page.server.asked.length, made.mock.calls.length]).toEqual([2, 2]);
    await pass(200);
    expect([conn.state, page.server.admits]).toEqual(["open", []]);
  });

  test("asks at once when the server has told no address", async () => {
    quick();
    const conn = await page.join();
    conn.session.home = [fingerprint];
    lose();
    await pass(10);
    expect([page.server.asked.length, page.server.remote.length]).toEqual([2, 2]);
  });

  test("asks at once for a link over TCP when UDP is gone again so soon", async () => {
    quick().sockets = true;
    const conn = await page.join();
    for (let i = 0; i < 2; i++) {
      lose();
      await pass(200);
    }
    expect([conn.state, conn.link, page.server.asked.length]).toEqual(["open", "websocket", 2]);
  });

  test("ends with the refusal of its link if no request is answered for the grace time", async () => {
    quick().refuses = { status: 403, code: "forbidden", error: "no" };
    const conn = await page.join({ timeout: 60_000 });
    vi.stubGlobal("fetch", () => new Promise(() => {}));
    lose();
    await pass(31_000);
    expect(await conn.closed).toMatchObject({ code: 6, error: { code: "forbidden" } });
  });

  test("asks at once when it was on a WebSocket", async () => {
    const server = quick();
    server.sockets = true;
    server.udp = false;
    const conn = new Conn(url, { channels });
    await pass(2000);
    expect([conn.state, conn.link]).toEqual(["open", "websocket"]);
    lose();
    await pass(10);
    expect(server.asked.length).toBe(2);
  });

  test("does not ask again and again while a link may open, and takes it when it opens between two requests", async () => {
    quick();
    const conn = await page.join();
    const events = told(conn);
    page.server.udp = false;
    page.refuse(503);
    page.server.retryAfter = "8";
    lose();
    await pass(2000);
    expect(page.server.asked.length).toBe(2);
    page.server.udp = true;
    await pass(200);
    expect([conn.state, events, page.server.asked.length]).toEqual(["open", ["interrupted", "resumed"], 2]);
    await pass(20_000);
    expect([conn.state, page.server.asked.length, page.timers]).toEqual(["open", 2, 1]);
  });

  test("ends when the server does not know it, whatever may open", async () => {
    quick();
    const conn = await page.join();
    page.server.udp = false;
    page.refuse(410, "resume", { reason: "ended" });
    lose();
    await pass(1000);
    expect(await conn.closed).toMatchObject({ code: 6, error: { code: "resume" } });
    page.server.udp = true;
    await pass(20_000);
    expect(page.timers).toBe(0);
  });

  test("is heard again: the link that was opening is given up", async () => {
    quick();
    const conn = await page.join();
    const closes = vi.spyOn(RTCPeerConnection.prototype, "close");
    page.server.dark = true;
    page.server.ice = 30_000;
    while (!conn.session.interrupted) await pass(10);
    page.server.dark = false;
    while (conn.session.interrupted) await pass(10);
    await pass(20_000);
    expect([conn.state, conn.stats().links]).toEqual(["open", 1]);
    expect(page.server.remote.length).toBeGreaterThan(1);
    expect(closes).toHaveBeenCalledTimes(page.server.remote.length - 1);
  });

  test("of an invite is tried for the grace time, without a request, and ends after it", async () => {
    const conn = await enter();
    page.server.udp = false;
    page.server.fails = true;
    lose();
    await pass(29_000);
    expect(conn.state).toBe("interrupted");
    expect(page.server.remote.length).toBeGreaterThan(4);
    await pass(2000);
    expect(await conn.closed).toMatchObject({ code: 6, error: { code: "link" } });
    await pass(20_000);
    expect([page.server.asked, page.timers]).toEqual([[], 0]);
  });

  test("of an invite goes on when the server that has refused the link for a while takes one", async () => {
    const conn = await enter();
    page.server.refuses = { status: 503, code: "full", error: "no room" };
    lose();
    await pass(1000);
    expect([conn.state, page.server.admits.length > 1]).toEqual(["interrupted", true]);
    page.server.refuses = undefined;
    await pass(5000);
    expect(conn.state).toBe("open");
  });

  test("of an invite ends when the server refuses the link for good", async () => {
    const conn = await enter();
    page.server.refuses = { status: 409, code: "app", error: "the program is of another version" };
    lose();
    await pass(1000);
    expect(await conn.closed).toMatchObject({ code: 6, error: { code: "app" } });
  });

  test("of an invite ends when the server takes no other link", async () => {
    const conn = await enter();
    conn.session.next = ["", ""];
    lose();
    await pass(1000);
    expect(await conn.closed).toMatchObject({ code: 6, reason: expect.stringContaining("no link without a request") });
  });

  test.each(["a request", "an invite"])("of %s continues in another page without a request", async (how) => {
    quick();
    const first = how === "an invite" ? await enter() : await page.join();
    const asked = page.server.asked.length;
    first.send("chat", utf8("x"));
    const saved = suspend(first);
    const next = resume(how === "an invite" ? page.server.invite() : url, { channels }, saved);
    await pass(200);
    const second = await next;
    expect([second.id, second.continued, page.server.asked.length]).toEqual([first.id, true, asked]);
    expect(page.server.sessions[0]!.came.length).toBe(1);
  });
});
