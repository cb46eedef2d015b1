import { Conn, type ConnectOptions } from "./conn";
import { backoff, sleep } from "./deferred";
import { ConnectError } from "./error";
import { renewable } from "./session";
import { type Channel } from "./table";

/**
 * Connects to a godwit server: url is where it answers offers. Rejects with a ConnectError, or with the signal's
 * reason.
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
 * One session after the other: when the server has shut down, is not heard for the grace time or no longer knows the last
 * one, the next is tried for, at growing intervals, until the server is there: also while the option token throws, and while
 * something other than a godwit server answers. Ends when a session ends otherwise, such
 * as by the signal. Throws if there is no way to the first, when the server refuses a new one for good, and when the
 * signal ends the wait for one. With keep in place of connect sessions go on when the page is loaded again, too.
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

/** Many may have lost their sessions at once: all wait, also before they first try. */
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
