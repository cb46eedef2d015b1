import { deferred, now, sleep } from "./deferred";
import { ConnectError } from "./error";
import { defaultTimeout, type Link, noTimes, openLink, openOffered, webSocket } from "./link";
import { type Links } from "./options";
import { type SignalingAnswer } from "./signaling";

export const headStart = 500; // ms of WebRTC from its request on, or headTrips times the time of the request if that is more
export const headTrips = 3;
export const fallenFor = 3_600_000; // ms for which a page remembers that WebRTC did not open first
// ms on a worse link until WebRTC is tried again; then twice as long, and so on. A link over UDP that lasts no longer than
// this is left out of the next race, and the pause stays.
export const firstSeek = 30_000;
export const longestSeek = 600_000;

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
 * Opens one of links: WebRTC, or another one if WebRTC has failed, is not there, or is not open after its head start,
 * which it has if calm and if it is the first of links. The first that opens wins; second gets those that open later.
 * exchange sends an offer, or "" to ask for links that need none; host is the server, for fallen. signal ends the race,
 * and rival the attempt to open WebRTC, which goes on when another link has won: rival aborts when signal does. Throws a
 * ConnectError, or the reason of a signal.
 */
export async function race(
  links: Links,
  calm: boolean,
  host: string,
  exchange: (offer: string, signal: AbortSignal) => Promise<SignalingAnswer>,
  second: (link: Link) => void,
  signal: AbortSignal,
  rival: AbortSignal,
  timeout = defaultTimeout,
): Promise<Link> {
  const times = noTimes();
  const answered = deferred<void>();
  const settled = new AbortController(); // WebRTC is open or has failed
  const either = AbortSignal.any([signal, AbortSignal.timeout(Math.min(timeout, 1e9))]);
  let answer = undefined as SignalingAnswer | undefined;
  let link = undefined as Link | undefined; // WebRTC, when it is open
  let failure = undefined as Partial<ConnectError> | undefined; // why it is not
  const ask = async (offer: string, until: AbortSignal): Promise<RTCSessionDescriptionInit | undefined> => {
    const t = now();
    answer = await exchange(offer, until);
    times.http = now() - t;
    answered.resolve();
    return answer.sdp;
  };
  signal.throwIfAborted();
  const rtc = links.includes("webrtc")
    ? openLink({ exchange: ask, timeout, signal: rival }, times)
    : (async (): Promise<Link> => {
        throw new ConnectError("link", "no link opens");
      })();
  const tried = rtc
    .then(
      (opened) => (link = opened),
      (e) => (failure = e),
    )
    .then(() => settled.abort());
  await Promise.race([tried, answered.promise]);
  const others = links.flatMap((l) => (l === "webrtc" ? [] : l === "websocket" ? webSocket : l));
  if (failure?.code === "link" && !answer && others[0]) {
    try {
      await ask("", either);
    } catch (cause) {
      signal.throwIfAborted();
      if ((cause as Partial<ConnectError>).code === "request") return rtc; // the server has no other link
      if (!either.aborted) throw cause;
      throw new ConnectError("timeout", `no answer in ${timeout} ms`, { cause, retryAfter: 0 });
    }
  }
  const offered = others.flatMap((type) => {
    const offer = answer?.links.find((l) => l.type === type.name);
    return offer ? () => openOffered(type, offer, { ...times, ice: 0 }, AbortSignal.any([either])) : [];
  });
  if (!offered[0]) return rtc;
  if (calm && links[0] === "webrtc" && !fallen(host)) {
    const head = Math.max(headStart, headTrips * times.http);
    await sleep(head - times.http, settled.signal);
    if (times.ice) await sleep(head, settled.signal); // UDP arrives, so WebRTC only needs longer
  }
  if (link || either.aborted) return rtc;
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

/**
 * Returns the first link that opens: own, or that of rest, which begins when own has failed or is not open after head ms.
 * second gets one that opens later. Throws what rest throws.
 */
export async function before(
  own: Promise<Link>,
  head: number,
  rest: (signal: AbortSignal) => Promise<Link>,
  second: (link: Link) => void,
): Promise<Link> {
  const settled = new AbortController();
  const won = new AbortController();
  const tried = own.then(
    () => won.abort(),
    () => {},
  );
  void tried.then(() => settled.abort());
  await sleep(head, settled.signal);
  if (won.signal.aborted) return own;
  const asked = rest(won.signal);
  const link = await Promise.race([own.catch(() => asked), asked]);
  for (const one of [own, asked])
    one.then(
      (late) => late === link || second(late),
      () => {},
    );
  return link;
}
