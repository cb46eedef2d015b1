// The requests of a page, and how it understands the answers: refusals, and answers of other programs in place of the
// server.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Server } from "./page";

const built = (await import(new URL("../dist/godwit.min.js", import.meta.url).href)) as typeof import("../src/godwit");

const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
const url = "https://game.example/godwit/";

let server: Server;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance", "Date"] });
  server = new Server(channels);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe.each([
  ["source", await import("../src/godwit")],
  ["bundle", built],
])("%s", (_, { Conn, connect }) => {
  async function join(): Promise<InstanceType<typeof Conn<typeof channels>>> {
    const conn = new Conn(url, { channels });
    await pass(200);
    await conn.opened;
    return conn;
  }

  test("the names on the wire", async () => {
    await join();
    const { searchParams } = new URL(server.urls[0]!);
    const hash = expect.stringMatching(/^[0-9a-f]{16}$/);
    expect(Object.fromEntries(searchParams)).toEqual({ v: "1", channels: hash, kind: "browser" });
    server.refusal = 409;
    const says = { code: "channels", error: "they differ", channels: "1 other sequenced both 16384 65536\n" };
    server.says = says;
    const message = expect.stringMatching(/they differ: .* here and "1 other sequenced both 16384 65536" at the server/);
    await expect(connect(url, { channels, app: "7" })).rejects.toMatchObject({
      code: "channels",
      name: "ConnectError",
      details: says,
      message,
    });
    expect(new URL(server.urls[1]!).searchParams.get("app")).toBe("7");
  });

  test.each([401, 404, 200, 502])("what answers with status %i and is no godwit server ends no session", async (status) => {
    const conn = await join();
    server.sessions[0]!.channel!.end();
    server.foreign = status;
    await pass(8000);
    expect(conn.state).toBe("interrupted");
    server.foreign = 0;
    await pass(10_000);
    expect([conn.state, server.sessions.length]).toEqual(["open", 1]);
  });

  test("a gate before the server keeps the header Authorization", async () => {
    server.foreign = 401;
    await expect(connect(url, { channels, token: "t" })).rejects.toMatchObject({ code: "foreign", status: 401 });
    expect([server.own, server.asked]).toEqual([
      ["Bearer t", null],
      ["Bearer t", "Bearer t"],
    ]);
    await expect(
      connect(url, { channels, token: "t", request: { headers: { Authorization: "Basic eA==" } } }),
    ).rejects.toMatchObject({ code: "foreign" });
    expect([server.own[2], server.asked[2]]).toEqual(["Basic eA==", "Bearer t"]);
    await expect(connect(url, { channels, token: "a\nb" })).rejects.toMatchObject({ code: "token", status: 0 });
  });

  const pages = [
    '{"code":404}',
    '{"code":5,"message":"Not Found"}',
    '{"code":"NoSuchRoute","message":"no"}',
    '{"code":"","error":"banned"}',
    '{"code":"forbidden","error":{}}',
    '{"error":"no"}',
    '["code","error"]',
    "null",
  ];
  test.each(pages)("%s is no refusal of ours", async (page) => {
    const conn = await join();
    server.sessions[0]!.channel!.end();
    server.page = page;
    server.foreign = 404;
    await pass(3000);
    expect(conn.state).toBe("interrupted");
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "foreign", status: 404, retryAfter: 0 });
    server.foreign = 0;
    await pass(10_000);
    expect([conn.state, server.sessions.length]).toEqual(["open", 1]);
  });

  test("a code and a text with status 201 are no refusal either", async () => {
    server.page = '{"code":"full","error":"no room"}';
    server.foreign = 201;
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "foreign", status: 201 });
  });

  test.each([
    ["7", 7000, 7000],
    ["3600", 60_000, 10_000],
    ["2147484", 60_000, 10_000],
    ["1" + "0".repeat(300), 60_000, 10_000],
    ["1" + "0".repeat(400), 60_000, 10_000],
    ["-5", 0, 0],
    ["NaN", 0, 0],
    ["Infinity", 0, 0],
    ["1e300", 0, 0],
    ["0x10", 0, 0],
    ["1.5", 0, 0],
    ["Wed, 21 Oct 2026 07:28:00 GMT", 0, 0],
  ])("of Retry-After: %s so much is believed", async (retryAfter, refusal, foreign) => {
    server.retryAfter = retryAfter;
    server.refusal = 503;
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "full", retryAfter: refusal });
    server.foreign = 503;
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "foreign", retryAfter: foreign });
  });

  test("Godwit-Authorization is taken along by no redirect", async () => {
    const request = { headers: { Authorization: "Basic eA==" }, redirect: "follow" } as const;
    await join();
    server.foreign = 307;
    const foreign = { code: "foreign", status: 307, retryAfter: 0 };
    await expect(connect(url, { channels, token: "t", request })).rejects.toMatchObject(foreign);
    server.foreign = 401;
    await expect(connect(url, { channels, token: "t" })).rejects.toMatchObject({ code: "foreign" });
    expect(server.redirects).toEqual([undefined, "manual", undefined, "manual"]);
    vi.stubGlobal("fetch", async () => Object.defineProperty(Response.error(), "type", { value: "opaqueredirect" })); // of a browser
    await expect(connect(url, { channels, token: "t", request })).rejects.toMatchObject({
      code: "foreign",
      status: 0,
      message: expect.stringContaining("a redirect"),
    });
  });

  test("a token that was used up says what to do", async () => {
    server.refusal = 401;
    server.says = { code: "token", error: "used", reason: "replayed" };
    await expect(connect(url, { channels, token: "t" })).rejects.toMatchObject({
      code: "token",
      message: expect.stringContaining("token a function"),
    });
  });

  test("a browser without WebRTC", async () => {
    vi.stubGlobal("RTCPeerConnection", undefined);
    await expect(connect(url, { channels })).rejects.toMatchObject({ code: "link", cause: expect.any(TypeError) });
  });

  test("where no UDP comes from, and where no server is", async () => {
    server.foreign = 404;
    const nobody = expect.stringContaining("https://game.example/godwit/ answered with status 404, not as a godwit server");
    await expect(connect(url, { channels })).rejects.toMatchObject({
      code: "foreign",
      status: 404,
      retryAfter: 0,
      message: nobody,
    });
    server.foreign = 0;

    const Opens = RTCPeerConnection;
    vi.stubGlobal(
      "RTCPeerConnection",
      class extends Opens {
        override async setRemoteDescription(): Promise<void> {}
      },
    );
    const sdp = "v=0\r\na=candidate:1 1 UDP 2130706431 192.0.2.1 7777 typ host\r\n";
    vi.stubGlobal("fetch", async () => new Response(JSON.stringify({ answer: { type: "answer", sdp } })));
    const silence = expect.stringContaining("no UDP from 192.0.2.1 7777");
    await expect(connect(url, { channels, timeout: 20 })).rejects.toMatchObject({ code: "timeout", message: silence });
  });
});
