import { longestBackoff } from "./deferred";
import { ConnectError } from "./error";
import { type LinkOffer } from "./options";
import { type FullChannel, firstDifference, hash, tableText } from "./table";

export const protocolVersion = 1; // version of docs/SESSION.md

/** What the server has answered to an offer. */
export interface Answer {
  /** Undefined if the server has no WebRTC. */
  sdp: RTCSessionDescriptionInit | undefined;
  /** The other links that the server offers. */
  links: LinkOffer[];
}

/** Returns the URL of the signaling. It has everything for which the server can refuse a client, except secrets. */
export function signalingURL(url: string | URL, table: readonly FullChannel[], app: string): URL {
  const u = absolute(url);
  const ask = [
    ["v", `${protocolVersion}`],
    ["channels", hash(tableText(table))],
    ["kind", "browser"],
    ["app", app],
  ] as const; // these names are on the wire
  for (const [k, v] of ask) if (v) u.searchParams.set(k, v);
  return u;
}

export const absolute = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/** Returns the links that an answer from base offers, docs/SESSION.md section 10. */
const offers = (links: LinkOffer[], base: string): LinkOffer[] =>
  links
    .map(Object)
    .filter((l) => said(l.ticket))
    .map((l) => ({
      ...l,
      // Throws if url is none: then only this link does not open.
      get address() {
        const own = said(l["url"]);
        const u = new URL(own ? l["url"] : base, base);
        if (!own) for (const name of ["v", "channels", "kind", "app"]) u.searchParams.delete(name);
        return `${u}`;
      },
    }));

/**
 * Sends an offer and returns the answer. With "" as the offer it asks for links that need none. authorization are
 * the credentials. They go into the header Authorization, or into Godwit-Authorization if the first is in use: by a header of the program, or by a gate before the server, which
 * answers 401 to credentials that it does not know. Browsers would send the second header to another host after a
 * redirect, so no redirect is followed with it. Throws a ConnectError, or the reason of the signal.
 */
export async function exchange(
  url: URL,
  offer: string,
  authorization: string | undefined,
  init: RequestInit | undefined,
  table: readonly FullChannel[],
  signal: AbortSignal,
): Promise<Answer> {
  const headers = new Headers(init?.headers);
  if (!offer) headers.set("Content-Type", "application/json");
  const gated = headers.has(own);
  for (let name = gated ? ours : own; ; name = ours) {
    headers.delete(gated ? ours : own);
    try {
      if (authorization) headers.set(name, authorization);
    } catch (cause) {
      throw new ConnectError("token", "the token has a character that HTTP headers cannot have: trim() it", { cause });
    }
    let response: Response;
    let body: Record<string, unknown>;
    try {
      response = await fetch(url, {
        ...init,
        method: "POST",
        body: offer,
        headers,
        signal,
        ...(headers.has(ours) && { redirect: "manual" }),
      });
      body = await json(response);
    } catch (e) {
      signal.throwIfAborted();
      throw new ConnectError("network", `no answer from ${url.origin} that this page may read: see Config.RTC.Origins`, {
        cause: e,
        retryAfter: 0,
      });
    }
    // These names are in quotes, so that the bundle keeps them: the server has chosen them.
    const answer = body["answer"] as RTCSessionDescriptionInit | undefined;
    const links = Array.isArray(body["links"]) && offers(body["links"], response.url || url.href);
    const sdp = answer?.sdp ? answer : undefined;
    if (response.ok && (sdp || links)) return { sdp, links: links || [] };
    const { status } = response; // 0 for a redirect that was not followed
    if (status > 399 && said(body["code"]) && said(body["error"])) throw refusal(response, body, table);
    if (status === 401 && authorization && name === own) continue;
    const message = `${url.origin}${url.pathname} answered with ${status ? `status ${status}` : "a redirect"}, not as a godwit server: check the path, and what stands before the server`;
    throw new ConnectError("foreign", message, { status, retryAfter: later(response, longestBackoff) });
  }
}

const own = "Authorization";
const ours = "Godwit-Authorization";
const said = (v: unknown): boolean => !!v && typeof v === "string";

/** Returns the time of Retry-After in ms, at most most. Only seconds are understood, not a date. */
const later = (r: Response, most: number): number =>
  Math.min(1000 * Number(/^\d+$/.exec(`${r.headers.get("Retry-After")}`)), most);

async function json(r: Response): Promise<Record<string, unknown>> {
  const text = await r.text();
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {}; // not the answer of a godwit server, but for example a page of a proxy
  }
}

function refusal(r: Response, details: Record<string, unknown>, table: readonly FullChannel[]): ConnectError {
  const { status } = r;
  const code = `${details["code"]}`;
  const reason = details["reason"];
  const theirs = details["channels"];
  let message = `${details["error"]}`;
  if (code === "channels" && theirs) message += `: ${firstDifference(tableText(table), `${theirs}`)}`;
  if (reason === "replayed") message += ": make the option token a function";
  // Another server may know a session that this server does not know.
  const again = status === 429 || status >= 500 || (code === "resume" && reason === "unknown");
  const retryAfter = again ? later(r, 60_000) : undefined;
  return new ConnectError(code, message, { status, details, retryAfter });
}
