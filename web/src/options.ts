import { type Bytes } from "./bytes";
import { type Seat } from "./direct";
import { ConnectError, words } from "./error";
import { type OpenedName } from "./event";
import { type Channel } from "./table";

/** The kinds of links to a server: WebRTC and WebTransport, which are UDP, and WebSocket, which is TCP. */
export type LinkName = "webrtc" | "webtransport" | "websocket";

/** What the server says of a link in its answer. */
export interface LinkOffer {
  type: string;
  /** Where the link is opened. */
  address: string;
  ticket: string;
  /** SHA-256 hashes of certificates, in base64. */
  hashes?: string[];
}

/** LinkPipe has the part of RTCDataChannel that carries datagrams. Its events are functions that the client sets. */
export type LinkPipe = Pick<
  RTCDataChannel,
  "bufferedAmount" | "bufferedAmountLowThreshold" | "send" | "onopen" | "onmessage" | "onbufferedamountlow" | "onclose"
> & {
  /** "open" while it is open. */
  readyState: string;
  close(code?: number): void;
};

/** LinkType is a kind of link that a page brings, such as webtransport of godwit.webtransport.min.js. */
export interface LinkType {
  name: LinkName;
  /** Whether it delivers every datagram, once and in order. */
  lossless: boolean;
  /** Opens a link that the server has offered. */
  dial(offer: LinkOffer): LinkPipe;
}

/** The entries of the option links. */
export type Links = readonly ("webrtc" | "websocket" | LinkType)[];

export const allLinks: Links = ["webrtc", "websocket"];

/** Returns the place of a link in the order of preference, or -1 if it is not wanted. */
export const rank = (links: Links, name: LinkName): number =>
  links.findIndex((l) => (typeof l === "string" ? l : l.name) === name);

/** Returns whether an entry of the option links is a link over TCP. */
export const lossless = (l: Links[number]): boolean | undefined => l === "websocket" || (l as Partial<LinkType>).lossless;

/** Throws a ConnectError if links is not a list of links. */
export function checkLinks(links: Links): void {
  for (const l of Array.isArray(links) ? links : [[links]])
    if (!allLinks.includes(l) && !Object(l).dial) throw new ConnectError("option", `links has ${l}: only ${allLinks}`);
}

/** The options of connect. Only channels is required. */
export interface ConnectOptions<C extends readonly Channel[]> {
  /** The table of channels, the same as the server's. */
  channels: C;
  /** What requests and hello are, as godwit-gen writes it; the same as the server's. */
  schema?: string;
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
  /**
   * Is asked every second while the session is interrupted whether its server is gone for good, for example at the
   * front of a fleet. With sessions it gets the seat of the session, if that has one. If so the session ends at once, with the code Timeout, and not only
   * after the grace time of the server. An error means that it does not know.
   */
  gone?: (seat?: Seat) => boolean | Promise<boolean>;
  /** Options of the signaling request, such as credentials or headers. */
  request?: RequestInit;
  /** Highest rate of sending, in bytes per second: at least 1150, or negative for no limit. 256 KiB unless set. */
  ceiling?: number;
  /**
   * The links that may be used, in order of preference: ["webrtc", "websocket"] unless set. A WebSocket is opened only
   * where WebRTC does not open, or is not the first of the list, and if the server offers it. For WebTransport, put webtransport of
   * godwit.webtransport.min.js between the two.
   */
  links?: Links;
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

/** Calls a function of the program: the option token, or that for invites. */
export async function fetched<T>(f: () => T | Promise<T>, code = "token", name = "option token"): Promise<T> {
  try {
    return await f();
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError(code, `the ${name} has thrown: ${words(cause)}`, { cause, retryAfter: 0 });
  }
}
