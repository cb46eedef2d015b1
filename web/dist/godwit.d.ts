// Made by build.mjs from src/.

/** What messages are made of. */
export type Bytes = ArrayBufferView | ArrayBuffer;

/**
 * The codes with which a session ends, docs/SESSION.md section 5. Codes from Program to 65535 are the program's own.
 */
export declare const CloseCode: {
    /** The program, or the player, has finished. */
    readonly Normal: 0;
    /** The server's program has put this client out. */
    readonly Kicked: 1;
    /** The server shuts down. Another one may serve: connect again. */
    readonly Shutdown: 2;
    /** The other end broke the protocol; the reason says how. */
    readonly ProtocolError: 3;
    /** The credentials have expired, or the server's program says that they are not valid any more. */
    readonly Auth: 4;
    /** The same identity has connected once more. */
    readonly Replaced: 5;
    /** Nothing arrived for the whole grace time, or large packets do not arrive. */
    readonly Timeout: 6;
    /** The same identity is connected already. */
    readonly Duplicate: 7;
    /** This client sent too many messages per second. */
    readonly LimitMessages: 16;
    /** This client sent too many bytes per second. */
    readonly LimitBytes: 17;
    /** This client sent a message larger than its channel allows. */
    readonly LimitSize: 18;
    /** Too much was sent before the session was open. */
    readonly LimitEarly: 19;
    /** So many requests arrived that there was no room to queue their rejections. */
    readonly LimitRequests: 20;
    /** The first code of the program's own. */
    readonly Program: 256;
};

export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/** How to connect. All but channels may be left out. */
export interface ConnectOptions<C extends readonly Channel[]> {
    /** The table of channels, the same as the server's. */
    channels: C;
    /**
     * What the server knows the player by, or what fetches it afresh. A token that is good once must be a function: a
     * string cannot be used again after an attempt that failed or was aborted. If the function throws a ConnectError, that
     * is the reason; anything else is taken for a failure that passes, which sessions tries again.
     */
    token?: string | (() => string | Promise<string>);
    /** The program's own version, which the server may insist on. */
    app?: string;
    /** Goes to the server's program with the opening: at most 1024 bytes. */
    hello?: Bytes;
    /** Gives up connecting, or closes the session. */
    signal?: AbortSignal;
    /** For one attempt to connect, in ms. 15 s unless set. */
    timeout?: number;
    /** More for the signaling request, such as credentials or headers. */
    request?: RequestInit;
    /** Bytes per second that are sent at most: 1150 at least, or negative for no limit. 256 KiB unless set. */
    ceiling?: number;
}

export type Hearable<C extends readonly Channel[]> = Exclude<C[number], {
    direction: "to-server";
}>["name"] | OpenedName;

/** Names of the channels that a page may send on, and that it may hear. */
export type Sendable<C extends readonly Channel[]> = Exclude<C[number], {
    direction: "to-client";
}>["name"] | OpenedName;

/** What one message asks for. */
export interface SendOptions {
    /** Milliseconds after which the message is useless and not sent any more. */
    deadline?: number;
    /** What the message is about: it takes the place of a queued one with the same key. Neither 0 nor "". */
    key?: number | string;
    /** Makes send return a promise of what becomes of the message. */
    receipt?: boolean;
}

/**
 * Conn is one session with a server. It outlives its link: when the link falls silent it looks for a new one by
 * itself, and reliable channels go on where they were.
 *
 * Handlers get a view of the bytes that came, which stays valid. One that throws does not disturb the others: the error
 * is reported as uncaught.
 */
export declare class Conn<const C extends readonly Channel[] = readonly Channel[]> extends EventTarget {
    /** Resolves when the session is open, or rejects with a ConnectError. */
    readonly opened: Promise<void>;
    /** Resolves when the session has ended. */
    readonly closed: Promise<CloseReason>;
    /** Whether the session is one that another Conn has begun. */
    continued: boolean;
    /** How long the phases of connecting took. */
    readonly times: ConnectTimes;
    /** The channels that the server has opened at run time. */
    readonly channels: readonly OpenedChannel[];
    /** Begins to connect. Use connect, unless something is to be sent before the session is open: then await opened. */
    constructor(url: string | URL, options: ConnectOptions<C>);
    /** The server's number for the session: 16 hexadecimal digits, as in the server's log; "" until it is open. */
    get id(): string;
    get state(): "connecting" | "open" | "interrupted" | "closed";
    /** Queues a copy of b. Throws a SendError if it cannot be sent. Messages of one task share packets. */
    send(channel: Sendable<C>, b: Bytes, options: SendOptions & {
        receipt: true;
    }): Promise<Fate>;
    send(channel: Sendable<C>, b: Bytes, options?: SendOptions): void;
    /**
     * Calls f with each message of a channel, and first with those that came when nobody listened yet: up to its
     * queueLimit, and what came beyond that is lost. The function it returns ends that. Throws for a channel that is
     * to-server.
     */
    on(channel: Hearable<C>, f: Heard): () => void;
    /**
     * The messages of a channel one after the other, until the session ends. Who takes them too slowly loses the oldest
     * on unreliable channels, and on others gets an error.
     */
    messages(channel: Hearable<C>): AsyncGenerator<Uint8Array, void, void>;
    /**
     * Asks the server. Resolves with its reply, or with undefined if it has none. Rejects with a RequestError, with a
     * SendError if nothing was sent, or with the signal's reason: the answer is of no interest then.
     */
    request(name: string, b?: Bytes, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Uint8Array | undefined>;
    /** Answers requests of the server called name with what f returns; what it throws refuses them. The last f counts. */
    handle(name: string, f: Served): void;
    /**
     * Ends the session. What was sent reliably is delivered first, for drain ms at most, 10 s unless given, and no longer
     * than the server is heard; close comes after that. Codes of the program's own are from 256 to 65535.
     */
    close(code?: number, reason?: string, drain?: number): Promise<CloseReason>;
    stats(): Stats;
    channelStats(channel: C[number]["name"] | OpenedName): ChannelStats;
}

/** The events of a Conn, typed. */
export interface Conn<C extends readonly Channel[]> {
    addEventListener<K extends keyof ConnEventMap>(type: K, listener: (event: ConnEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof ConnEventMap>(type: K, listener: (event: ConnEventMap[K]) => void, options?: boolean | EventListenerOptions): void;
}

/**
 * Connects to a godwit server: url is where it answers offers. Rejects with a ConnectError, or with the signal's
 * reason.
 */
export declare function connect<const C extends readonly Channel[]>(url: string | URL, options: ConnectOptions<C>): Promise<Conn<C>>;

/**
 * One session after the other: when the server has shut down, is not heard for the grace time or no longer knows the last
 * one, the next is tried for, at growing intervals, until the server is there: also while the option token throws, and while
 * something other than a godwit server answers. Ends when a session ends otherwise, such
 * as by the signal. Throws if there is no way to the first, when the server refuses a new one for good, and when the
 * signal ends the wait for one. With keep in place of connect sessions go on when the page is loaded again, too.
 */
export declare function sessions<const C extends readonly Channel[]>(url: string | URL, options: ConnectOptions<C>, via?: (url: string | URL, options: ConnectOptions<C>) => Promise<Conn<C>>): AsyncGenerator<Conn<C>, void, void>;

/**
 * Why there is no connection. Beside "network" (no HTTP answer), "foreign" (an HTTP answer that is not a godwit
 * server's), "timeout" (no UDP answer), "link" (WebRTC failed), "table" (channels is not a table) and "closed" (the
 * session ended before it was open), "option" (an option has a value that it cannot have) these are the codes of refusals in docs/SESSION.md; a server may have more. "token"
 * with status 0: there was no usable token.
 */
export type ConnectErrorCode = "network" | "foreign" | "timeout" | "link" | "table" | "closed" | "option" | "request" | "protocol" | "app" | "channels" | "token" | "forbidden" | "origin" | "identity" | "resume" | "rate" | "full" | "shutdown" | (string & {});

/**
 * What became of a request that has no reply.
 *
 * - rejected: the server said no; the message is "godwit: " and its text
 * - send-failed: the session ended before a byte of it was sent
 * - response-lost: the session ended after it was sent: the server may have acted on it
 */
export type RequestErrorCode = "rejected" | "send-failed" | "response-lost";

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

/** ConnectError says why there is no connection. */
export declare class ConnectError extends GodwitError<ConnectErrorCode> {
    name: string;
    /** The HTTP status of a refusal; 0 if it is not one. */
    readonly status: number;
    /** Everything the server said: versions, the reason a token was refused for, its table. */
    readonly details: Readonly<Record<string, unknown>>;
    /** Milliseconds after which to try again, at most 60,000; undefined if trying again is of no use. */
    readonly retryAfter: number | undefined;
    constructor(code: ConnectErrorCode, message: string, { status, details, retryAfter, cause }?: ConnectErrorMore);
}

/**
 * GodwitError is every error of this module. Its code says what to do about it, its message says it to people, its
 * cause is the error below, if there is one.
 */
export declare class GodwitError<Code extends string = string> extends Error {
    readonly code: Code;
    constructor(code: Code, message: string, cause?: unknown);
}

/** RequestError is what the promise of a request rejects with. */
export declare class RequestError extends GodwitError<RequestErrorCode> {
    name: string;
}

/** SendError is thrown by send, and is what request rejects with if nothing was sent. */
export declare class SendError extends GodwitError<SendErrorCode> {
    name: string;
}

/** What the end of a session is told with. code is one of docs/SESSION.md, section 5. */
export interface CloseReason {
    readonly code: number;
    readonly reason: string;
    /** Whether the server has closed. */
    readonly remote: boolean;
    /** Bytes of reliable messages that the end gave up: ours that were not acknowledged, and the server's, as it says. */
    readonly lostOut: number;
    readonly lostIn: number;
    /** Why there is no way back, if that is why. */
    readonly error?: ConnectError;
}

/** The events of a Conn. */
export interface ConnEventMap {
    /** The server has opened a channel for this session. Those before the first listener are in channels. */
    channel: ChannelEvent;
    /** Nothing was heard for 3 s, or the link is gone. A new link is being tried. */
    interrupted: Event;
    /** The server is heard again. */
    resumed: Event;
    /** The session has ended. */
    close: ConnCloseEvent;
}

/** A channel that the server has opened at run time, with what it has not set. */
export type OpenedChannel = Required<Channel<OpenedName>>;

/** The name of a channel that the server has opened at run time. */
export type OpenedName = string & {
    readonly opened: true;
};

/** ChannelEvent tells of a channel that the server has opened. */
export declare class ChannelEvent extends Event {
    readonly channel: OpenedChannel;
    constructor(channel: OpenedChannel);
}

/** ConnCloseEvent is the last event of a Conn. */
export declare class ConnCloseEvent extends Event {
    readonly why: CloseReason;
    constructor(why: CloseReason);
}

/** How long the phases of connecting took, in ms. */
export interface ConnectTimes {
    /** To make the offer. */
    offer: number;
    /** Until the server's answer was in hand. */
    http: number;
    /** Until a path was found; 0 if the browser did not tell. */
    ice: number;
    /** Until the data channel was open: DTLS and SCTP. */
    transport: number;
    /** Until the session was open: hello and welcome. */
    hello: number;
    total: number;
}

/**
 * What became of a message. "lost" is a guess: it may have arrived and its acknowledgement not. "abandoned" is one that
 * the session ended before: it may have arrived, too.
 */
export type Fate = "delivered" | "lost" | "expired" | "replaced" | "dropped" | "abandoned";

/** RawEventMap are the events of a RawConn. */
export interface RawEventMap {
    message: MessageEvent<Uint8Array | string>;
    close: Event;
}

/** How to connect to level one, a server of datagrams. */
export interface RawOptions {
    /** Of the data channel, which the server sees. "data" unless set. */
    label?: string;
    protocol?: string;
    token?: string;
    signal?: AbortSignal;
    timeout?: number;
    request?: RequestInit;
}

/** Connects to a server of datagrams. Rejects with a ConnectError, or with the signal's reason. */
export declare function connectRaw(url: string | URL, { label, protocol, token, signal, timeout, request }?: RawOptions): Promise<RawConn>;

/** RawConn is a way for datagrams: they may be lost, and overtake each other. Its events are message and close. */
export declare class RawConn extends EventTarget {
    /** How long the phases of connecting took. */
    readonly times: ConnectTimes;
    /** Datagrams that were not sent, because the browser could not keep up or the connection has ended. */
    dropped: number;
    /**
     * Sends one datagram of at most 1160 bytes, or drops it when it would wait: late it would be of no use. Reports whether
     * the browser has taken it. It takes its bytes, rounded up to a multiple of four, and 65 of UDP payload: what is larger than
     * the path takes is lost every time, and nobody is told. Throws a SendError for what is too large, or neither bytes nor a string.
     */
    send(data: Bytes | string): boolean;
    close(): void;
}

/** The events of a RawConn, typed. */
export interface RawConn {
    addEventListener<K extends keyof RawEventMap>(type: K, listener: (event: RawEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof RawEventMap>(type: K, listener: (event: RawEventMap[K]) => void, options?: boolean | EventListenerOptions): void;
}

/** Counters of one channel. */
export interface ChannelStats {
    messagesOut: number;
    messagesIn: number;
    /** Never sent: the deadline passed, the queue was full, a newer one took the place, the session ended. */
    dropped: number;
    /** Came and were older than one delivered. */
    stale: number;
    /** Pieces that came again. */
    duplicates: number;
}

/**
 * Why something that arrived was dropped. The first five drop a packet, the others a frame.
 *
 * - malformed: the packet is malformed, or has another version
 * - duplicate: the packet arrived before, or is older than the last 4096
 * - ack: the packet acknowledges a packet that was never sent
 * - closed: the session was closed before
 * - refused: a frame of the packet was refused, so the packet is not acknowledged
 * - unknown-channel: the table has no such channel
 * - direction: the server may not send on the channel
 * - kind: the kind of the frame does not fit the channel's mode
 * - too-large: the message is larger than maxMessage
 * - mismatch: the fragment contradicts an earlier one
 * - window: the reliable message is too far ahead of the oldest that is missing
 * - budget: queueLimit has no room for the reliable message
 * - evicted: an incomplete unreliable message, dropped for a newer one
 * - aged: an incomplete unreliable message, dropped after 3 s
 * - unknown-frame: an extension frame that this version does not know
 */
export type DropReason = "malformed" | "duplicate" | "ack" | "closed" | "refused" | "unknown-channel" | "direction" | "kind" | "too-large" | "mismatch" | "window" | "budget" | "evicted" | "aged" | "unknown-frame" | "stale-channel";

/** Figures of a session: counters, which only grow, and present values. Times are in milliseconds. */
export interface Stats {
    packetsOut: number;
    packetsIn: number;
    bytesOut: number;
    bytesIn: number;
    /** Pieces of messages sent again because they seemed lost. */
    retransmits: number;
    /** Pieces of messages sent again in spare bytes. */
    copies: number;
    /** Bytes that a packet has at most: fewer where large ones do not arrive. */
    packetLimit: number;
    /** How often the session has begun a link. */
    links: number;
    rtt: number;
    /** Shares of packets lost, smoothed. */
    lossOut: number;
    lossIn: number;
    /** Bytes per second that may be sent. */
    rate: number;
    /** Bytes: waiting in queues or unacknowledged, held for reassembly and order. */
    queued: number;
    held: number;
    /** Packets and frames that were dropped, by reason. A reason that has not occurred is absent. */
    drops: Readonly<Partial<Record<DropReason, number>>>;
}

/**
 * Channel is one line of the table. name, mode, direction, maxMessage and queueLimit must be the same as the
 * server's; the others say how this end sends.
 */
export interface Channel<Name extends string = string> {
    /** 1 to 64 bytes without spaces or control characters, unlike all others. */
    readonly name: Name;
    readonly mode: Mode;
    /** "both" unless set. */
    readonly direction?: Direction;
    /** The largest message in bytes. 256 KiB if reliable and 16 KiB if not; at most 8 MiB. */
    readonly maxMessage?: number;
    /** Bytes of messages that may wait, each counted as its length and 32. 1 MiB if reliable and 64 KiB if not. */
    readonly queueLimit?: number;
    /**
     * From 0, sent first, to 7. It is strict: a channel waits while one of a lower number has anything to send, however
     * long that is. Give it a guarantee if it must go on meanwhile.
     */
    readonly priority?: number;
    /** Bytes per second that the channel gets even while channels before it are busy. */
    readonly guarantee?: number;
    /** Divides what channels of one priority get: 1 unless set; at most 1000. */
    readonly weight?: number;
    /** How often a small reliable message may ride again in spare bytes. 0: as often as the loss asks for; -1: never. */
    readonly copies?: number;
}

/** Which end may send on a channel. */
export type Direction = "both" | "to-server" | "to-client";

/** What a channel promises: at most once; never older than one delivered before; exactly once; exactly once in order. */
export type Mode = "unreliable" | "sequenced" | "reliable-unordered" | "reliable-ordered";

/**
 * Connects so that the session goes on when the page is loaded again: it is saved in sessionStorage under key, which has
 * url without its query unless it is given, when the page goes, and taken from there, once, by the next one, whose Conn is continued. Where that cannot be, it is a new one.
 */
export declare function keep<const C extends readonly Channel[]>(url: string | URL, options: ConnectOptions<C>, key?: string): Promise<Conn<C>>;

/**
 * Goes on with a session that suspend returned. options are those of connect, and no token is spent. Rejects with a
 * ConnectError, whose code is "resume" if the session is over, and "closed" if the server was not heard for the rest of
 * the grace time.
 */
export declare function resume<const C extends readonly Channel[]>(url: string | URL, options: ConnectOptions<C>, saved: string): Promise<Conn<C>>;

/**
 * Takes the session from its Conn and returns it as text, for resume to go on with, here or in the page that comes next.
 * The Conn ends: promises of requests reject with "response-lost", and those of receipts resolve with "abandoned". Returns ""
 * if the session is not open, or close was called, and does nothing then.
 *
 * The text is as secret as a password, good for the grace time of the server, and only once.
 */
export declare function suspend<const C extends readonly Channel[]>(conn: Conn<C>): string;

type Heard = (b: Uint8Array) => void;

type Served = (b: Uint8Array) => Answer | Promise<Answer>;

interface ConnectErrorMore {
    status?: number;
    details?: Record<string, unknown>;
    retryAfter?: number | undefined;
    cause?: unknown;
}

type Answer = Bytes | void | undefined;

export {};
