// A session of @godwit/client for components of React.

import { type DependencyList, useEffect, useMemo, useRef, useState } from "react";

/** Session is the part of Conn that useConnection uses. The Conn of @godwit/client/types has it, too. */
export interface Session {
  readonly state: "connecting" | "open" | "interrupted" | "closed";
  readonly closed: Promise<unknown>;
  close(): Promise<unknown>;
  addEventListener(type: "interrupted" | "resumed", listener: () => void): void;
}

/** Connection is what useConnection returns. */
export interface Connection<T extends Session> {
  /**
   * The session; undefined before it is open, and at once when deps have changed. After its end it stays, until the next one
   * is open.
   */
  conn: T | undefined;
  /**
   * "connecting" before a session is open, also between two sessions, "open" and "interrupted" as the state of conn, and
   * "closed" when there will be no further session.
   */
  state: "connecting" | "open" | "interrupted" | "closed";
  /** What open has thrown, such as a ConnectError; undefined if nothing. */
  error: unknown;
}

const none: Connection<never> = { conn: undefined, state: "connecting", error: undefined };

/**
 * Opens a session when the component has mounted, and closes it when the component unmounts or one of deps changes. The
 * component renders again when the state changes.
 *
 * open is called in a microtask after the effects, once for each session: StrictMode, which mounts a component twice, opens
 * one session. It returns what connect or keep return, or, to continue with a new session when the old one has ended, what
 * sessions returns. Its signal, which belongs into their options, aborts when the session is not wanted any more; a session that
 * opens nevertheless is closed. A new function open alone opens no session: name in deps what it uses, such as the URL.
 */
export function useConnection<T extends Session>(
  open: (signal: AbortSignal) => Promise<T> | AsyncIterable<T>,
  deps: DependencyList = [],
): Connection<T> {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the caller knows them
  const wish = useMemo(() => ({}), deps); // another one when deps have changed
  const [shown, show] = useState({ wish, connection: none as Connection<T> });
  const latest = useRef(open);
  useEffect(() => {
    latest.current = open; // that of a render which has become the page
  });
  useEffect(() => {
    const wanted = new AbortController();
    const { signal } = wanted;
    let conn: T | undefined;
    const tell = (state: Connection<T>["state"], error?: unknown): void => {
      if (!signal.aborted) show({ wish, connection: { conn, state, error } });
    };
    const run = async (): Promise<void> => {
      if (signal.aborted) return; // StrictMode
      show((was) => (was.connection === none ? was : { wish, connection: none })); // effects may begin again, as in Activity
      try {
        const opened = latest.current(signal);
        for await (const next of each(opened)) {
          if (signal.aborted) return void next.close();
          conn = next;
          const changed = (): void => {
            if (conn === next && next.state !== "closed") tell(next.state);
          };
          next.addEventListener("interrupted", changed);
          next.addEventListener("resumed", changed);
          changed();
          await next.closed;
          if (Symbol.asyncIterator in opened) tell("connecting"); // until there is another one
        }
        tell("closed");
      } catch (error) {
        tell("closed", error);
      }
    };
    queueMicrotask(() => void run());
    return () => {
      wanted.abort();
      void conn?.close();
    };
  }, [wish]);
  return shown.wish === wish ? shown.connection : none;
}

/** Yields the sessions of what open has returned. */
async function* each<T>(opened: Promise<T> | AsyncIterable<T>): AsyncGenerator<T, void, void> {
  if (Symbol.asyncIterator in opened) yield* opened;
  else yield await opened;
}
