import { deferred, now, sleep } from "./deferred";
import { ConnectError } from "./error";
import { defaultTimeout, type Link, noTimes, openLink, openOffered, webSocket } from "./link";
import { type Links } from "./options";
import { type Answer } from "./signaling";

export const headStart = 500; // ms of WebRTC, or headTrips times the time of the request if that is more
export const headTrips = 3;
export const fallenFor = 3_600_000; // ms for which a page remembers that WebRTC did not open first
export const firstSeek = 30_000; // ms on a worse link until WebRTC is tried again; then twice as long, and so on
export const longestSeek = 600_000;

/** The configuration of a race. */
export interface RaceConfig {
  /** The links that may be opened. */
  links: Links;
  /** The server, for fallen. */
  host: string;
  /** Whether the session has lost its link: then WebRTC has no head start. */
  resumes: boolean;
  /** Sends an offer, or "" to ask for links that need none. */
  exchange: (offer: string, signal: AbortSignal) => Promise<Answer>;
  timeout: number | undefined;
  /** Ends the race. */
  signal: AbortSignal;
  /** Ends the attempt to open WebRTC, which goes on when another link has won. It aborts when signal does. */
  rival: AbortSignal;
  /** Another link has opened after the first. */
  second: (link: Link) => void;
}

/**
 * Returns whether another link to the server has won against WebRTC in the last hour, in any page of this origin. With
 * at, it has won at this time; 0 means that this is forgotten.
 */
export function fallen(host: string, at?: number): boolean {
  const key = `godwit ${host}`;
  try {
    if (at) localStorage.setItem(key, `${at}`);
    else if (at === 0) localStorage.removeItem(key);
    const age = Date.now() - Number(localStorage.getItem(key));
    return age >= 0 && age < fallenFor;
  } catch {
    return false; // no storage for this page
  }
}

/**
 * Opens a link: WebRTC, or another one if WebRTC has failed, is not there, or is not open after its head start. The
 * first that opens wins. Throws a ConnectError, or the reason of a signal.
 */
export async function race(config: RaceConfig): Promise<Link> {
  const { links, host, resumes, exchange, timeout = defaultTimeout, signal, rival, second } = config;
  const times = noTimes();
  const answered = deferred<void>();
  const done = new AbortController(); // WebRTC is open
  let answer = undefined as Answer | undefined;
  let link = undefined as Link | undefined; // WebRTC, when it is open
  let failure = undefined as Partial<ConnectError> | undefined; // why it is not
  let asked = false;
  const ask = async (offer: string, either: AbortSignal): Promise<RTCSessionDescriptionInit | undefined> => {
    asked = true;
    const t = now();
    answer = await exchange(offer, either);
    times.http = now() - t;
    answered.resolve();
    return answer.sdp;
  };
  const within = (): AbortSignal => AbortSignal.any([signal, done.signal, AbortSignal.timeout(Math.min(timeout, 1e9))]);
  signal.throwIfAborted();
  const rtc = links.includes("webrtc")
    ? openLink({ label: "godwit", init: { negotiated: true, id: 0 }, exchange: ask, timeout, signal: rival }, times)
    : (async (): Promise<Link> => {
        throw new ConnectError("link", "no link of the option links can be opened");
      })();
  const tried = rtc.then(
    (opened) => {
      link = opened;
      done.abort();
    },
    (e) => (failure = e),
  );
  await Promise.race([tried, answered.promise]);
  signal.throwIfAborted();
  const others = links.flatMap((l) => (l === "webrtc" ? [] : l === "websocket" ? webSocket : l));
  if (failure?.code === "link" && !asked && others[0]) {
    const late = within();
    try {
      await ask("", late);
    } catch (cause) {
      signal.throwIfAborted();
      if ((cause as Partial<ConnectError>).code === "request") return rtc; // the server has no other link
      if (!late.aborted) throw cause;
      throw new ConnectError("timeout", `no answer in ${timeout} ms`, { cause, retryAfter: 0 });
    }
  }
  const offered = others.flatMap((type) => {
    const offer = answer?.links.find((l) => l.type === type.name);
    return offer ? () => openOffered(type, offer, { ...times, ice: 0 }, within()) : [];
  });
  if (!offered[0]) return rtc;
  const head = resumes || failure || fallen(host) ? 0 : Math.max(headStart, headTrips * times.http);
  if (head) await Promise.race([tried, sleep(head, done.signal)]);
  if (link) return link;
  signal.throwIfAborted();
  const all = [rtc, ...offered.map((f) => f())] as const;
  let first: Link;
  try {
    first = await Promise.any(all);
  } catch {
    signal.throwIfAborted();
    return failure?.retryAfter === undefined ? all[1]! : rtc; // for its error: the one after which to try again
  }
  if (link || answer?.sdp) fallen(host, link ? 0 : Date.now());
  for (const one of all)
    one.then(
      (late) => {
        if (late === first) return;
        if (late === link) fallen(host, 0); // it needed longer, but this network has UDP
        second(late);
      },
      () => {},
    );
  return first;
}
