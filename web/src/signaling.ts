import { text } from "./bytes";
import { longestBackoff } from "./deferred";
import { ConnectError } from "./error";
import { type LinkOffer } from "./options";
import { type FullChannel, firstDifference, tableText } from "./table";

export const protocolVersion = 1; // version of docs/SESSION.md

/** What the server has answered to an offer. */
export interface SignalingAnswer {
  /** Undefined if the server has no WebRTC. */
  sdp: RTCSessionDescriptionInit | undefined;
  /** The other links that the server offers. */
  links: LinkOffer[];
}

/** Returns everything for which the server can refuse a client, except secrets, as the query of a URL. */
export const queryOf = (channels: string, app: string): URLSearchParams =>
  new URLSearchParams(
    [
      ["v", `${protocolVersion}`],
      ["channels", channels],
      ["kind", "browser"],
      ["app", app],
    ].filter(([, v]) => v),
  ); // these names are on the wire

/** Returns the URL of the signaling. */
export function signalingURL(url: string | URL, query: URLSearchParams): URL {
  const u = absolute(url);
  query.forEach((v, k) => u.searchParams.set(k, v));
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
): Promise<SignalingAnswer> {
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
    if (status > 399 && isRefusal(body)) throw refusal(status, body, table, (most) => later(response, most));
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
  const body = await r.text();
  try {
    return Object(JSON.parse(body)) as Record<string, unknown>;
  } catch {
    return {}; // not the answer of a godwit server, but for example a page of a proxy
  }
}

const isRefusal = (body: Record<string, unknown>): boolean => said(body["code"]) && said(body["error"]);

/** Returns the refusal that a server has sent over a link, or undefined if it is none. */
export function refused(b: Uint8Array, table: readonly FullChannel[]): ConnectError | undefined {
  try {
    const body = JSON.parse(text(b)) as Record<string, unknown>;
    return isRefusal(body) ? refusal(Number(body["status"]), body, table) : undefined;
  } catch {
    return;
  }
}

function refusal(
  status: number,
  details: Record<string, unknown>,
  table: readonly FullChannel[],
  wait = (_: number): number => 0,
): ConnectError {
  const code = `${details["code"]}`;
  const reason = details["reason"];
  const theirs = details["channels"];
  let message = `${details["error"]}`;
  if (code === "channels" && theirs) message += `: ${firstDifference(tableText(table), `${theirs}`)}`;
  if (reason === "replayed") message += ": make the option token a function";
  // Another server may know a session that this server does not know.
  const again = status === 429 || status >= 500 || (code === "resume" && reason === "unknown");
  const retryAfter = again ? wait(60_000) : undefined;
  return new ConnectError(code, message, { status, details, retryAfter });
}
