// useConnection in React and jsdom, with sessions that the test controls.

import { Activity, type ActivityProps, act, createElement, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Conn } from "../../dist/godwit.js";
import { type Connection, type Session, useConnection } from "../src/react";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

/** A session without a server. */
class Fake extends EventTarget implements Session {
  state: Session["state"] = "open";
  closes = 0;
  end!: () => void;
  readonly closed = new Promise<void>((resolve) => {
    this.end = () => {
      this.state = "closed";
      resolve();
    };
  });

  close(): Promise<void> {
    this.closes++;
    this.end();
    return this.closed;
  }

  become(state: "interrupted" | "open"): void {
    this.state = state;
    this.dispatchEvent(new Event(state === "open" ? "resumed" : state));
  }
}

/** One call of open. */
interface Call {
  url: string;
  signal: AbortSignal;
  resolve(conn: Fake): void;
  reject(e: unknown): void;
}

let calls: Call[];
let root: Root;
let seen: Connection<Fake>;
let renders: { url: string | undefined; seen: Connection<Fake> }[];

/** As connect does: the signal aborts it. */
const open =
  (url: string) =>
  (signal: AbortSignal): Promise<Fake> =>
    new Promise((resolve, reject) => {
      calls.push({ url, signal, resolve, reject });
      signal.addEventListener("abort", () => reject(signal.reason));
    });

interface Props {
  open: (signal: AbortSignal) => Promise<Fake> | AsyncIterable<Fake>;
  url?: string;
}

function Player({ open, url }: Props): null {
  seen = useConnection(open, [url]);
  renders.push({ url, seen });
  return null;
}

const render = (url: string): Promise<void> =>
  act(async () => root.render(createElement(StrictMode, null, createElement(Player, { open: open(url), url }))));

beforeEach(() => {
  calls = [];
  renders = [];
  root = createRoot(document.createElement("div"));
});

afterEach(() => act(async () => root.unmount()));

test("StrictMode mounts twice and opens one session", async () => {
  await render("a");
  expect(calls).toHaveLength(1);
  expect(seen).toEqual({ conn: undefined, state: "connecting", error: undefined });
  const conn = new Fake();
  await act(async () => calls[0]!.resolve(conn));
  expect(seen).toEqual({ conn, state: "open", error: undefined });
  await render("a"); // with another function open
  expect(calls).toHaveLength(1);
});

test("the component renders the states of the session", async () => {
  await render("a");
  const conn = new Fake();
  await act(async () => calls[0]!.resolve(conn));
  await act(async () => conn.become("interrupted"));
  expect(seen.state).toBe("interrupted");
  await act(async () => conn.become("open"));
  expect(seen.state).toBe("open");
  await act(async () => conn.end());
  expect(seen).toEqual({ conn, state: "closed", error: undefined });
});

test("a component that unmounts closes its session", async () => {
  await render("a");
  const conn = new Fake();
  await act(async () => calls[0]!.resolve(conn));
  expect(conn.closes).toBe(0);
  await act(async () => root.unmount());
  expect(conn.closes).toBe(1);
  expect(calls[0]!.signal.aborted).toBe(true);
});

test("a component that unmounts ends an attempt, and a session that opens nevertheless is closed", async () => {
  await render("a");
  await act(async () => root.unmount());
  expect(calls[0]!.signal.aborted).toBe(true);

  const conn = new Fake();
  let late!: (conn: Fake) => void;
  const slow = (): Promise<Fake> => new Promise((resolve) => (late = resolve));
  root = createRoot(document.createElement("div"));
  await act(async () => root.render(createElement(Player, { open: slow })));
  await act(async () => root.unmount());
  await act(async () => late(conn));
  expect(conn.closes).toBe(1);
  expect(seen.conn).toBe(undefined);
});

test("another URL is another session", async () => {
  await render("a");
  const conn = new Fake();
  await act(async () => calls[0]!.resolve(conn));
  await render("b");
  expect(conn.closes).toBe(1);
  expect(calls.map((c) => c.url)).toEqual(["a", "b"]);
  expect(seen).toEqual({ conn: undefined, state: "connecting", error: undefined });
  const next = new Fake();
  await act(async () => calls[1]!.resolve(next));
  await act(async () => conn.become("interrupted")); // of the old session
  expect(seen).toEqual({ conn: next, state: "open", error: undefined });
  await render("a"); // the session of the first render has ended
  expect(renders.filter(({ url, seen }) => url === "b" && seen.conn === conn)).toEqual([]);
  expect(renders.slice(-2).map(({ seen }) => seen.conn)).toEqual([undefined, undefined]);
  expect(seen.state).toBe("connecting");
});

test("a component that is hidden and shown again has a new session", async () => {
  const props = (mode: "hidden" | "visible"): ActivityProps => ({ mode, children: undefined });
  const hide = (mode: "hidden" | "visible"): Promise<void> =>
    act(async () => root.render(createElement(Activity, props(mode), createElement(Player, { open: open("a"), url: "a" }))));
  await hide("visible");
  const conn = new Fake();
  await act(async () => calls[0]!.resolve(conn));
  expect(seen.conn).toBe(conn);
  await hide("hidden");
  expect(conn.closes).toBe(1);
  await hide("visible");
  expect(calls).toHaveLength(2);
  expect(seen).toEqual({ conn: undefined, state: "connecting", error: undefined });
});

test("what open throws is the error", async () => {
  await render("a");
  const error = new Error("refused");
  await act(async () => calls[0]!.reject(error));
  expect(seen).toEqual({ conn: undefined, state: "closed", error });
});

test("sessions are shown one after the other, until the component unmounts", async () => {
  const conns = [new Fake(), new Fake()];
  let ended = false;
  let more!: () => void;
  const another = new Promise<void>((resolve) => (more = resolve));
  async function* sessions(): AsyncGenerator<Fake, void, void> {
    for (const conn of conns) {
      try {
        yield conn;
      } finally {
        ended = conn === conns[1];
      }
      await another;
    }
  }
  await act(async () => root.render(createElement(StrictMode, null, createElement(Player, { open: sessions }))));
  expect(seen).toMatchObject({ conn: conns[0], state: "open" });
  await act(async () => conns[0]!.end());
  expect(seen).toMatchObject({ conn: conns[0], state: "connecting" });
  await act(async () => more());
  expect(seen).toMatchObject({ conn: conns[1], state: "open" });
  await act(async () => root.unmount());
  expect(conns[1]!.closes).toBe(1);
  expect(ended).toBe(true);
});

test("the sessions of the client fit", () => {
  const fits = (conn: Conn): Session => conn;
  expect(fits).toBeTypeOf("function");
});
