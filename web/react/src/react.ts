// A session of @godwit/client for components of React.

import { type DependencyList, useEffect, useRef, useState } from "react";

/** Session is the part of Conn that useConnection uses. The Conn of @godwit/client/types has it, too. */
export interface Session {
  readonly state: "connecting" | "open" | "interrupted" | "closed";
  readonly closed: Promise<unknown>;
  close(): Promise<unknown>;
  addEventListener(type: "interrupted" | "resumed", listener: () => void): void;
}

/** Connection is what useConnection returns. */
export interface Connection<T extends Session> {
  /** The session; undefined before it is open. After its end it stays, until the next one is open. */
  conn: T | undefined;
  /** The state of conn. "connecting" before the first session is open, "closed" when there will be no further session. */
  state: "connecting" | "open" | "interrupted" | "closed";
  /** What open has thrown, such as a ConnectError; undefined if nothing. */
  error: unknown;
}

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
  const [connection, set] = useState<Connection<T>>({ conn: undefined, state: "connecting", error: undefined });
  const latest = useRef(open);
  latest.current = open;
  useEffect(() => {
    const wanted = new AbortController();
    const { signal } = wanted;
    let conn: T | undefined;
    const show = (state: Connection<T>["state"], error?: unknown): void => {
      if (!signal.aborted) set({ conn, state, error });
    };
    const run = async (): Promise<void> => {
      if (signal.aborted) return; // StrictMode
      show("connecting"); // after deps have changed
      try {
        for await (const next of each(latest.current(signal))) {
          if (signal.aborted) return void next.close();
          conn = next;
          const changed = (): void => {
            if (conn === next) show(next.state);
          };
          next.addEventListener("interrupted", changed);
          next.addEventListener("resumed", changed);
          changed();
          await next.closed;
        }
        show("closed");
      } catch (error) {
        show("closed", error);
      }
    };
    queueMicrotask(() => void run());
    return () => {
      wanted.abort();
      void conn?.close();
    };
    // biome-ignore lint/correctness/useExhaustiveDependencies: the caller knows them
  }, deps);
  return connection;
}

/** Yields the sessions of what open has returned. */
async function* each<T>(opened: Promise<T> | AsyncIterable<T>): AsyncGenerator<T, void, void> {
  if (Symbol.asyncIterator in opened) yield* opened;
  else yield await opened;
}
