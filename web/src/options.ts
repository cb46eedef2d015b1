import { type Bytes } from "./bytes";
import { ConnectError, words } from "./error";
import { type OpenedName } from "./event";
import { type Channel } from "./table";

/** The kinds of links to a server: WebRTC, which is UDP, and WebSocket, which is TCP. */
export type LinkName = "webrtc" | "websocket";

export const allLinks: readonly LinkName[] = ["webrtc", "websocket"];

/** The options of connect. Only channels is required. */
export interface ConnectOptions<C extends readonly Channel[]> {
  /** The table of channels, the same as the server's. */
  channels: C;
  /**
   * The credentials of the player, or a function that fetches them. A token that can be used only once must be a
   * function: an attempt that failed or was aborted has used the string. If the function throws a ConnectError, that is
   * the error; sessions tries again after any other error.
   */
  token?: string | (() => string | Promise<string>);
  /** The version of the program, which the server may require (its Config.Version). */
  app?: string;
  /** Bytes for the server's program, which its Conn.Hello returns: at most 1024. */
  hello?: Bytes;
  /** Aborts connecting, or closes the session. */
  signal?: AbortSignal;
  /** Time limit of one attempt to connect, in ms: 15 s unless set. */
  timeout?: number;
  /** Options of the signaling request, such as credentials or headers. */
  request?: RequestInit;
  /** Highest rate of sending, in bytes per second: at least 1150, or negative for no limit. 256 KiB unless set. */
  ceiling?: number;
  /**
   * The links that may be used, in order of preference: ["webrtc", "websocket"] unless set. A WebSocket is opened only
   * where WebRTC does not open, and if the server offers it.
   */
  links?: readonly LinkName[];
}

/** SendOptions are the options of one message. */
export interface SendOptions {
  /** Time in ms after which the message is not sent any more. */
  deadline?: number;
  /**
   * What the message is about. The message replaces a queued message of the channel with the same key of which nothing
   * was sent yet. Neither 0 nor "".
   */
  key?: number | string;
  /** Makes send return a promise of the fate of the message. */
  receipt?: boolean;
}

/** Names of the channels on which a page may send, and of those on which it may receive. */
export type Sendable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-client" }>["name"] | OpenedName;
export type Hearable<C extends readonly Channel[]> = Exclude<C[number], { direction: "to-server" }>["name"] | OpenedName;

/** What a function for requests returns. */
export type Answer = Bytes | void | undefined;
/** A function of the program for the messages of a channel. */
export type Heard = (b: Uint8Array) => void;
/** A function of the program for requests of the server. */
export type Served = (b: Uint8Array) => Answer | Promise<Answer>;

/** Calls the option token. */
export async function fetched(token: () => string | Promise<string>): Promise<string> {
  try {
    return await token();
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError("token", `the option token has thrown: ${words(cause)}`, { cause, retryAfter: 0 });
  }
}
