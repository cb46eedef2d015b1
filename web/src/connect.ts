import { Conn } from "./conn";
import { backoff, sleep } from "./deferred";
import { ConnectError } from "./error";
import { type ConnectOptions } from "./options";
import { renewable } from "./session";
import { type Channel } from "./table";

/**
 * Connects to a godwit server. url is the address of its signaling. Rejects with a ConnectError, or with the reason of
 * the signal.
 */
export function connect<const C extends readonly Channel[]>(url: string | URL, options: ConnectOptions<C>): Promise<Conn<C>>;
/** @internal */
export function connect<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
  begin: (c: Conn<C>) => void,
): Promise<Conn<C>>;
export async function connect<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
  begin?: (c: Conn<C>) => void,
): Promise<Conn<C>> {
  const conn = new Conn<C>(url, options, begin);
  await conn.opened;
  return conn;
}

/**
 * Yields one session after the other. When a session ends because the server has shut down, was not reachable for the
 * grace time, or does not know the session any more, sessions tries to begin a new one, at growing intervals, until the
 * server answers: also while the option token throws, and while something that is not a godwit server answers. It
 * returns when a session ends for another reason, for example by the signal. It throws if the first attempt fails, if
 * the server refuses a new session for good, and if the signal aborts while it waits. With keep in place of connect,
 * sessions also continue when the page is loaded again.
 */
export async function* sessions<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
  via: (url: string | URL, options: ConnectOptions<C>) => Promise<Conn<C>> = connect,
): AsyncGenerator<Conn<C>, void, void> {
  const next = (): Promise<Conn<C>> => via(url, options);
  for (let conn = await next(); ; conn = await again(next, options.signal)) {
    try {
      yield conn;
      if (!renewable((await conn.closed).code)) return;
    } finally {
      void conn.close();
    }
  }
}

/** Many clients may have lost their sessions at the same time, so each waits before its first attempt, too. */
async function again<T>(connect: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const pause = backoff();
  for (let after: number | undefined = 0; ; ) {
    await sleep(pause(after), signal);
    try {
      return await connect();
    } catch (e) {
      signal?.throwIfAborted();
      after = e instanceof ConnectError ? e.retryAfter : undefined;
      if (after === undefined) throw e;
    }
  }
}
