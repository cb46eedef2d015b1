import { firstDifference, hash, tableText, type FullChannel } from "./channel";
import { ConnectError } from "./errors";

const version = 1; // of docs/SESSION.md

/** What a request for a link asks with. */
export interface Credentials {
  scheme: "Bearer" | "Godwit-Resume";
  token: string;
}

/** Makes the URL of level two's signaling: everything by which a client can be refused stands in it but its secrets. */
export function signalingURL(url: string | URL, table: readonly FullChannel[], app: string): URL {
  const u = absolute(url);
  u.searchParams.set("v", String(version));
  u.searchParams.set("channels", hash(tableText(table)));
  u.searchParams.set("kind", "browser");
  if (app) u.searchParams.set("app", app);
  return u;
}

export const absolute = (url: string | URL): URL => new URL(url, globalThis.location?.href);

/** Sends an offer and returns the answer. Throws a ConnectError, or the signal's reason. */
export async function exchange(
  url: URL,
  offer: string,
  credentials: Credentials | null,
  init: RequestInit,
  table: readonly FullChannel[],
  signal: AbortSignal,
): Promise<RTCSessionDescriptionInit> {
  const headers = new Headers(init.headers);
  if (credentials) headers.set("Authorization", `${credentials.scheme} ${credentials.token}`);
  let response: Response;
  let body: Record<string, unknown>;
  try {
    response = await fetch(url, { ...init, method: "POST", body: offer, headers, signal });
    body = await json(response);
  } catch (e) {
    signal.throwIfAborted();
    throw new ConnectError("network", `no answer from ${url.origin}`, { cause: e, retryAfter: 0 });
  }
  if (!response.ok) throw refusal(response, body, table);
  return body.answer as RTCSessionDescriptionInit;
}

async function json(r: Response): Promise<Record<string, unknown>> {
  const text = await r.text();
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body === "object" && body) return body as Record<string, unknown>;
  } catch {
    // Not ours: a proxy's page. Its status counts.
  }
  return {};
}

const statusCodes: Record<number, string> = { 401: "token", 403: "forbidden", 410: "resume", 429: "rate", 503: "full" };

function refusal(r: Response, body: Record<string, unknown>, table: readonly FullChannel[]): ConnectError {
  const code = typeof body.code === "string" ? body.code : (statusCodes[r.status] ?? "request");
  let message = typeof body.error === "string" ? body.error : `the server answered ${r.status}`;
  if (code === "channels" && typeof body.channels === "string") {
    message += `: ${firstDifference(tableText(table), body.channels)}`;
  }
  const more: { status: number; details: Record<string, unknown>; retryAfter?: number } = {
    status: r.status,
    details: body,
  };
  if (r.status === 429 || r.status >= 500) more.retryAfter = 1000 * (Number(r.headers.get("Retry-After")) || 0);
  return new ConnectError(code, message, more);
}
