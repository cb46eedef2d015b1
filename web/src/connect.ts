import { Conn } from "./conn";
import { backoff, now, sleep } from "./deferred";
import { direct, type Seat, type Target } from "./direct";
import { ConnectError } from "./error";
import { type ConnectOptions, fetched } from "./options";
import { renewable } from "./session";
import { type Channel } from "./table";

export const maxMoves = 4; // moves in a row that are followed at once
export const settled = 30_000; // ms for which a session was open that ends the row

/**
 * Connects to a godwit server. target is the URL of its signaling, or an invite, with which there is no request. Rejects
 * with a ConnectError, or with the reason of the signal.
 */
export function connect<const C extends readonly Channel[]>(target: Target, options: ConnectOptions<C>): Promise<Conn<C>>;
/** @internal */
export function connect<const C extends readonly Channel[]>(
  target: Target,
  options: ConnectOptions<C>,
  begin: (c: Conn<C>) => void,
): Promise<Conn<C>>;
export async function connect<const C extends readonly Channel[]>(
  target: Target,
  options: ConnectOptions<C>,
  begin?: (c: Conn<C>) => void,
): Promise<Conn<C>> {
  const conn = new Conn<C>(target, options, begin);
  await conn.opened;
  return conn;
}

/**
 * Yields one session after the other. When a session ends because the server has shut down, was not reachable for the
 * grace time, or does not know the session any more, sessions tries to begin a new one, at growing intervals, until the
 * server answers: also while the option token throws, and while something that is not a godwit server answers. When the
 * server moves a session to another server, the next one begins there, at once; if that fails, or servers move the
 * session more than 4 times in a row within 30 s each, it begins like the first one. sessions returns when a session
 * ends for another reason, for example by the signal. It throws if the first attempt fails, if
 * the server refuses a new session for good, and if the signal aborts while it waits. With keep in place of connect,
 * sessions also continue when the page is loaded again. An invite is good for one session: target may be a function that
 * returns another one for each, or a Seat.
 */
export async function* sessions<const C extends readonly Channel[], T extends Target>(
  target: T | (() => T | Seat | Promise<T | Seat>),
  options: ConnectOptions<C>,
  via: (target: T, options: ConnectOptions<C>) => Promise<Conn<C>> = connect,
): AsyncGenerator<Conn<C>, void, void> {
  const take = async (to: T | Seat, tcp?: boolean): Promise<Conn<C>> => {
    const seat = to as Seat;
    const { invite, url, token = "" } = seat;
    const { gone } = options;
    if (!invite && !url) return via(to as T, options);
    const at = invite && !(url && (tcp || !direct())) ? invite : url;
    return via(at as T, { ...options, token, request: {}, ...(gone && { gone: () => gone(seat) }) });
  };
  const next = async (): Promise<Conn<C>> =>
    take(typeof target === "function" ? await fetched(target, "invite", "function for invites") : target);
  let moves = 0;
  for (let conn = await next(); ; ) {
    const began = now();
    let seat: Seat | undefined;
    try {
      yield conn;
      const why = await conn.closed;
      if (!renewable(why.code)) return;
      seat = why.seat;
    } finally {
      void conn.close();
    }
    moves = seat ? (now() - began < settled ? moves + 1 : 1) : 0;
    const { link } = conn;
    const follow = seat && moves <= maxMoves && (() => take(seat, link === "websocket"));
    conn = await again(next, options.signal, moves - maxMoves, follow);
  }
}

/**
 * Many clients may have lost their sessions at the same time, so each waits before its first attempt, too; the longer,
 * the larger circles is. follow, which is tried once before that, does not wait.
 */
async function again<T>(
  connect: () => Promise<T>,
  signal: AbortSignal | undefined,
  circles: number,
  follow: (() => Promise<T>) | false | undefined,
): Promise<T> {
  const pause = backoff();
  while (--circles > 0) pause(0);
  for (let after: number | undefined = 0; ; follow = undefined) {
    if (!follow) await sleep(pause(after), signal);
    try {
      return await (follow || connect)();
    } catch (e) {
      signal?.throwIfAborted();
      after = e instanceof ConnectError ? e.retryAfter : undefined;
      if (follow) after ??= 0;
      if (after === undefined) throw e;
    }
  }
}
