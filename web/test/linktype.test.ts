// A link that a page brings takes part in the race.
import { beforeEach, describe, expect, test } from "vitest";
import { Conn } from "../src/conn";
import { ConnectError } from "../src/error";
import { type Links } from "../src/options";
import { firstSeek } from "../src/race";
import { utf8 } from "./bytes";
import { channels, client, type Joined, pass, text, told, url } from "./client";
import { fakeLink, socketTime } from "./page";

const page = client();
const address = "https://udp.example:7777/";

beforeEach(() => {
  page.server.sockets = true;
  page.server.udp = false;
  page.server.others = [{ type: "webtransport", url: address, hashes: ["AAEC"] }];
});

function begin(links: Links): [conn: Joined, events: string[]] {
  const conn = new Conn(url, { channels, links });
  const events = told(conn);
  conn.addEventListener("link", () => events.push(conn.link));
  return [conn, events];
}

const targets = (): string[] => page.server.opened.map(([to]) => to);

describe("where WebRTC does not open", () => {
  test("it is tried beside the WebSocket, and the first that opens carries the session", async () => {
    const [conn, events] = begin(["webrtc", fakeLink(socketTime - 5), "websocket"]);
    const echoes: string[] = [];
    conn.on("chat", (b) => echoes.push(text(b)));
    conn.send("chat", utf8("hello"));
    await pass(499);
    expect(targets()).toEqual([]);
    await pass(101);
    expect(targets()).toEqual([address, "wss://game.example/godwit/"]);
    expect([conn.state, conn.link, conn.stats().link, events, echoes]).toEqual([
      "open",
      "webtransport",
      "webtransport",
      [],
      ["hello"],
    ]);
    expect(page.server.closes, "the WebSocket is not needed").toEqual([1000]);
  });

  test("it takes the session over when it opens after the WebSocket", async () => {
    const [conn, events] = begin(["webrtc", fakeLink(200), "websocket"]);
    await pass(600);
    expect([conn.link, events]).toEqual(["websocket", []]);
    await pass(200);
    expect([conn.link, events, page.server.closes]).toEqual(["webtransport", ["webtransport"], [1000]]);
  });

  test("it leaves the session alone if the page prefers the WebSocket", async () => {
    const [conn, events] = begin(["websocket", fakeLink(200)]);
    await pass(1000);
    expect([conn.link, events, page.server.closes]).toEqual(["websocket", [], [1000]]);
  });

  test("the WebSocket carries the session if it does not open", async () => {
    const [conn, events] = begin(["webrtc", fakeLink(20, false), "websocket"]);
    await pass(60_000);
    expect([conn.state, conn.link, events]).toEqual(["open", "websocket", []]);
  });

  test("WebRTC takes the session over later", async () => {
    const [conn, events] = begin(["webrtc", fakeLink(20), "websocket"]);
    await pass(1000);
    expect(conn.link).toBe("webtransport");
    page.server.udp = true;
    await pass(firstSeek + 1000);
    expect([conn.link, events]).toEqual(["webrtc", ["webrtc"]]);
  });

  test("it is no reliable link", async () => {
    const [conn] = begin([fakeLink(20)]);
    await pass(1000);
    expect([conn.state, conn.carrier!.name, conn.carrier!.reliable]).toEqual(["open", "webtransport", false]);
  });
});

test("where the server does not offer it, it is not opened", async () => {
  page.server.others = [];
  const [conn] = begin([fakeLink(20), "websocket"]);
  await pass(1000);
  expect([conn.link, targets()]).toEqual(["websocket", ["wss://game.example/godwit/"]]);
});

test("where UDP arrives it is not opened", async () => {
  page.server.udp = true;
  const [conn] = begin(["webrtc", fakeLink(20), "websocket"]);
  await pass(60_000);
  expect([conn.link, targets()]).toEqual(["webrtc", []]);
});

test("a browser without it is an error of the link", async () => {
  const cause = new ReferenceError("WebTransport is not defined");
  const dial = (): never => {
    throw cause;
  };
  const [conn] = begin([{ name: "webtransport", lossless: false, dial }]);
  const e = await conn.opened.catch((e: unknown) => e);
  expect(e).toBeInstanceOf(ConnectError);
  expect(e).toMatchObject({
    code: "link",
    retryAfter: 0,
    message: "godwit: no webtransport opens: a proxy may not pass it on",
    cause,
  });
});
