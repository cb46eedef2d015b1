// Each bundle against a real server: the names on the wire stay, whatever names a bundle gives to its own properties.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const offer = readFileSync(join(root, "sdp/testdata/chromium.sdp"), "utf8");

const channels = [
  { name: "moves", mode: "sequenced" },
  { name: "chat", mode: "reliable-ordered" },
] as const;
const options = { channels, app: "7", token: "hush" };
const patience = 100_000; // in ms: it only bounds a hang, and a busy machine may take seconds

let dir: string;
let child: ChildProcess;
let base: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "godwit-"));
  execFileSync("go", ["build", "-o", join(dir, "server"), "./web/test/server"], { cwd: root });
  child = spawn(join(dir, "server"), { stdio: ["pipe", "pipe", "inherit"] });
  base = await new Promise((resolve) => child.stdout!.once("data", (b: Buffer) => resolve(`${b}`.trim())));
});
afterAll(() => {
  child.stdin!.end();
  rmSync(dir, { recursive: true });
});

let answers: RTCSessionDescriptionInit[];
beforeEach(() => {
  answers = [];
  vi.stubGlobal(
    "RTCPeerConnection",
    class {
      localDescription = { sdp: offer };
      createDataChannel(): object {
        return {};
      }
      async setLocalDescription(): Promise<void> {}
      async setRemoteDescription(answer: RTCSessionDescriptionInit): Promise<void> {
        answers.push(answer);
      }
      close(): void {}
    },
  );
});
afterEach(() => vi.unstubAllGlobals());

describe.each(["godwit.js", "godwit.min.js", "godwit.keep.min.js"])("%s", async (file) => {
  const { connect, ConnectError } = (await import(
    new URL(`../dist/${file}`, import.meta.url).href
  )) as typeof import("../src/godwit");
  const refused = async (path: string, given: object): Promise<unknown> => {
    const e = await connect(base + path, { ...options, ...given }).catch((e: unknown) => e);
    expect(e).toBeInstanceOf(ConnectError);
    return e;
  };
  const seen = async (): Promise<unknown> => (await fetch(`${base}/seen`)).json();

  test("what it asks, and the answer that it takes", async () => {
    const giveUp = new AbortController();
    const going = connect(`${base}/godwit/?room=5`, { ...options, signal: giveUp.signal }).catch((e: unknown) => e);
    await vi.waitUntil(() => answers.length > 0, { timeout: patience });
    giveUp.abort("enough");
    expect(await going).toBe("enough");
    const query = { v: ["1"], channels: [expect.stringMatching(/^[0-9a-f]{16}$/)], kind: ["browser"], app: ["7"], room: ["5"] };
    expect(await seen()).toEqual({ Query: query, Authorization: "Bearer hush", Body: true });
    expect(answers).toEqual([{ type: "answer", sdp: expect.stringMatching(/a=candidate:\S+ 1 udp/i) }]);
  });

  test("where it comes from, why no UDP came", async () => {
    const late = new AbortController();
    const limit = vi.spyOn(AbortSignal, "timeout").mockReturnValue(late.signal);
    const failed = refused("/godwit/", {});
    await vi.waitUntil(() => answers.length > 0, { timeout: patience });
    late.abort(new DOMException("late", "TimeoutError"));
    const why = expect.stringMatching(/no UDP from 127\.0\.0\.1 \d+/);
    expect(await failed).toMatchObject({ code: "timeout", retryAfter: 0, message: why });
    limit.mockRestore();
  });

  test("codes, reasons and details of refusals", async () => {
    expect(await refused("/godwit/", { app: "6" })).toMatchObject({
      code: "app",
      status: 409,
      retryAfter: undefined,
      details: { code: "app", server: "7", client: "6" },
    });
    expect(await refused("/godwit/", { token: "wrong" })).toMatchObject({
      code: "token",
      status: 401,
      details: { reason: "wrong" },
    });
    expect(await refused("/godwit/", { token: undefined })).toMatchObject({
      code: "token",
      status: 401,
      details: { reason: "missing" },
    });
    expect(await refused("/other/", {})).toMatchObject({
      code: "channels",
      status: 409,
      message: expect.stringContaining("chat"),
      details: { channels: "1 moves sequenced both 16384 65536\n" },
    });
    expect(await refused("/full/", {})).toMatchObject({
      code: "full",
      status: 503,
      retryAfter: 1000,
      message: expect.stringContaining("no room"),
    });
    expect(await refused("/nothing/", {})).toMatchObject({ code: "foreign", status: 404, retryAfter: 0 });
  });
});

test("a session that is over, in the scripts that take sessions up", async () => {
  for (const file of ["godwit.js", "godwit.keep.min.js"]) {
    const { resume } = (await import(new URL(`../dist/${file}`, import.meta.url).href)) as typeof import("../src/godwit");
    const channels = [0, 1, 2].map((i) => [i, {}, [1, []], [0, []]]);
    const session = [30_000, "1", "A".repeat(3), 1, 0, [], channels, [], 3, true, 0, [], [], [], ["", ""]];
    const saved = JSON.stringify([6, Date.now(), session, [[], [], []]]);
    expect(await resume(`${base}/godwit/`, options, saved).catch((e: unknown) => e)).toMatchObject({
      code: "resume",
      status: 410,
      details: { reason: "malformed" },
    });
    expect(await (await fetch(`${base}/seen`)).json()).toMatchObject({ Authorization: "Godwit-Resume AAA" });
  }
});
