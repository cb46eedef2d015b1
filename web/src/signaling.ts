import { firstDifference, hash, tableText, type FullChannel } from "./channel";
import { ConnectError } from "./errors";

const version = 1; // of docs/SESSION.md

/** Makes the URL of level two's signaling: everything by which a client can be refused stands in it but its secrets. */
export function signalingURL(url: string | URL, table: readonly FullChannel[], app: string): URL {
  const u = absolute(url);
  const ask = { v: `${version}`, channels: hash(tableText(table)), kind: "browser", ...(app && { app }) };
  for (const [k, v] of Object.entries(ask)) u.searchParams.set(k, v);
  return u;
}

export const absolute = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/**
 * Sends an offer and returns the answer. authorization is the header. Throws a ConnectError, or the signal's reason.
 */
export async function exchange(
  url: URL,
  offer: string,
  authorization: string | undefined,
  init: RequestInit | undefined,
  table: readonly FullChannel[],
  signal: AbortSignal,
): Promise<RTCSessionDescriptionInit> {
  const headers = new Headers(init?.headers);
  if (authorization) headers.set("Authorization", authorization);
  let response: Response;
  let body: Record<string, unknown>;
  try {
    response = await fetch(url, { ...init, method: "POST", body: offer, headers, signal });
    body = await json(response);
  } catch (e) {
    signal.throwIfAborted();
    throw new ConnectError("network", `no answer from ${url.origin}, or none that this page may read: see Config.RTC.Origins`, { cause: e, retryAfter: 0 });
  }
  if (!response.ok) throw refusal(response, body, table);
  return body["answer"] as RTCSessionDescriptionInit; // in quotes: its name is the server's, and stays
}

async function json(r: Response): Promise<Record<string, unknown>> {
  const text = await r.text();
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    return {}; // Not ours: a proxy's page. Its status counts.
  }
}

const statusCodes: Record<number, string> = { 401: "token", 403: "forbidden", 410: "resume", 429: "rate", 503: "full" };

function refusal(r: Response, details: Record<string, unknown>, table: readonly FullChannel[]): ConnectError {
  const { status } = r;
  const code = `${details.code ?? statusCodes[status] ?? "request"}`;
  let message = `${details.error ?? `status ${status}, not of a godwit server`}`;
  if (code === "channels" && details.channels) message += `: ${firstDifference(tableText(table), `${details.channels}`)}`;
  const again = status === 429 || status >= 500;
  const retryAfter = again ? 1000 * Number(r.headers.get("Retry-After")) || 0 : undefined;
  return new ConnectError(code, message, { status, details, retryAfter });
}
