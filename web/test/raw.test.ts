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

test("no token, no header", async () => {
  const going = connectRaw(url);
  await pass(200);
  (await going).close();
  expect(page.server.asked).toEqual([""]);
});
