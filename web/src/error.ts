/**
 * GodwitError is every error of this module. Its code says what to do about it, its message says it to people, its
 * cause is the error below, if there is one.
 */
export class GodwitError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, cause?: unknown) {
    super(`godwit: ${message}`, cause ? { cause } : {});
    this.code = code;
  }
}

/**
 * What can be wrong with a message given to send. Nothing was queued.
 *
 * - type: not bytes
 * - channel: the table has no such channel
 * - direction: the table lets only the server send on it
 * - size: larger than the channel's maxMessage
 * - budget: the reliable queue is full: send again after receipts
 * - deadline: has passed already
 * - interrupted: the link is silent and the message would be stale when it is back
 * - closed: the session has ended
 */
export type SendErrorCode = "type" | "channel" | "direction" | "size" | "budget" | "deadline" | "interrupted" | "closed";

/** SendError is thrown by send, and is what request rejects with if nothing was sent. */
export class SendError extends GodwitError<SendErrorCode> {
  override name = "SendError";
}

/**
 * Why there is no connection. Beside "network" (no HTTP answer), "foreign" (an HTTP answer that is not a godwit
 * server's), "timeout" (no UDP answer), "link" (WebRTC failed), "table" (channels is not a table) and "closed" (the
 * session ended before it was open), "option" (an option has a value that it cannot have) these are the codes of refusals in docs/SESSION.md; a server may have more. "token"
 * with status 0: there was no usable token.
 */
export type ConnectErrorCode =
  | "network"
  | "foreign"
  | "timeout"
  | "link"
  | "table"
  | "closed"
  | "option"
  | "request"
  | "protocol"
  | "app"
  | "channels"
  | "token"
  | "forbidden"
  | "origin"
  | "identity"
  | "resume"
  | "rate"
  | "full"
  | "shutdown"
  | (string & {});

/** ConnectError says why there is no connection. */
export class ConnectError extends GodwitError<ConnectErrorCode> {
  override name = "ConnectError";
  /** The HTTP status of a refusal; 0 if it is not one. */
  readonly status: number;
  /** Everything the server said: versions, the reason a token was refused for, its table. */
  readonly details: Readonly<Record<string, unknown>>;
  /** Milliseconds after which to try again, at most 60,000; undefined if trying again is of no use. */
  readonly retryAfter: number | undefined;

  constructor(code: ConnectErrorCode, message: string, { status = 0, details = {}, retryAfter, cause }: ConnectErrorMore = {}) {
    super(code, message, cause);
    this.status = status;
    this.details = details;
    this.retryAfter = retryAfter;
  }
}

/** Refuses an option of the program that is less than it may be, or no number. */
export function option(name: string, v: number, least: number): void {
  if (!(v >= least)) throw new ConnectError("option", `${name} is ${v}: at least ${least}`);
}

/** What was thrown, in words. */
export function words(e: unknown): string {
  try {
    return `${e instanceof Error ? e.message : e}`;
  } catch {
    return "no reason"; // not all that can be thrown has a text
  }
}

interface ConnectErrorMore {
  status?: number;
  details?: Record<string, unknown>;
  retryAfter?: number | undefined;
  cause?: unknown;
}

/**
 * What became of a request that has no reply.
 *
 * - rejected: the server said no; the message is "godwit: " and its text
 * - send-failed: the session ended before a byte of it was sent
 * - response-lost: the session ended after it was sent: the server may have acted on it
 */
export type RequestErrorCode = "rejected" | "send-failed" | "response-lost";

/**
 * How far a request has got.
 *
 * - sending: the server has not acknowledged it yet
 * - waiting: the server has it and has not answered
 * - responded, acknowledged: the server has answered, with bytes or without
 *
 * The others are those of RequestErrorCode.
 */
export type Status = "sending" | "waiting" | "responded" | "acknowledged" | RequestErrorCode;

/** RequestError is what the promise of a request rejects with. */
export class RequestError extends GodwitError<RequestErrorCode> {
  override name = "RequestError";
}
