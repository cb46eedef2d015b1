import { type Conn } from "./conn";
import { backoff, longestBackoff, now, sleep, unknownBackoff } from "./deferred";
import { answerTo, direct } from "./direct";
import { ConnectError } from "./error";
import { type Link, openLink } from "./link";
import { allLinks, fetched, type LinkName, type Links, lossless, rank } from "./options";
import { before, fallen, firstSeek, headStart, longestSeek, race } from "./race";
import { open } from "./session";
import { exchange } from "./signaling";
import { type Channel } from "./table";

const headTrips = 5; // round trips of a link without a request until there is a request, if they are more than headStart
const askEvery = 1000; // ms between two questions whether the server is gone
const patience = 3000; // ms to wait for a packet on a new link
const maxStrangers = 5; // answers of one server in a row that it does not know the session, after which it is over

/** Seeker opens the links of a Conn: the first one, others when the session is interrupted, and better ones. */
export interface Seeker {
  /** Opens the session. */
  begin(): Promise<void>;
  /** Tries new links until the server answers, over whichever link. At first WebRTC has a head start if calm. */
  reconnect(calm?: boolean): Promise<void>;
  /** A packet has arrived. */
  heard(): void;
  /** The link has ended, or must end. */
  ended(): void;
  /** The server has refused the link; e is undefined if the refusal cannot be read. */
  refused(e: ConnectError | undefined): void;
  /** Tries WebRTC again later, if the session is on a worse link. */
  seek(): void;
  /** The network of the page has changed. */
  network: (e: Event) => void;
  /** Ends all attempts. */
  stop(): void;
}

export function seekerOf<const C extends readonly Channel[]>(conn: Conn<C>): Seeker {
  let rival = new AbortController(); // aborts the attempt to open WebRTC beside an open WebSocket
  let seeking: ReturnType<typeof setTimeout> | undefined; // until WebRTC is tried again
  let trying: AbortController | null = null; // aborts the attempts to open a new link
  let silent: AbortController | undefined; // ends the wait for a packet on a new link
  let woken: AbortController | undefined; // ends the wait between two of these attempts
  let lost = 0; // when the session was interrupted
  let moved = -Infinity; // when the session moved to its link, which is not its first one
  let pause = firstSeek; // ms on a worse link until WebRTC is tried again
  let kind = kindOfNetwork();

  const wanted = (): Links => conn.settings.links ?? allLinks;

  /** Returns whether the session goes on, on a link that is worse than another one. */
  const worse = (than: LinkName): boolean =>
    conn.state !== "closed" && rank(wanted(), conn.carrier?.name ?? than) > rank(wanted(), than);

  /** Opens a link without a request, with an invite or the credentials of WELCOME. */
  async function own(signal: AbortSignal): Promise<Link> {
    const { session, query, settings } = conn;
    const { home, next } = session;
    const exchange = (offer: string): ReturnType<typeof answerTo> => answerTo(offer, home, ...next, `${query}`);
    return openLink({ exchange, timeout: settings.timeout, signal });
  }

  /** Opens a link of the session with a request; a better one may open later. */
  async function connect(authorization: string | undefined, signal: AbortSignal, calm = true, links = wanted()): Promise<Link> {
    const { table } = conn;
    const url = conn.url!;
    const { request, timeout } = conn.settings;
    rival.abort();
    const other = (rival = new AbortController());
    const quit = (): void => other.abort();
    signal.addEventListener("abort", quit);
    try {
      return await race(
        links,
        calm,
        url.host,
        (offer, either) => exchange(url, offer, authorization, request, table, either),
        take,
        signal,
        other.signal,
        timeout,
      );
    } finally {
      signal.removeEventListener("abort", quit);
    }
  }

  /** Opens a link of the open session. */
  const resume = (signal: AbortSignal, calm?: boolean, links?: Links): Promise<Link> =>
    connect(`Godwit-Resume ${conn.session.token}`, signal, calm, links);

  /**
   * Opens the first link. If the server refuses a token, a fresh one is fetched once; if a handshake fails, it is tried
   * once more. Neither is done with a token that may be usable only once.
   */
  async function authorized(): Promise<Link> {
    const { token } = conn.settings;
    const attempt = async (): Promise<Link> => {
      if (!conn.url) return own(conn.ended.signal);
      const t = await (typeof token === "function" ? fetched(token) : token);
      return connect(t && `Bearer ${t}`, conn.ended.signal);
    };
    try {
      return await attempt();
    } catch (e) {
      const { code, status, retryAfter } = Object(e) as Partial<ConnectError>;
      if (typeof token === "string" || !(code === "token" ? token && status : code === "link" && retryAfter !== undefined))
        throw e;
      return attempt();
    }
  }

  /** Returns whether the session is on a link that is worse than WebRTC. */
  const fallback = (): boolean => wanted().includes("webrtc") && worse("webrtc");

  /** Moves to a link that has opened later, if it is better. */
  const take = (link: Link): void => {
    if (conn.frozen || !(conn.carrier ? worse(link.name) : conn.session.interrupted)) link.close();
    else conn.move(link);
  };

  /** The session has a link. Tries WebRTC again after wait ms, if that link is worse; then ever more rarely. */
  const seek = (wait = pause): void => {
    if (conn.session.moves) moved = now();
    clearTimeout(seeking);
    if (!fallback() || !globalThis.RTCPeerConnection) return;
    seeking = setTimeout(async () => {
      pause = Math.min(2 * wait || firstSeek, longestSeek);
      try {
        if (conn.state === "open" && !trying) take(await resume(conn.ended.signal, true, ["webrtc"]));
      } catch {
        // It does not matter why: the session has a link.
      }
      seek();
    }, wait);
  };

  async function reconnect(calm = !conn.link): Promise<void> {
    const { session, url } = conn;
    if (trying || conn.frozen || !session.interrupted) return; // the program may have closed the session
    const { signal } = (trying = new AbortController());
    lost = now();
    let links = wanted();
    if (!calm && url && conn.link !== "websocket") {
      // UDP that is gone after seconds, again and again, is worse than TCP: the first race is without it.
      if (lost - moved > firstSeek) pause = firstSeek;
      else if (links.some(lossless)) links = links.filter(lossless);
    }
    let quick = undefined as Promise<Link> | undefined; // opens a link without a request
    // The pages of a server that is gone notice it at about the same moment: their requests must not come together.
    let head = Math.max(headStart, headTrips * session.mux.loss.smoothed) * (1 + Math.random() / 2);
    const attempt = async (): Promise<Link> => {
      const { home, next } = session;
      if (home[0] && home[1] && next[0] && direct() && (!url || (head && links.includes("webrtc")))) {
        quick ??= own(signal);
        quick.then(
          () => woken?.abort(),
          () => (quick = undefined),
        );
      }
      if (url) return quick ? before(quick, head, rest, take) : rest();
      if (quick) return quick;
      throw new ConnectError("resume", "the server takes no link without a request");
    };
    const rest = (won = signal): Promise<Link> => resume(AbortSignal.any([signal, won]), calm, links);
    const { gone } = conn.settings;
    const ask = async (): Promise<void> => {
      for (; gone && session.interrupted && !signal.aborted; await sleep(askEvery, signal)) {
        const yes = await (async () => gone())().catch(() => false);
        if (yes && !signal.aborted) conn.giveUp(new ConnectError("resume", "the server is gone"));
      }
    };
    void ask();
    const wait = (ms: number, by: AbortController): Promise<void> => sleep(ms, AbortSignal.any([signal, by.signal]));
    let stranger: unknown; // instance of the last server that did not know the session
    let strangers = 0; // its answers in a row, without those of servers that are busy
    for (const next = backoff(); !signal.aborted; calm = false, links = wanted(), head = 0) {
      let after: number | undefined = 0;
      let most: number | undefined;
      try {
        const link = await attempt();
        quick = undefined;
        if (signal.aborted) link.close();
        else conn.move(link);
        if (conn.carrier) await wait(patience, (silent = new AbortController())); // the link may have ended already
      } catch (e) {
        if (e instanceof ConnectError) {
          // WebRTC that has worked before fails only for a while, for example when there are too many connections.
          after = e.code === "link" && session.mux.counts.links ? 0 : e.retryAfter;
          conn.failure = e; // until the session is resumed
          const instance = e.code === "resume" && e.details["instance"];
          if (instance) {
            most = unknownBackoff; // another server may know the session
            strangers = stranger === (stranger = instance) ? strangers + 1 : 1;
            // The same server again: there is only one, and it was restarted.
            if (strangers === maxStrangers) after = undefined;
          }
        }
        if (after === undefined) {
          if (session.interrupted) conn.giveUp(e);
          break;
        }
      }
      // Not longer, because the grace time runs. The end of the old link says nothing about the server that refuses.
      await wait(next(Math.min(after, longestBackoff), most), (woken = new AbortController()));
    }
    quick?.then(
      (link) => link.close(),
      () => {},
    );
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
    reconnect,
    heard() {
      // Receiving proves only the downlink. Stop reconnecting once the server has acknowledged something sent since.
      if (trying && conn.session.mux.answered(lost)) trying.abort();
    },
    refused(e) {
      if (!e) return;
      if (conn.session.phase < open || (!conn.url && e.retryAfter === undefined)) conn.giveUp(e);
      else conn.failure = e; // the next attempt is a request
      conn.seeker.ended();
    },
    ended() {
      conn.carrier?.close();
      conn.carrier = null;
      silent?.abort();
      conn.session.interrupt(now());
    },
    seek,
    network: ({ type }) => {
      // Most events "change" only say that the browser has measured the same network again.
      if (type === "change" && kind === (kind = kindOfNetwork())) return;
      if (conn.url) fallen(conn.url.host, 0);
      seek(0);
      moved = -Infinity; // if UDP is gone now, that is no reason to avoid it
    },
    stop() {
      trying?.abort();
      rival.abort();
      clearTimeout(seeking);
    },
  };
}

/** Returns what says that the network has changed, in browsers that have it. */
export const connection = (): (EventTarget & { type?: string }) | undefined =>
  (globalThis as { navigator?: { connection?: EventTarget } }).navigator?.["connection"];

/** Returns the kind of the network, such as "wifi", in browsers that say it. */
const kindOfNetwork = (): string | undefined => connection()?.["type"];
