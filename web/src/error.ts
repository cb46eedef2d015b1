/**
 * GodwitError is the class of all errors of this module. A program tests its code; its message is for people; its cause
 * is the error below, if there is one.
 */
export class GodwitError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, cause?: unknown) {
    super(`godwit: ${message}`, cause ? { cause } : {});
    this.code = code;
  }
}

/**
 * What is wrong with a message of send. Nothing was queued.
 *
 * - type: the message is not bytes
 * - channel: there is no such channel, or it is being closed
 * - direction: only the server may send on the channel
 * - size: the message is larger than the channel's maxMessage
 * - budget: the queue of the reliable channel is full: send again after the event room; or too many requests wait
 * - deadline: the deadline has passed
 * - interrupted: the link is silent, and an unreliable message would be old when it is back
 * - fixed: the server does not let this client open channels, or the channel cannot be closed
 * - closed: the session has ended
 */
export type SendErrorCode =
  | "type"
  | "channel"
  | "direction"
  | "size"
  | "budget"
  | "deadline"
  | "interrupted"
  | "fixed"
  | "closed";

/** SendError is thrown by send, openChannel and closeChannel. request rejects with it if nothing was sent. */
export class SendError extends GodwitError<SendErrorCode> {
  override name = "SendError";
}

/**
 * Why there is no connection:
 *
 * - network: no HTTP answer
 * - foreign: the HTTP answer is not that of a godwit server
 * - timeout: no UDP packet of the server
 * - link: WebRTC failed
 * - table: the option channels is not a table
 * - option: an option has a value that it cannot have
 * - closed: the session ended before it was open
 * - invite: the invite is malformed, of another version, or used; or the page cannot use one
 * - token: with status 0, there was no usable token
 *
 * These and the others are the codes of refusals in docs/SESSION.md; a server may have more.
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
  | "invite"
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
  /** All fields of the refusal: versions, the reason why a token was refused, the table of the server. */
  readonly details: Readonly<Record<string, unknown>>;
  /** Time in ms after which to try again, at most 60,000; undefined if trying again has no use. */
  readonly retryAfter: number | undefined;

  constructor(code: ConnectErrorCode, message: string, { status = 0, details = {}, retryAfter, cause }: ConnectErrorMore = {}) {
    super(code, message, cause);
    this.status = status;
    this.details = details;
    this.retryAfter = retryAfter;
  }
}

/** Throws a ConnectError if an option of the program is less than least or not a number. */
export function option(name: string, v: number, least: number): void {
  if (!(v >= least)) throw new ConnectError("option", `${name} is ${v}: at least ${least}`);
}

/** Returns the text of something that was thrown. */
export function words(e: unknown): string {
  try {
    return `${e instanceof Error ? e.message : e}`;
  } catch {
    return "no reason"; // not everything that can be thrown has a text
  }
}

interface ConnectErrorMore {
  status?: number;
  details?: Record<string, unknown>;
  retryAfter?: number | undefined;
  cause?: unknown;
}

/**
 * Why a request has no reply:
 *
 * - rejected: the server rejected it; the message is "godwit: " and the text of the server
 * - send-failed: the session ended before any of it was sent
 * - response-lost: the session ended after it was sent: the server may have acted on it
 */
export type RequestErrorCode = "rejected" | "send-failed" | "response-lost";

/**
 * The status of a request:
 *
 * - sending: the server has not acknowledged it yet
 * - waiting: the server has it and has not answered
 * - responded, acknowledged: the server has answered, with bytes or without
 *
 * The others are those of RequestErrorCode.
 */
export type Status = "sending" | "waiting" | "responded" | "acknowledged" | RequestErrorCode;

/** RequestError is the error with which the promise of a request rejects. */
export class RequestError extends GodwitError<RequestErrorCode> {
  override name = "RequestError";
}
