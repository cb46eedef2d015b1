// How a session moves to another link: the events of a Conn, when it asks which server, and what remains of the old
// link.
import { describe, expect, test, vi } from "vitest";
import { resume, suspend } from "../src/keep";
import { utf8 } from "./bytes";
import { channels, client, pass, told, url } from "./client";

const page = client();
type Session = (typeof page.server.sessions)[0];

/** Makes all packets of the page get lost. */
const deaf = (s: Session): void => void (s.receive = () => {});
/** Makes the server send nothing. */
const mute = (s: Session): void => void (s.flush = () => {});
const heal = (s: Session): void => {
  for (const name of ["receive", "flush"] as const) delete (s as Partial<Session>)[name];
};

describe("a search for a new link", () => {
  test("goes on when the server is heard and does not hear, and ends with an answer", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const events = told(conn);
    deaf(s!);
    page.refuse(503);
    vi.spyOn(Math, "random").mockReturnValue(0); // it tries after 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s
    while (!events.length) await pass(10);
    expect(events).toEqual(["interrupted"]);
    s!.mux.send(performance.now(), 2, utf8("x"));
    s!.flush();
    await pass(100);
    expect([events, conn.state]).toEqual([["interrupted", "resumed"], "open"]);
    const asked = page.server.asked.length;
    await pass(4000);
    expect(page.server.asked.length).toBe(asked + 4);
    heal(s!);
    await pass(4500);
    expect([events.length, page.server.asked.length]).toEqual([2, asked + 4]);
  });

  test("is one, however often the session is interrupted, and pauses for as long as it is told to", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const events = told(conn);
    deaf(s!);
    page.refuse(503);
    page.server.retryAfter = "10";
    await pass(3000);
    s!.mux.send(performance.now(), 2, utf8("x"));
    s!.flush();
    mute(s!);
    await pass(9000);
    expect([events, page.server.asked.length]).toEqual([["interrupted", "resumed", "interrupted"], 2]);
    await pass(10_000);
    expect(page.server.asked.length).toBe(3);
  });

  test("waits for as long as a busy server says, though the old link ends meanwhile", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const { channel } = s!;
    deaf(s!);
    mute(s!);
    page.refuse(503);
    page.server.retryAfter = "8";
    const asked = page.server.asked.length;
    while (page.server.asked.length === asked) await pass(5);
    await pass(1000);
    channel!.end();
    await pass(6900);
    expect([conn.state, page.server.asked.length]).toEqual(["interrupted", asked + 1]);
    await pass(5000); // up to half as much again
    expect(page.server.asked.length).toBe(asked + 2);
  });

  test("begins again at once when the old link ends at the moment in which it is heard again", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const events = told(conn);
    const { channel } = s!;
    mute(s!);
    page.refuse(503);
    page.server.retryAfter = "10";
    await pass(3000);
    const { onmessage } = channel!;
    channel!.onmessage = (e) => {
      onmessage!(e);
      expect(conn.state).toBe("open");
      channel!.end();
    };
    heal(s!);
    const asked = page.server.asked.length;
    await pass(400); // a probe and its answer
    expect([events, page.server.asked.length]).toEqual([["interrupted", "resumed", "interrupted"], asked + 1]);
    expect(page.server.redirects.length).toBe(asked + 1);
  });

  test("that ended while a link was opening is over, and the next may begin", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    mute(s!);
    const answers = globalThis.fetch;
    let asked = 0;
    vi.stubGlobal("fetch", (_: URL, { signal }: RequestInit) => {
      asked++;
      return new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
    });
    await pass(3000);
    expect([asked, conn.state]).toEqual([1, "interrupted"]);
    heal(s!);
    await pass(300);
    expect([asked, conn.state]).toEqual([1, "open"]);
    vi.stubGlobal("fetch", answers);
    s!.channel!.end();
    await pass(100);
    expect([page.server.asked.length, conn.state]).toEqual([2, "open"]);
  });

  /**
   * Makes an answer arrive over the old link at the moment in which the next link opens, which is then closed. It opens
   * later than the given time after the last packet.
   */
  async function late(old: NonNullable<Session["channel"]>, after = 3400): Promise<void> {
    let answer: Uint8Array | undefined;
    old.fromServer = (b) => (answer = b);
    const Opens = RTCPeerConnection;
    const closes = vi.fn();
    vi.stubGlobal(
      "RTCPeerConnection",
      class extends Opens {
        override createDataChannel(...args: Parameters<RTCPeerConnection["createDataChannel"]>): RTCDataChannel {
          let opened = (): void => {};
          return Object.defineProperty(super.createDataChannel(...args), "onopen", {
            get: () => () => {
              opened();
              old.onmessage!({ data: answer!.slice().buffer, timeStamp: performance.now() });
            },
            set: (f) => (opened = f),
          });
        }
        override close(): void {
          closes();
          super.close();
        }
      },
    );
    page.refuse(503);
    await pass(after);
    page.refuse(0);
    closes.mockClear();
    for (let i = 0; i < 2000 && !closes.mock.calls.length; i++) await pass(1);
    expect(closes).toHaveBeenCalled();
    delete (old as Partial<typeof old>).fromServer;
  }

  test("that ends in the moment in which a link opens leaves the old link in use", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const old = s!.channel!;
    await late(old);
    const asked = page.server.asked.length;
    conn.send("chat", utf8("x"));
    await pass(5000);
    expect([s!.came.length, s!.channel === old, conn.state, conn.stats().links, page.server.asked.length]).toEqual([
      1,
      true,
      "open",
      1,
      asked,
    ]);
  });

  test("that ends so closes a link without a request, too, that opens while it waits", async () => {
    Object.assign(page.server, { quick: true, most: 0, retryAfter: "10" });
    const conn = await page.join();
    page.server.ice = 1500;
    vi.spyOn(Math, "random").mockReturnValue(0);
    await late(page.server.sessions[0]!.channel!, 4000);
    expect([conn.state, conn.stats().links, page.server.remote.length, page.server.asked.length]).toEqual(["open", 1, 2, 2]);
  });

  test("that ends so begins again at once when the old link ends, too", async () => {
    const conn = await page.join();
    const old = page.server.sessions[0]!.channel!;
    await late(old);
    const asked = page.server.asked.length;
    await pass(1);
    old.end();
    await pass(1);
    expect([conn.state, page.server.asked.length]).toEqual(["interrupted", asked + 1]);
  });

  test("asks no more when the session is closed", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503);
    await pass(100);
    const why = await conn.close(300, "enough");
    const asked = page.server.asked.length;
    expect(why, "it has not ended for the refusal").toStrictEqual({
      code: 300,
      reason: "enough",
      remote: false,
      lostOut: 0,
      lostIn: 0,
    });
    await pass(30_000);
    expect([page.server.asked.length, page.timers, page.heard]).toEqual([asked, 0, []]);
  });

  test("does not begin for a session that its program closes when it is interrupted", async () => {
    for (const gone of [true, false]) {
      const conn = await page.join();
      const s = page.server.sessions.at(-1)!;
      conn.addEventListener("interrupted", () => void conn.close(300, "enough"));
      if (gone) s.channel!.end();
      else mute(s);
      await pass(3000);
      expect(await conn.closed).toMatchObject({ code: 300, reason: "enough", remote: false });
      const asked = page.server.asked.length;
      await pass(10_000);
      expect([page.server.asked.length, page.timers]).toEqual([asked, 0]);
    }
    expect(page.server.asked.length).toBe(2);
  });

  test("ends when the server refuses for good, and so does the session if it is not heard", async () => {
    for (const heard of [true, false]) {
      const conn = await page.join();
      const s = page.server.sessions.at(-1)!;
      deaf(s);
      mute(s);
      page.refuse(503);
      await pass(3000);
      heal(s);
      deaf(s);
      if (!heard) mute(s);
      s.mux.send(performance.now(), 2, utf8("x"));
      s.flush();
      await pass(20);
      expect(conn.state).toBe(heard ? "open" : "interrupted");
      page.refuse(403, "forbidden");
      await pass(10_000);
      expect(conn.state).toBe(heard ? "open" : "closed");
      const { length } = page.server.asked;
      await pass(10_000);
      expect(page.server.asked.length).toBe(length);
      if (!heard) expect(await conn.closed).toMatchObject({ code: 6, reason: "godwit: no", error: { code: "forbidden" } });
      heal(s);
      page.refuse(0);
      void conn.close();
      await pass(500);
    }
  });

  test("ends at the grace time, with the last refusal as the reason why there was no way back", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503);
    await pass(29_900);
    expect(conn.state).toBe("interrupted");
    await pass(200);
    expect(await conn.closed).toMatchObject({
      code: 6,
      reason: "silent for too long",
      remote: false,
      error: { code: "full", status: 503 },
    });
  });

  test("that succeeded leaves no reason behind", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503);
    await pass(100);
    page.refuse(0);
    await pass(2000);
    expect(conn.state).toBe("open");
    page.server.sessions[0]!.close(6);
    await pass(100);
    expect(await conn.closed).toStrictEqual({ code: 6, reason: "", remote: true, lostOut: 0, lostIn: 0 });
  });

  test("in the next page ends at once if that page has no WebRTC", async () => {
    const saved = suspend(await page.join());
    vi.stubGlobal("RTCPeerConnection", undefined);
    const refused = expect(resume(url, { channels }, saved)).rejects.toMatchObject({ code: "link", retryAfter: undefined });
    await pass(10);
    await refused;
  });

  test("ends when the one server there is does not know the session five times", async () => {
    const conn = await page.join();
    vi.spyOn(Math, "random").mockReturnValue(0);
    page.refuse(410, "resume", { reason: "unknown", instance: "b" });
    page.server.sessions[0]!.channel!.end();
    await pass(10);
    page.refuse(410, "resume", { reason: "unknown", instance: "a" }); // after 0.25, 0.75, 1.25, 1.75 and 2.25 s
    await pass(2200);
    expect([page.server.asked.length, conn.state]).toEqual([6, "interrupted"]);
    await pass(100);
    expect(await conn.closed).toMatchObject({ code: 6, error: { code: "resume", status: 410 } });
    expect(page.server.asked.length).toBe(7);
  });

  test("asks different servers that do not know the session again and again", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    const { fetch } = globalThis;
    let n = 0;
    vi.stubGlobal("fetch", (url: URL, init: RequestInit) => {
      page.refuse(410, "resume", { reason: "unknown", instance: `${n++ % 2}` });
      return fetch(url, init);
    });
    await pass(25_000);
    expect(n).toBeGreaterThan(5);
    expect(conn.state).toBe("interrupted");
  });

  test("asks a server that refuses without a name again and again", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503, "full", { instance: "a" });
    await pass(25_000);
    expect(page.server.asked.length).toBeGreaterThan(6);
    expect(conn.state).toBe("interrupted");
  });
});

describe("a link", () => {
  test("that fell silent is closed when the next is there", async () => {
    const conn = await page.join();
    const [s] = page.server.sessions;
    const events = told(conn);
    const old = s!.channel!;
    old.send = () => {};
    old.fromServer = () => {};
    while (!events.length) await pass(1);
    expect([events, old.readyState]).toEqual([["interrupted"], "open"]);
    await pass(45);
    expect([events, old.readyState]).toEqual([["interrupted"], "closed"]);
    conn.send("chat", utf8("x"));
    await pass(500);
    expect([events, conn.state, page.server.asked.length, s!.came.length]).toEqual([["interrupted", "resumed"], "open", 2, 1]);
  });

  test("that is gone gets no packet", async () => {
    const conn = await page.join();
    page.refuse(503);
    page.server.sessions[0]!.channel!.end();
    const { packetsOut } = conn.stats();
    conn.send("chat", utf8("x"));
    await pass(1000);
    expect([conn.stats().packetsOut, conn.state]).toEqual([packetsOut, "interrupted"]);
    page.refuse(0);
    await pass(5000);
    expect([page.server.sessions[0]!.came.length, conn.state]).toEqual([1, "open"]);
  });

  test("that ends by itself is closed, or the browser would have room for no more some day", async () => {
    const links = new Set<object>(); // open connections
    const Opens = RTCPeerConnection;
    class Counted extends Opens {
      constructor() {
        super();
        links.add(this);
      }
      override close(): void {
        links.delete(this);
        super.close();
      }
    }
    vi.stubGlobal("RTCPeerConnection", Counted);
    const conn = await page.join();
    for (let i = 0; i < 3; i++) {
      page.server.sessions[0]!.channel!.end();
      await pass(1000); // half of it is the longest first pause
    }
    expect([conn.state, conn.stats().links, links.size]).toEqual(["open", 4, 1]);
  });

  test("that the browser cannot make now is tried again", async () => {
    const conn = await page.join();
    const Opens = RTCPeerConnection;
    vi.stubGlobal("RTCPeerConnection", function () {
      throw new DOMException("Cannot create so many PeerConnections", "UnknownError");
    });
    page.server.sessions[0]!.channel!.end();
    await pass(5000);
    expect(conn.state).toBe("interrupted");
    vi.stubGlobal("RTCPeerConnection", Opens);
    await pass(10_000);
    expect([conn.state, page.server.sessions.length]).toEqual(["open", 1]);
  });

  test("for which something other than the server answers without SDP is tried again", async () => {
    const conn = await page.join();
    const Opens = RTCPeerConnection;
    class Strict extends Opens {
      override async setRemoteDescription(d: RTCSessionDescriptionInit): Promise<void> {
        if (d.sdp === "none") throw new DOMException("no SDP", "OperationError");
        return super.setRemoteDescription(d);
      }
    }
    vi.stubGlobal("RTCPeerConnection", Strict);
    page.server.foreign = 200;
    page.server.page = JSON.stringify({ answer: { type: "answer", sdp: "none" } });
    page.server.sessions[0]!.channel!.end();
    await pass(5000);
    expect(conn.state).toBe("interrupted");
    page.server.foreign = 0;
    await pass(10_000);
    expect([conn.state, page.server.sessions.length]).toEqual(["open", 1]);
  });

  test("has nothing to say in words", async () => {
    const conn = await page.join();
    const { packetsIn } = conn.stats();
    page.server.sessions[0]!.channel!.onmessage!({ data: "hello" as unknown as ArrayBuffer, timeStamp: performance.now() });
    expect([conn.stats().packetsIn, conn.stats().drops]).toEqual([packetsIn, {}]);
  });
});

describe("a page that may come back", () => {
  test("has no link, says nothing, and looks for a link when it is back", async () => {
    const conn = await page.join();
    const events = told(conn);
    const [s] = page.server.sessions;
    const { channel } = s!;
    const saved: string[] = [];
    conn.onFreeze = () => void saved.push(`${channel!.readyState}`);
    page.fire("pagehide");
    expect([events, conn.state, channel!.readyState]).toEqual([["interrupted"], "interrupted", "closed"]);
    expect(saved, "before the link is closed").toEqual(["open"]);
    const { packetsOut } = conn.stats();
    conn.send("chat", utf8("late"));
    await pass(5000);
    expect([conn.stats().packetsOut, page.server.asked.length]).toEqual([packetsOut, 1]);
    page.fire("pageshow");
    await pass(200);
    expect([events, conn.state, s!.came.length]).toEqual([["interrupted", "resumed"], "open", 1]);
  });

  test("ends the search for a link, and begins it again", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503);
    await pass(100);
    page.fire("pagehide");
    await pass(10_000);
    expect(page.server.asked.length).toBe(2);
    page.fire("pageshow");
    await pass(100);
    expect([page.server.asked.length, conn.state]).toEqual([3, "interrupted"]);
  });

  test("and comes after the grace time finds the session over, and asks nobody", async () => {
    const conn = await page.join();
    page.fire("pagehide");
    page.sleep(31_000);
    page.fire("pageshow");
    expect(conn.state).toBe("closed");
    expect(await conn.closed).toStrictEqual({ code: 6, reason: "silent for too long", remote: false, lostOut: 0, lostIn: 0 });
    await pass(1000);
    expect([page.server.asked.length, page.timers, page.heard]).toEqual([1, 0, []]);
  });

  test("looks at the time again: the grace time has gone on", async () => {
    const conn = await page.join();
    page.server.sessions[0]!.channel!.end();
    page.refuse(503);
    await pass(4000); // there is nothing to do before the end of the grace time
    page.fire("pagehide");
    page.sleep(20_000);
    page.fire("pageshow");
    await pass(5900);
    expect(conn.state).toBe("interrupted");
    await pass(200);
    expect(conn.state).toBe("closed");
  });

  test("to a session that another page has taken asks nobody", async () => {
    const conn = await page.join();
    conn.onBack = () => false;
    page.fire("pagehide");
    page.fire("pageshow");
    expect(conn.state).toBe("closed");
    expect((await conn.closed).error).toMatchObject({ code: "resume", message: "godwit: another page has the session" });
    await pass(100);
    expect(page.server.asked.length).toBe(1);
  });

  test("tells the server of an end that has just come", async () => {
    const conn = await page.join();
    void conn.close(300, "bye", 0);
    page.fire("pagehide");
    await pass(100);
    expect(page.server.sessions[0]!.closed).toEqual([300, "bye"]);
  });

  test("ends a session that waits for its last messages to arrive", async () => {
    const conn = await page.join();
    conn.send("chat", utf8("four"));
    void conn.close(300, "bye");
    page.fire("pagehide");
    await pass(0);
    expect(await conn.closed).toStrictEqual({ code: 300, reason: "bye", remote: false, lostOut: 4, lostIn: 0 });
    await pass(200);
    expect(page.server.sessions[0]!.closed, "the server hears of it").toEqual([300, "bye"]);
    expect([page.timers, page.heard]).toEqual([0, []]);
  });

  test("goes on to connect when it is back", async () => {
    const conn = await page.join();
    expect(page.heard).toEqual(["pagehide", "pageshow", "online"]);
    page.fire("pageshow"); // every page gets this event when it is first shown
    await pass(100);
    expect([conn.state, page.server.asked.length]).toEqual(["open", 1]);
  });
});

test("a page that goes for good ends its session", async () => {
  const conn = await page.join();
  const { packetsOut } = conn.stats();
  page.fire("pagehide", false);
  expect([conn.state, conn.stats().packetsOut], "there may be no later").toEqual(["closed", packetsOut + 1]);
  await pass(100);
  expect(page.server.sessions[0]!.closed).toEqual([0, ""]);
});
