// Made by build.mjs from src/.

/** The bytes of a message that a program sends. */
export type Bytes = ArrayBufferView | ArrayBuffer;

/**
 * The codes with which a session ends, docs/SESSION.md section 5. Codes from Program to 65535 are those of the program.
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
    /** The server has sent this client to another one: CloseReason.seat. */
    readonly Moved: 8;
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
    /** The first code of the program. */
    readonly Program: 256;
};

export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];

/**
 * Conn is one session with a server. A session lasts longer than its link: when the link is silent, Conn looks for a
 * new link, and reliable channels continue where they were.
 *
 * Handlers get a view of the bytes that arrived, which stays valid. A handler that throws does not stop the others: its
 * error is reported as uncaught.
 */
export declare class Conn<const C extends readonly Channel[] = readonly Channel[]> extends EventTarget {
    /** Resolves when the session is open, or rejects with a ConnectError. */
    readonly opened: Promise<void>;
    /** Resolves when the session has ended. */
    readonly closed: Promise<CloseReason>;
    /** Whether another Conn, such as that of the page before, has begun the session. */
    continued: boolean;
    /** How long the phases of connecting took. */
    readonly times: ConnectTimes;
    /** The link that the session uses or used last; "" before the first. The event link comes when it changes. */
    link: LinkName | "";
    /** Begins to connect. Use connect, except to send messages before the session is open: then await opened. */
    constructor(target: Target, options: ConnectOptions<C>);
    /** The number of the session, as 16 hexadecimal digits as in the server's log; "" until the session is open. */
    get id(): string;
    /** The channels that were opened at run time, by either end, and are not closed. */
    get channels(): readonly OpenedChannel[];
    get state(): "connecting" | "open" | "interrupted" | "closed";
    /**
     * Queues a copy of b as a message on a channel. Throws a SendError if nothing was queued. Messages of one task share
     * packets.
     */
    send(channel: Sendable<C>, b: Bytes, options: SendOptions & {
        receipt: true;
    }): Promise<Fate>;
    send(channel: Sendable<C>, b: Bytes, options?: SendOptions): void;
    /**
     * Calls f with each message of a channel. The first ones are those that arrived before the first call of on, up to
     * queueLimit; further ones were lost. The function that on returns ends this. Throws a GodwitError if the direction
     * of the channel is to-server.
     */
    on(channel: Hearable<C>, f: Heard): () => void;
    /**
     * Yields the messages of a channel until the channel is closed or the session ends. If the loop is too slow, the oldest messages are lost on
     * unreliable channels, and on reliable channels the loop throws a GodwitError "overflow".
     */
    messages(channel: Hearable<C>): AsyncGenerator<Uint8Array, void, void>;
    /**
     * Adds a channel to this session and returns it with all its fields. The server limits how many channels a client may
     * have open at a time, and their queueLimit: Config.MaxClientChannels and MaxClientQueue. Messages on the channel wait
     * in its queue until the server has acknowledged the channel, which takes one round trip. The channel lasts until
     * either end closes it or the session ends, also over new links and, with keep, in the next page. Throws a SendError
     * "closed", "budget", or "fixed" if a limit of the server is exceeded or the session is not open yet, and a
     * ConnectError "table" if the table would not be valid.
     */
    openChannel(channel: Channel): OpenedChannel;
    /**
     * Closes a channel that either end has opened at run time. From now on send throws a SendError "channel". The messages
     * that wait in its queue are sent, and those that the server has sent arrive. When both ends have nothing more to send,
     * the event channelclosed comes, after all receipts of the channel; messages that no function has taken until then are
     * lost. Then the name may be used again. closeChannel does not wait. Throws a SendError "channel" if there is no such
     * channel or it is being closed, "fixed" if it cannot be closed, or "closed".
     */
    closeChannel(channel: Sendable<C> | Hearable<C>): void;
    /**
     * Sends a request to the server. Resolves with the bytes of the reply, or with undefined if it has none. Rejects with
     * a RequestError, with a SendError if nothing was sent, or with the reason of the signal: the answer is then ignored.
     */
    request(name: string, b?: Bytes, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Uint8Array | undefined>;
    /**
     * Returns how far a request, or a message with a receipt, has got; p is the promise that request or send returned.
     * "sending" until the server has acknowledged it, then, for a request, "waiting" for the answer; undefined once p has
     * settled.
     */
    status(p: Promise<unknown>): "sending" | "waiting" | undefined;
    /**
     * Answers the requests of the server with a name with what f returns, and rejects them with what f throws. A second
     * call with the same name replaces f.
     */
    handle(name: string, f: Served): void;
    /**
     * Ends the session. Reliable messages are delivered first, for at most drain ms (10 s unless given), and only while
     * packets of the server arrive. The event close comes after that. Codes of the program are from 256 to 65535;
     * CloseCode.Program is the first.
     */
    close(code?: number, reason?: string, drain?: number): Promise<CloseReason>;
    /**
     * Returns the size in bytes of the largest message that send accepts on a channel now, or -1 if it accepts none: the
     * queue is full, only the server sends on the channel, or the session has ended. An unreliable channel always has
     * room, because it drops its oldest message. The event room comes when a queue that was full has room again.
     */
    free(channel: Sendable<C>): number;
    stats(): Stats;
    channelStats(channel: C[number]["name"] | OpenedName): ChannelStats;
}

/** The events of a Conn, typed. */
export interface Conn<C extends readonly Channel[]> {
    addEventListener<K extends keyof ConnEventMap>(type: K, listener: (event: ConnEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof ConnEventMap>(type: K, listener: (event: ConnEventMap[K]) => void, options?: boolean | EventListenerOptions): void;
}

/**
 * Connects to a godwit server. target is the URL of its signaling, or an invite, with which there is no request. Rejects
 * with a ConnectError, or with the reason of the signal.
 */
export declare function connect<const C extends readonly Channel[]>(target: Target, options: ConnectOptions<C>): Promise<Conn<C>>;

/**
 * Yields one session after the other. When a session ends because the server has shut down, was not reachable for the
 * grace time, or does not know the session any more, sessions tries to begin a new one, at growing intervals, until the
 * server answers: also while the option token throws, and while something that is not a godwit server answers. When the
 * server moves a session to another server, the next one begins there, at once; if that fails, or servers move the
 * session more than 4 times in a row within 30 s each, it begins like the first one. sessions returns when a session
 * ends for another reason, for example by the signal. It throws if the first attempt fails, if
 * the server refuses a new session for good, and if the signal aborts while it waits. With keep in place of connect,
 * sessions also continue when the page is loaded again. An invite is good for one session: target may be a function that
 * returns another one for each, or a Seat.
 */
export declare function sessions<const C extends readonly Channel[], T extends Target>(target: T | (() => T | Seat | Promise<T | Seat>), options: ConnectOptions<C>, via?: (target: T, options: ConnectOptions<C>) => Promise<Conn<C>>): AsyncGenerator<Conn<C>, void, void>;

/**
 * Invite is what a page needs to connect to a server without a request: in place of a URL. Its text, base64url of its
 * JSON, can be part of a link. It is good once, and as secret as a password.
 */
export interface Invite {
    /** The version of the form: 1. */
    v: number;
    /** The UDP addresses of the server, such as "203.0.113.7:7777" and "[2001:db8::1]:7777", the best one first. */
    addresses: readonly string[];
    /** The fingerprint of the server's certificate: "sha-256 AB:CD:…". */
    fingerprint: string;
    ufrag: string;
    pwd: string;
    /** The hash of the server's table of channels. */
    channels?: string;
}

/**
 * Seat is a place at one server: an invite, the URL of its signaling with a token, or both. It is as secret as they are.
 */
export interface Seat {
    invite?: Invite;
    url?: string;
    token?: string;
    /** Names the server to who has made the seat. */
    node?: string;
}

/** To what a page connects: the URL of the signaling of a server, or an invite or its text. */
export type Target = string | URL | Invite;

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
export type ConnectErrorCode = "network" | "foreign" | "timeout" | "link" | "table" | "closed" | "option" | "request" | "protocol" | "app" | "channels" | "token" | "forbidden" | "origin" | "identity" | "invite" | "resume" | "rate" | "full" | "shutdown" | (string & {});

/**
 * Why a request has no reply:
 *
 * - rejected: the server rejected it; the message is "godwit: " and the text of the server
 * - send-failed: the session ended before any of it was sent
 * - response-lost: the session ended after it was sent: the server may have acted on it
 */
export type RequestErrorCode = "rejected" | "send-failed" | "response-lost";

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
export type SendErrorCode = "type" | "channel" | "direction" | "size" | "budget" | "deadline" | "interrupted" | "fixed" | "closed";

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

/** ConnectError says why there is no connection. */
export declare class ConnectError extends GodwitError<ConnectErrorCode> {
    name: string;
    /** The HTTP status of a refusal; 0 if it is not one. */
    readonly status: number;
    /** All fields of the refusal: versions, the reason why a token was refused, the table of the server. */
    readonly details: Readonly<Record<string, unknown>>;
    /** Time in ms after which to try again, at most 60,000; undefined if trying again has no use. */
    readonly retryAfter: number | undefined;
    constructor(code: ConnectErrorCode, message: string, { status, details, retryAfter, cause }?: ConnectErrorMore);
}

/**
 * GodwitError is the class of all errors of this module. A program tests its code; its message is for people; its cause
 * is the error below, if there is one.
 */
export declare class GodwitError<Code extends string = string> extends Error {
    readonly code: Code;
    constructor(code: Code, message: string, cause?: unknown);
}

/** RequestError is the error with which the promise of a request rejects. */
export declare class RequestError extends GodwitError<RequestErrorCode> {
    name: string;
}

/** SendError is thrown by send, openChannel and closeChannel. request rejects with it if nothing was sent. */
export declare class SendError extends GodwitError<SendErrorCode> {
    name: string;
}

/** Why a session has ended. code is a CloseCode, or a code of the program. */
export interface CloseReason {
    readonly code: number;
    readonly reason: string;
    /** Whether the server has closed the session. */
    readonly remote: boolean;
    /**
     * Bytes of reliable messages that were given up: those of this end that were not acknowledged, and those of the
     * server, according to the server.
     */
    readonly lostOut: number;
    readonly lostIn: number;
    /** The error of the last attempt to connect again, if that is why the session has ended. */
    readonly error?: ConnectError;
    /** Where the server has sent this client, with the code Moved: sessions goes on there. As secret as a password. */
    readonly seat?: Seat;
}

/** The events of a Conn. */
export interface ConnEventMap {
    /**
     * The server has opened a channel for this session. Channels that were opened before the first listener was added are
     * in channels.
     */
    channel: ChannelEvent<OpenedChannel>;
    /**
     * A channel that was opened at run time is closed at both ends: all its messages have arrived before, and the fate of
     * each message of this end is known. Its name may be used again. A session that ends has no such event.
     */
    channelclosed: ChannelEvent<OpenedChannel>;
    /**
     * The queue of a channel has room for the message that send refused last with a SendError "budget". There is one
     * event after such refusals, not one for each.
     */
    room: ChannelEvent;
    /** Nothing has arrived for 3 s (longer if round trips take more than 0.3 s), or the link has ended. A new link is being tried. */
    interrupted: Event;
    /** The session has moved to another kind of link: conn.link says to which. It is not interrupted by that. */
    link: Event;
    /** A packet of the server has arrived again. */
    resumed: Event;
    /** The session has ended. */
    close: ConnCloseEvent;
}

/** A channel that was opened at run time, with all its fields. */
export type OpenedChannel = Required<Channel<OpenedName>>;

/** The name of a channel that was opened at run time. */
export type OpenedName = string & {
    readonly opened: true;
};

/** ChannelEvent is an event of one channel of a Conn. */
export declare class ChannelEvent<C extends Required<Channel> = Required<Channel>> extends Event {
    readonly channel: C;
    constructor(type: "channel" | "channelclosed" | "room", channel: C);
}

/** ConnCloseEvent is the last event of a Conn. */
export declare class ConnCloseEvent extends Event {
    readonly why: CloseReason;
    constructor(why: CloseReason);
}

/** The durations of the phases of connecting, in ms. */
export interface ConnectTimes {
    /** Until the offer was made. */
    offer: number;
    /** Until the answer of the server had arrived or, with an invite, until the page had written it. */
    http: number;
    /** Until a path was found; 0 if the browser has not reported it. */
    ice: number;
    /** Until the data channel was open: DTLS and SCTP. */
    transport: number;
    /** Until the session was open: HELLO and WELCOME. */
    hello: number;
    total: number;
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

export type Hearable<C extends readonly Channel[]> = Exclude<C[number], {
    direction: "to-server";
}>["name"] | OpenedName;

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
export type LinkPipe = Pick<RTCDataChannel, "bufferedAmount" | "bufferedAmountLowThreshold" | "send" | "onopen" | "onmessage" | "onbufferedamountlow" | "onclose"> & {
    /** "open" while it is open. */
    readyState: string;
    close(code?: number): void;
};

/** The entries of the option links. */
export type Links = readonly ("webrtc" | "websocket" | LinkType)[];

/** LinkType is a kind of link that a page brings, such as webtransport of godwit.webtransport.min.js. */
export interface LinkType {
    name: LinkName;
    /** Whether it delivers every datagram, once and in order. */
    lossless: boolean;
    /** Opens a link that the server has offered. */
    dial(offer: LinkOffer): LinkPipe;
}

/** Names of the channels on which a page may send, and of those on which it may receive. */
export type Sendable<C extends readonly Channel[]> = Exclude<C[number], {
    direction: "to-client";
}>["name"] | OpenedName;

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

/**
 * The fate of a message:
 *
 * - delivered: the server has all of it
 * - lost: an unreliable message was sent and not acknowledged; it may have arrived
 * - expired: its deadline passed in the queue, or an unreliable message waited too long while the link was silent
 * - replaced: a newer message took its place in the queue
 * - dropped: the queue was full, and it was the oldest message
 * - abandoned: the session ended before an acknowledgement; it may have arrived
 */
export type Fate = "delivered" | "lost" | "expired" | "replaced" | "dropped" | "abandoned";

/** The events of a RawConn. */
export interface RawEventMap {
    message: MessageEvent<Uint8Array | string>;
    close: Event;
}

/** The options of connectRaw. */
export interface RawOptions {
    /** Label of the data channel, which the server gets. "data" unless set. */
    label?: string;
    protocol?: string;
    token?: string;
    signal?: AbortSignal;
    timeout?: number;
    request?: RequestInit;
}

/** Connects to a server of datagrams. Rejects with a ConnectError, or with the reason of the signal. */
export declare function connectRaw(url: string | URL, { label, protocol, token, signal, timeout, request }?: RawOptions): Promise<RawConn>;

/**
 * RawConn sends and receives datagrams, which may be lost and may arrive in another order. Its events are message and
 * close.
 */
export declare class RawConn extends EventTarget {
    /** How long the phases of connecting took. */
    readonly times: ConnectTimes;
    /** Number of datagrams that were not sent, because the queue of the browser was full or the connection has ended. */
    dropped: number;
    /**
     * Sends one datagram of at most 1160 bytes, and returns whether the browser has taken it. If the datagram would have
     * to wait, it is dropped, because it would be old later. In a UDP packet it takes its size, rounded up to a multiple
     * of four, plus 65 bytes. A datagram that is larger than the path carries is always lost, without an error. Throws a
     * SendError if data is too large, or neither bytes nor a string.
     */
    send(data: Bytes | string): boolean;
    close(): void;
}

/** The events of a RawConn, typed. */
export interface RawConn {
    addEventListener<K extends keyof RawEventMap>(type: K, listener: (event: RawEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
    removeEventListener<K extends keyof RawEventMap>(type: K, listener: (event: RawEventMap[K]) => void, options?: boolean | EventListenerOptions): void;
}

/** The counters of one channel. */
export interface ChannelStats {
    messagesOut: number;
    messagesIn: number;
    /** Bytes of these messages, as programs send and get them. */
    bytesOut: number;
    bytesIn: number;
    /** Bytes of these messages as packets carry them: fewer if compress makes them smaller. */
    wireOut: number;
    wireIn: number;
    /**
     * Messages that were never sent: the deadline passed, the queue was full, a newer message replaced them, or the
     * session ended.
     */
    dropped: number;
    /**
     * Sequenced messages, or fragments of them, that were older than a delivered one; unreliable messages that were too
     * old after a sleep.
     */
    stale: number;
    /** Pieces that arrived again. */
    duplicates: number;
}

/**
 * Why a packet or a frame of the server was dropped. malformed, duplicate, ack and refused count packets, the others
 * frames.
 *
 * - malformed: the packet is malformed, or has another version
 * - duplicate: the packet arrived before, or is older than the last 4096
 * - ack: the packet acknowledges a packet that was never sent
 * - closed: a message that arrived after the session was closed
 * - refused: a frame of the packet was refused, so the packet is not acknowledged
 * - unknown-channel: the table has no such channel
 * - direction: the server may not send on the channel
 * - kind: the kind of the frame does not fit the channel's mode
 * - too-large: the message is larger than maxMessage
 * - mismatch: the fragment contradicts an earlier one
 * - window: a reliable message too far ahead of the oldest that is missing
 * - budget: a reliable message for which queueLimit has no room
 * - evicted: an incomplete unreliable message, dropped for a newer one
 * - aged: an incomplete unreliable message, dropped after 3 s
 * - unknown-frame: an extension frame that this version does not know
 * - stale-channel: a late frame of a closed channel
 * - inflate: a message of a channel with compress that cannot be inflated; the session ends
 */
export type DropReason = "malformed" | "duplicate" | "ack" | "closed" | "refused" | "unknown-channel" | "direction" | "kind" | "too-large" | "mismatch" | "window" | "budget" | "evicted" | "aged" | "unknown-frame" | "stale-channel" | "inflate";

/** The figures of a session: counters, which never decrease, and present values. Times are in milliseconds. */
export interface Stats {
    packetsOut: number;
    packetsIn: number;
    bytesOut: number;
    bytesIn: number;
    /** Pieces of messages sent again because they seemed lost. */
    retransmits: number;
    /** Pieces of messages sent again in free space of packets. */
    copies: number;
    /** Largest size of a packet in bytes: less than 1150 if larger packets do not arrive. */
    packetLimit: number;
    /** Number of links that the session has begun. */
    links: number;
    /** The link that the session uses or used last; "" before the first. */
    link: LinkName | "";
    rtt: number;
    /** Shares of packets lost, 0 to 1, smoothed. */
    lossOut: number;
    lossIn: number;
    /** Bytes per second that may be sent. */
    rate: number;
    /** Bytes in queues or not acknowledged, and bytes held for reassembly and order. */
    queued: number;
    held: number;
    /** Number of packets and frames that were dropped, by reason. A reason that has not occurred is absent. */
    drops: Readonly<Partial<Record<DropReason, number>>>;
}

/**
 * Channel is one line of the table. name, mode, direction, maxMessage, queueLimit, compress and schema must be the same
 * at both ends. The other fields say how this end sends.
 */
export interface Channel<Name extends string = string> {
    /**
     * 1 to 64 bytes of UTF-8 without spaces or control characters. The names in a table differ, and none is "control".
     */
    readonly name: Name;
    readonly mode: Mode;
    /** "both" unless set. */
    readonly direction?: Direction;
    /** Size of the largest message in bytes: 256 KiB if reliable, else 16 KiB, unless set; at most 8 MiB. */
    readonly maxMessage?: number;
    /**
     * Limit of the bytes of messages that wait to be sent or acknowledged. Each message counts as its length plus 32. 1
     * MiB if reliable, else 64 KiB, unless set, but always enough for one message; at most 64 MiB.
     */
    readonly queueLimit?: number;
    /**
     * Compresses messages of 512 bytes or more if that makes them smaller. maxMessage counts the bytes of the program. Only
     * for reliable channels.
     */
    readonly compress?: boolean;
    /** What the messages are, as godwit-gen writes it; "" for bytes. The server compares it with its own. */
    readonly schema?: string;
    /**
     * From 0, sent first, to 7. It is strict: a channel waits as long as a channel with a lower number has something to
     * send. Set a guarantee if the channel must send nevertheless.
     */
    readonly priority?: number;
    /** Rate in bytes per second that the channel gets before channels without a guarantee, whatever their priorities. */
    readonly guarantee?: number;
    /**
     * The part of the channel of what the channels of one priority get: a channel with weight 2 sends twice as much as
     * one with weight 1. 1 unless set; at most 1000.
     */
    readonly weight?: number;
    /**
     * Limit of how often a reliable message of at most 512 bytes that is not acknowledged is sent again in the free space
     * of other packets, while the link loses more than 1 % of packets. 0 means 2 to 6, depending on the loss; negative
     * means none; at most 16.
     */
    readonly copies?: number;
}

/** Which end may send on a channel. */
export type Direction = "both" | "to-server" | "to-client";

/**
 * What a channel promises. unreliable: at most once, in any order. sequenced: at most once, and never after a newer
 * message. reliable-unordered: exactly once, in any order. reliable-ordered: exactly once, in the order in which they
 * were sent.
 */
export type Mode = "unreliable" | "sequenced" | "reliable-unordered" | "reliable-ordered";

/**
 * Connects like connect, but the session continues when the page is loaded again: when the page goes, the session is
 * saved in sessionStorage under key. The next page that calls keep takes it from there, once, and its Conn is
 * continued. If that is not possible, the session is a new one. key is "godwit " and target without its query, or the
 * fingerprint of an invite, unless it is given.
 */
export declare function keep<const C extends readonly Channel[]>(target: Target, options: ConnectOptions<C>, key?: string): Promise<Conn<C>>;

/**
 * Continues a session that suspend returned. options are those of connect; no token is used. Rejects with a
 * ConnectError: its code is "resume" if the session is over, and "closed" if the server was not reachable for the rest
 * of the grace time.
 */
export declare function resume<const C extends readonly Channel[]>(target: Target, options: ConnectOptions<C>, saved: string): Promise<Conn<C>>;

/**
 * Ends a Conn, and returns its session as text, with which resume continues it, in this page or in the next one.
 * Promises of requests reject with "response-lost", and those of receipts resolve with "abandoned". If the session is
 * not open, or close was called, suspend returns "" and does nothing.
 *
 * The text is as secret as a password. It can be used once, within the grace time of the server.
 */
export declare function suspend<const C extends readonly Channel[]>(conn: Conn<C>): string;

/** A function of the program for the messages of a channel. */
type Heard = (b: Uint8Array) => void;

/** A function of the program for requests of the server. */
type Served = (b: Uint8Array) => Answer | Promise<Answer>;

interface ConnectErrorMore {
    status?: number;
    details?: Record<string, unknown>;
    retryAfter?: number | undefined;
    cause?: unknown;
}

/** What a function for requests returns. */
type Answer = Bytes | void | undefined;

export {};
