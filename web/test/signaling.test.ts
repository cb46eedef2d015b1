// How the client understands an answer to an offer.
import { afterEach, expect, test, vi } from "vitest";
import { type ConnectError } from "../src/error";
import { exchange, queryOf, signalingURL } from "../src/signaling";
import { fullTable } from "../src/table";

afterEach(() => vi.unstubAllGlobals());

const table = fullTable([{ name: "a", mode: "sequenced" }]);
const url = new URL("https://game.example/godwit");

/** The result of an offer with this answer. */
async function answered(
  status: number,
  body: object,
  headers: Record<string, string> = {},
  token?: string,
): Promise<Partial<ConnectError>> {
  vi.stubGlobal("fetch", async () => new Response(JSON.stringify(body), { status, headers }));
  return exchange(url, "offer", token, undefined, table, new AbortController().signal) as Promise<Partial<ConnectError>>;
}

const refused = (status: number, more: object = {}): Promise<Partial<ConnectError>> =>
  answered(status, { code: "c", error: "no", ...more }, { "Retry-After": "2" }).catch((e: ConnectError) => e);

test("which refusals pass", async () => {
  const after = async (status: number, more = {}): Promise<number | undefined> => (await refused(status, more)).retryAfter;
  expect(await Promise.all([400, 428, 429, 430, 499, 500, 503].map((s) => after(s)))).toEqual([
    undefined,
    undefined,
    2000,
    undefined,
    undefined,
    2000,
    2000,
  ]);
  expect(await after(410, { code: "resume", reason: "unknown" })).toBe(2000);
  expect(await after(410, { code: "resume", reason: "expired" })).toBeUndefined();
  expect(await after(410, { code: "token", reason: "unknown" })).toBeUndefined();
});

test("what a refusal says", async () => {
  const channels = "1 b sequenced both 16384 65536\n";
  expect((await refused(409, { code: "channels", channels })).message).toContain(
    'no: "1 a sequenced both 16384 65536" here and "1 b',
  );
  expect((await refused(409, { code: "channels" })).message).toBe("godwit: no");
  expect((await refused(409, { channels })).message).toBe("godwit: no");
  expect(await refused(400)).toMatchObject({ code: "c", status: 400, details: { code: "c", error: "no" } });
});

test("what is no answer of ours", async () => {
  const answer = { type: "answer", sdp: "v=0" };
  expect(await answered(200, { answer })).toEqual({ sdp: answer, links: [] });
  for (const [status, body] of [
    [404, { answer }],
    [200, { answer: { type: "answer" } }],
    [200, {}],
    [399, { code: "c", error: "no" }],
    [400, { code: "", error: "no" }],
    [400, { code: "c", error: 1 }],
  ] as const) {
    await expect(answered(status, body), `${status}`).rejects.toMatchObject({ code: "foreign", status });
  }
});

test("a gate's 401 is asked again only with a token", async () => {
  let asked = 0;
  const gate = async (token?: string, status = 401): Promise<number> => {
    asked = 0;
    vi.stubGlobal("fetch", async () => (asked++, new Response("", { status })));
    await expect(exchange(url, "offer", token, undefined, table, new AbortController().signal)).rejects.toMatchObject({
      code: "foreign",
      status,
    });
    return asked;
  };
  expect([await gate(), await gate("Bearer t"), await gate("Bearer t", 404)]).toEqual([1, 2, 1]);
});

test("an offer is a POST with the options of the program, without those that belong to the offer", async () => {
  const asked = vi.fn(async (..._: unknown[]) => new Response(JSON.stringify({ links: [] })));
  vi.stubGlobal("fetch", asked);
  const { signal } = new AbortController();
  const init = { credentials: "include", method: "GET", body: "mine", headers: { "X-A": "b" }, signal: null } as const;
  await exchange(url, "offer", "Bearer t", init, table, signal);
  const [to, given] = asked.mock.calls[0] as unknown as Parameters<typeof fetch>;
  expect([to, given]).toMatchObject([url, { credentials: "include", method: "POST", body: "offer", signal }]);
  expect([...new Headers(given!.headers)]).toEqual([
    ["authorization", "Bearer t"],
    ["x-a", "b"],
  ]);
});

test("a token that no header can have is told with what the browser says", async () => {
  await expect(answered(200, {}, {}, "a\nb")).rejects.toMatchObject({ code: "token", status: 0, cause: expect.any(TypeError) });
});

test("a signal that ends a request is the reason", async () => {
  const stop = new AbortController();
  const enough = new Error("enough");
  vi.stubGlobal("fetch", async () => {
    stop.abort(enough);
    throw new TypeError("aborted");
  });
  await expect(exchange(url, "offer", undefined, undefined, table, stop.signal)).rejects.toBe(enough);
});

test("the URL says by what a client may be refused", () => {
  const u = signalingURL("https://game.example/x?y=1", queryOf("1234", "7"));
  expect([u.pathname, ...u.searchParams.keys()]).toEqual(["/x", "y", "v", "channels", "kind", "app"]);
  expect(signalingURL(url, queryOf("1234", "")).searchParams.has("app")).toBe(false);
});
