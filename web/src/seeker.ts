import { type Conn } from "./conn";
import { backoff, longestBackoff, now, sleep } from "./deferred";
import { ConnectError } from "./error";
import { type Link } from "./link";
import { allLinks, fetched, type LinkName, type Links, rank } from "./options";
import { fallen, firstSeek, longestSeek, race } from "./race";
import { open } from "./session";
import { exchange } from "./signaling";
import { type Channel } from "./table";

const patience = 3000; // ms to wait for a packet on a new link
const maxStrangers = 5; // answers of one server in a row that it does not know the session, after which it is over

/** Seeker opens the links of a Conn: the first one, others when the session is interrupted, and better ones. */
export interface Seeker {
  /** Opens the session. */
  begin(): Promise<void>;
  /** The session was interrupted. */
  lost(): void;
  /** Tries new links until the server answers, over whichever link. */
  reconnect(): Promise<void>;
  /** A packet has arrived. */
  heard(): void;
  /** Tries WebRTC again later, if the session is on a worse link. */
  seek(): void;
  /** The network of the page has changed. */
  network: () => void;
  /** Ends the attempts. */
  stop(): void;
  /** No better link is tried any more. */
  rest(): void;
}

export function seekerOf<const C extends readonly Channel[]>(conn: Conn<C>): Seeker {
  let rival = new AbortController(); // aborts the attempt to open WebRTC beside an open WebSocket
  let seeking: ReturnType<typeof setTimeout> | undefined; // until WebRTC is tried again
  let trying: AbortController | null = null; // aborts the attempt to open a new link
  let lostAt = 0; // when the session was interrupted

  const wanted = (): Links => conn.settings.links ?? allLinks;

  /** Returns whether the session is on a link that is worse than another one. */
  const worse = (than: LinkName): boolean => rank(wanted(), conn.carrier?.name ?? than) > rank(wanted(), than);

  /** Opens a link of the session; a better one may open later. */
  async function connect(
    authorization: string | undefined,
    signal: AbortSignal,
    resumes = false,
    links = wanted(),
  ): Promise<Link> {
    const { url, table } = conn;
    const { request, timeout } = conn.settings;
    rival.abort();
    const other = (rival = new AbortController());
    const quit = (): void => other.abort(signal.reason);
    signal.addEventListener("abort", quit);
    try {
      return await race({
        links,
        host: url.host,
        resumes,
        exchange: (offer, either) => exchange(url, offer, authorization, request, table, either),
        timeout,
        signal,
        rival: other.signal,
        second: take,
      });
    } finally {
      signal.removeEventListener("abort", quit);
    }
  }

  /** Opens a link of the open session. */
  const resume = (signal: AbortSignal, links?: ["webrtc"]): Promise<Link> =>
    connect(`Godwit-Resume ${conn.session.token}`, signal, true, links);

  /**
   * Opens the first link. If the server refuses a token, a fresh one is fetched once; if a handshake fails, it is tried
   * once more. Neither is done with a token that may be usable only once.
   */
  async function authorized(): Promise<Link> {
    const { token } = conn.settings;
    const attempt = async (): Promise<Link> => {
      const t = await (typeof token === "function" ? fetched(token) : token);
      return connect(t && `Bearer ${t}`, conn.ended.signal);
    };
    try {
      return await attempt();
    } catch (e) {
      const { code, status, retryAfter }: Partial<ConnectError> = e instanceof ConnectError ? e : {};
      if (typeof token === "string" || !(code === "token" ? token && status : code === "link" && retryAfter !== undefined))
        throw e;
      return await attempt();
    }
  }

  /** Returns whether the session is on a link that is worse than WebRTC. */
  const fallback = (): boolean => wanted().includes("webrtc") && worse("webrtc");

  /** Moves to a link that has opened later, if it is better. */
  const take = (link: Link): void => {
    const { interrupted, closing } = conn.session;
    if (conn.frozen || closing || !(interrupted || worse(link.name))) link.close();
    else conn.move(link);
  };

  /** Tries WebRTC again after wait ms, if the session is on a worse link. */
  const seek = (wait = firstSeek): void => {
    clearTimeout(seeking);
    if (!fallback() || !globalThis.RTCPeerConnection) return;
    seeking = setTimeout(async () => {
      try {
        if (conn.session.phase === open && !trying) take(await resume(conn.ended.signal, ["webrtc"]));
      } catch {
        // It does not matter why: the session has a link.
      }
      seek(Math.min(Math.max(2 * wait, firstSeek), longestSeek));
    }, wait);
  };

  async function reconnect(): Promise<void> {
    const { session } = conn;
    if (trying || conn.frozen || !session.interrupted) return; // the program may have closed the session
    const { signal } = (trying = new AbortController());
    let stranger: unknown; // instance of the last server that did not know the session
    let strangers = 0; // its answers in a row
    for (const next = backoff(); !signal.aborted; ) {
      let pause = patience;
      try {
        const link = await resume(signal);
        if (signal.aborted) link.close();
        else conn.move(link);
      } catch (e) {
        let after: number | undefined = 0;
        if (e instanceof ConnectError) {
          // WebRTC that has worked before fails only for a while, for example when there are too many connections.
          after = e.code === "link" && session.mux.counts.links ? 0 : e.retryAfter;
          conn.failure = e; // until the session is resumed
          const instance = e.code === "resume" ? e.details["instance"] : undefined;
          strangers = instance === stranger ? strangers + 1 : 1;
          stranger = instance;
          // The same server again: there is only one, and it was restarted.
          if (instance && strangers === maxStrangers) after = undefined;
        }
        if (after === undefined) {
          if (session.interrupted) conn.giveUp(e);
          break;
        }
        pause = next(Math.min(after, longestBackoff)); // not longer, because the grace time runs
      }
      await sleep(pause, signal);
    }
    trying = null;
    void reconnect(); // the session may be interrupted again
  }

  return {
    async begin() {
      try {
        conn.settings.signal?.throwIfAborted();
        const link = await authorized();
        Object.assign(conn.times, link.times, { hello: now() - conn.started });
        conn.move(link);
      } catch (e) {
        conn.giveUp(e);
      }
    },
    lost() {
      lostAt = now();
    },
    reconnect,
    heard() {
      // Receiving proves only the downlink. Stop reconnecting once the server has acknowledged something sent since.
      if (trying && conn.session.mux.answered(lostAt)) trying.abort();
    },
    seek,
    network: () => {
      fallen(conn.url.host, 0);
      seek(0);
    },
    stop() {
      trying?.abort();
      rival.abort();
    },
    rest: () => clearTimeout(seeking),
  };
}
