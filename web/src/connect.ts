import { type Channel } from "./channel";
import { Conn, type ConnectOptions } from "./conn";
import { codeShutdown } from "./session";

/**
 * Connects to a godwit server: url is where it answers offers. Rejects with a ConnectError, or with the signal's
 * reason.
 */
export async function connect<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
): Promise<Conn<C>> {
  const conn = new Conn<C>(url, options);
  await conn.opened;
  return conn;
}

/**
 * One session after the other: the next begins when the server has shut down, or no longer knows the last one. Ends
 * when a session ends otherwise, throws when there is no way to a new one.
 */
export async function* sessions<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
): AsyncGenerator<Conn<C>, void, void> {
  for (;;) {
    const conn = await connect(url, options);
    try {
      yield conn;
      const { code, error } = await conn.closed;
      if (code !== codeShutdown && !error) return;
    } finally {
      void conn.close();
    }
  }
}
