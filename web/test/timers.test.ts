// When a Conn acts: its timers, timers that are late, and a browser whose queue is full.
import { describe, expect, test, vi } from "vitest";
import { utf8 } from "./bytes";
import { client, type Joined, pass, told } from "./client";
import { carryTime } from "./page";

const page = client();
type Session = (typeof page.server.sessions)[0];

const packets = (conn: Joined): number => conn.stats().packetsOut;

/** Makes the server send a message; returns its packet if it is caught. */
function say(s: Session, channel: number, message: string, caught = false): Uint8Array {
  let packet: Uint8Array = new Uint8Array();
  const { channel: c } = s;
  if (caught) c!.fromServer = (b) => (packet = b);
  s.mux.send(performance.now(), channel, utf8(message));
  s.flush();
  if (caught) delete (c as Partial<typeof c & object>).fromServer;
  return packet;
}

const hear = (s: Session, b: Uint8Array): void =>
  s.channel!.onmessage!({ data: b.slice().buffer as ArrayBuffer, timeStamp: performance.now() });

/** Returns the times of the timers of the client, as they are set. */
function alarms(): number[] {
  const all: number[] = [];
  const set = globalThis.setTimeout;
  vi.stubGlobal("setTimeout", (f: () => void, ms: number) => {
    if (ms !== carryTime) all.push(performance.now() + ms);
    return set(f, ms);
  });
  return all;
}

describe("an acknowledgement", () => {
  test("leaves 20 ms after the message, by a timer that takes the place of the one before", async () => {
    const conn = await page.join();
    const before = packets(conn);
    expect(page.timers).toBe(1);
    hear(page.server.sessions[0]!, say(page.server.sessions[0]!, 2, "x", true));
    await pass(19);
    expect([packets(conn), page.timers]).toEqual([before, 1]);
    await pass(1);
    expect(packets(conn)).toBe(before + 1);
  });

  test("of two messages costs one timer", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const before = packets(conn);
    const at = alarms();
    hear(s!, say(s!, 2, "x", true));
    await pass(5);
    hear(s!, say(s!, 2, "y", true));
    expect(at).toEqual([performance.now() + 15]);
    await pass(20);
    expect([packets(conn), at.length]).toEqual([before + 1, 2]);
  });

  test("that is due leaves with the datagram that makes it so, without a timer", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    say(s!, 2, "x", true);
    const second = say(s!, 2, "y", true);
    const before = packets(conn);
    hear(s!, second);
    expect(packets(conn)).toBe(before + 1);
  });
});

describe("silence", () => {
  test("is broken by a ping after 2 s", async () => {
    const conn = await page.join();
    const events = told(conn);
    const before = packets(conn);
    await pass(1500);
    expect(packets(conn)).toBe(before);
    await pass(150);
    expect(packets(conn)).toBeGreaterThan(before);
    await pass(10_000);
    expect(events).toEqual([]);
  });

  test("of 3 s interrupts", async () => {
    const conn = await page.join();
    const events = told(conn);
    page.server.dark = true;
    await pass(2500);
    expect(events).toEqual([]);
    await pass(200);
    expect(events).toEqual(["interrupted"]);
  });
});

describe("a timer that is late", () => {
  test("is not waited for when a message comes: what is due is done", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const packet = say(s!, 2, "x", true);
    s!.receive = () => {};
    conn.send("chat", utf8("lost"));
    await pass(10);
    page.sleep(1000);
    expect(conn.stats().retransmits).toBe(0);
    hear(s!, packet);
    expect(conn.stats().retransmits).toBe(1);
  });

  test.each([
    [1500, ["old"], 0],
    [1501, [], 1],
  ])("by %d ms shows whether the page slept: what was sent before is of no use then", async (late, heard, stale) => {
    const at = alarms();
    const conn = await page.join();
    const [s] = page.server.sessions;
    const came: string[] = [];
    conn.on("moves", (b) => came.push(Buffer.from(b).toString()));
    const packet = say(s!, 1, "old", true);
    page.sleep(at.at(-1)! + late - performance.now());
    hear(s!, packet);
    expect([came, conn.channelStats("moves").stale]).toEqual([heard, stale]);
    await pass(100);
    say(s!, 1, "new");
    await pass(100);
    expect(came).toEqual([...heard, "new"]);
  });

  test("as that of a page that slept is set again, once", async () => {
    const conn = await page.join();
    const events = told(conn);
    const [s] = page.server.sessions;
    const packet = say(s!, 2, "x", true);
    page.sleep(10_000);
    page.server.dark = true;
    hear(s!, packet);
    expect(page.timers).toBe(1);
    await pass(2900);
    expect(events).toEqual([]);
    await pass(200);
    expect(events).toEqual(["interrupted"]);
  });

  test("as that of a page that slept interrupts nothing if the server is heard first", async () => {
    const conn = await page.join();
    const events = told(conn);
    page.sleep(10_000);
    await pass(3000);
    expect([events, conn.state, page.server.asked.length]).toEqual([[], "open", 1]);
  });
});

describe("a browser whose queue is full", () => {
  test("gets nothing, at the cost of a timer now and then, and all when there is room", async () => {
    const conn = await page.join();
    const { channel } = page.server.sessions[0]!;
    conn.send("chat", utf8("w"));
    await pass(0);
    channel!.bufferedAmount = 2321;
    hear(page.server.sessions[0]!, say(page.server.sessions[0]!, 2, "x", true));
    const before = packets(conn);
    conn.send("chat", utf8("x"));
    const at = alarms();
    await pass(400);
    expect(packets(conn)).toBe(before);
    expect(at.length).toBeLessThan(10);
    channel!.bufferedAmount = 2320;
    (channel as unknown as RTCDataChannel).onbufferedamountlow!(new Event("x"));
    expect(packets(conn)).toBe(before + 1);
  });

  test("for half a second and while nobody answers is given nothing that would grow old in it", async () => {
    const conn = await page.join();
    const { channel } = page.server.sessions[0]!;
    page.server.dark = true;
    conn.send("chat", utf8("x"));
    await pass(500); // probes without an answer
    channel!.bufferedAmount = 5000;
    conn.send("chat", utf8("y"));
    await pass(700);
    channel!.bufferedAmount = 0;
    const before = packets(conn);
    (channel as unknown as RTCDataChannel).onbufferedamountlow!(new Event("x"));
    expect(packets(conn)).toBeGreaterThan(before);
    const { messagesOut } = conn.channelStats("moves");
    conn.send("moves", utf8("z"));
    await pass(50);
    expect(conn.channelStats("moves").messagesOut).toBe(messagesOut);
    page.server.dark = false;
    await pass(500);
    conn.send("moves", utf8("new"));
    await pass(0);
    expect(conn.channelStats("moves").messagesOut).toBe(messagesOut + 1);
  });
});

test("a browser is not asked how full its queue is when there is nothing for it", async () => {
  const conn = await page.join();
  const { channel } = page.server.sessions[0]!;
  const asked = vi.fn(() => 0);
  Object.defineProperty(channel, "bufferedAmount", { get: asked });
  (channel as unknown as RTCDataChannel).onbufferedamountlow!(new Event("x"));
  expect(asked.mock.calls.length).toBe(0);
  conn.send("chat", utf8("x"));
  await pass(0);
  expect(asked.mock.calls.length).toBe(1);
});

test("without a link what is due has no hurry", async () => {
  const conn = await page.join();
  const [s] = page.server.sessions;
  page.refuse(503);
  page.server.retryAfter = "10";
  const events = told(conn);
  hear(s!, say(s!, 2, "x", true));
  s!.channel!.end();
  const at = alarms();
  await pass(2000);
  expect(events).toEqual(["interrupted"]);
  expect(at.length).toBeGreaterThan(1);
  expect(at.length).toBeLessThan(45);
});

test("messages of one task are one microtask and one packet", async () => {
  const conn = await page.join();
  const before = packets(conn);
  const soon = vi.spyOn(globalThis, "queueMicrotask");
  for (let i = 0; i < 10; i++) conn.send("chat", utf8("x"));
  expect([soon.mock.calls.length, packets(conn)]).toEqual([1, before]);
  await pass(0);
  expect(packets(conn)).toBe(before + 1);
  conn.send("chat", utf8("x"));
  await pass(0);
  expect([soon.mock.calls.length, packets(conn)]).toEqual([2, before + 2]);
});

describe("the end", () => {
  test.each(["page", "server"])("by the %s leaves no timer, no link, and nothing that listens to the page", async (who) => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const { channel } = s!;
    if (who === "page") void conn.close();
    else s!.close(300);
    await pass(100);
    expect([conn.state, channel!.readyState, page.timers, page.heard]).toEqual(["closed", "closed", 0, []]);
    const before = packets(conn);
    void conn.close(); // a second time
    await pass(100);
    expect([packets(conn), page.timers]).toEqual([before, 0]);
  });

  test("without a link leaves no timer either", async () => {
    const conn = await page.join();
    page.server.dark = true;
    page.server.sessions[0]!.channel!.end();
    await pass(10);
    void conn.close();
    await pass(0);
    expect([conn.state, page.timers, page.heard]).toEqual(["closed", 0, []]);
  });

  test("is said again while nobody answers, and the link goes after the last time", async () => {
    const conn = await page.join();
    const { channel } = page.server.sessions[0]!;
    page.server.dark = true;
    void conn.close();
    const before = packets(conn);
    await pass(500);
    expect([channel!.readyState, packets(conn)]).toEqual(["open", before + 5]);
    await pass(500);
    expect([channel!.readyState, packets(conn), page.timers]).toEqual(["closed", before + 6, 0]);
  });

  test("comes when the time to drain is over, and not only at the next timer", async () => {
    const conn = await page.join();
    const events = told(conn);
    page.server.dark = true;
    conn.send("chat", utf8("four"));
    await pass(5);
    void conn.close(300, "", 20);
    await pass(19);
    expect([conn.state, events]).toEqual(["closed", []]);
    await pass(1);
    expect([conn.state, events]).toEqual(["closed", ["close"]]);
    expect(await conn.closed).toStrictEqual({ code: 300, reason: "", remote: false, lostOut: 4, lostIn: 0 });
  });
});
