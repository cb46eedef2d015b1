// Level one: datagrams.
import { expect, test, vi } from "vitest";
import { type Link, type LinkOwner, noTimes } from "../src/link";
import { connectRaw, RawConn } from "../src/raw";
import { client, pass, url } from "./client";

const page = client();

test("what comes and the end are events, and what would wait is dropped", () => {
  let owner: LinkOwner | undefined;
  const link = {
    times: noTimes(),
    attach: (o: LinkOwner) => void (owner = o),
    ready: vi.fn(() => true),
    send: vi.fn(() => true),
    close: vi.fn(),
  };
  const conn = new RawConn(link as unknown as Link);
  const heard: unknown[] = [];
  conn.addEventListener("message", ({ data }) => heard.push(data));
  conn.addEventListener("close", () => heard.push("close"));
  owner!.datagram(Uint8Array.of(1), 0);
  owner!.datagram("two", 0);
  owner!.drained();
  owner!.ended();
  expect(heard).toEqual([Uint8Array.of(1), "two", "close"]);
  expect([conn.send("a"), conn.dropped]).toEqual([true, 0]);
  link.ready.mockReturnValue(false);
  expect([conn.send("b"), conn.dropped, link.send.mock.calls.length]).toEqual([false, 1, 1]);
  link.ready.mockReturnValue(true);
  link.send.mockReturnValue(false);
  expect([conn.send("c"), conn.dropped]).toEqual([false, 2]);
  conn.close();
  expect(link.close).toHaveBeenCalledTimes(1);
});

test("the options are those of the data channel, and of the time to connect", async () => {
  const Opens = RTCPeerConnection;
  const made: unknown[] = [];
  class Noted extends Opens {
    override createDataChannel(...of: Parameters<RTCPeerConnection["createDataChannel"]>): RTCDataChannel {
      made.push(of);
      return super.createDataChannel(...of);
    }
  }
  vi.stubGlobal("RTCPeerConnection", Noted);
  vi.spyOn(AbortSignal, "timeout").mockImplementation((ms) => (made.push(ms), new AbortController().signal));
  for (const options of [undefined, { label: "mine", protocol: "p", timeout: 7000 }]) {
    const going = connectRaw(url, options);
    await pass(200);
    (await going).close();
  }
  const init = { ordered: false, maxRetransmits: 0 };
  expect(made).toEqual([15_000, ["data", { ...init, protocol: "" }], 7000, ["mine", { ...init, protocol: "p" }]]);
});

test("no token, no header", async () => {
  const going = connectRaw(url);
  await pass(200);
  (await going).close();
  expect(page.server.asked).toEqual([""]);
});
