// Made by build.mjs from src/.

import type { Bytes, Channel, Conn, ConnectOptions, Fate, Hearable, Sendable, SendOptions, Target } from "./godwit.js";

/** Why bytes are no message of the type, or why a value cannot be written. */
export type Cause = "truncated" | "trailing" | "range" | "length" | "utf8" | "form";

/** What godwit-gen writes for a message type. */
export interface Codec<T> {
    write(w: Writer, m: T): void;
    read(r: Reader): T;
}

/** What Writer and Reader have in common: a buffer, as words and as bytes, and an index of a bit. */
declare class Stream {
    protected words: Int32Array;
    protected bytes: Uint8Array;
    protected at: number;
    constructor();
    /** Makes a buffer of n bytes or more. */
    protected room(n: number): void;
    /** Goes to the next byte. */
    align(): void;
}

export declare class Writer extends Stream {
    /** Returns m as bytes, which the next message overwrites. */
    encode<T>(codec: Codec<T>, m: T): Uint8Array;
    /** Writes the n lowest bits of v, at most 32. The others must be zero. */
    bits(v: number, n: number): void;
    /** Writes v, which is not negative, as a varint of a type with n bits. */
    uint(v: number, n: number): void;
    /** Writes a number of bytes or elements. Throws if n is more than max. */
    count(n: number, max: number): void;
    /** Writes b, bytes or ASCII: the length, and the bytes from the next whole byte on. Throws if b is longer than max. */
    data(b: Uint8Array | string, max: number): void;
    /** Writes s as data does, in UTF-8. */
    string(s: string, max: number): void;
}

export declare class Reader extends Stream {
    /** Returns the message of b. */
    decode<T>(codec: Codec<T>, b: Uint8Array): T;
    /** Returns the next n bits: negative, if they are 32 and the highest is set. */
    bits(n: number): number;
    /** Skips zero bits up to the next byte. */
    align(): void;
    /** Whether another byte follows, after the zero bits up to it. */
    more(): boolean;
    /** Ignores what follows. */
    rest(): void;
    /** Returns the next varint of a type with n bits. */
    uint(n: number): number;
    /**
     * Returns the next number of bytes or elements. Throws if it is more than max, and if so many elements, of at least the
     * given number of bits each, are more than what is left.
     */
    count(max: number, least: number): number;
    /** Returns the next bytes. */
    data(max: number): Uint8Array;
    /** Returns the next string. */
    string(max: number): string;
}

/** A codec of another format, such as JSON or MessagePack. decode throws if b is no message, and keeps nothing of b. */
export interface Coder<T> {
    encode(m: T): Bytes;
    decode(b: Uint8Array): T;
    read?: undefined;
}

/** How the messages of a channel are written. Null stands for bytes. */
export type Form = Codec<Any> | Coder<Any> | null | undefined;

/** The table of a program with its types, as godwit-gen writes it. */
export interface Game {
    readonly channels: readonly Channel[];
    /** What requests and the connect message are, for the comparison with the server's table. */
    readonly schema?: string;
    /** The forms of messages by the name of the channel. A channel without one has bytes. */
    readonly messages: {
        readonly [channel: string]: Form;
    };
    /** The forms of requests by name: of the request and of its reply. */
    readonly requests?: {
        readonly [name: string]: readonly [Form, Form];
    };
    /** The form of the connect message. */
    readonly hello?: Form;
}

/** The value of a form. */
export type Value<F> = F extends Codec<infer T> | Coder<infer T> ? T : Bytes;

/** The message that a handler gets. */
export type Message<G extends Game, K> = K extends keyof G["messages"] ? Value<G["messages"][K]> : Uint8Array;

type Requests<G extends Game> = Extract<keyof NonNullable<G["requests"]>, string>;

type Question<G extends Game, N extends Requests<G>> = Value<NonNullable<G["requests"]>[N][0]>;

type Reply<G extends Game, N extends Requests<G>> = Value<NonNullable<G["requests"]>[N][1]>;

/** The options of connect for a table with types: hello is a value, and the table comes from the game. */
export type TypedOptions<G extends Game> = Omit<ConnectOptions<G["channels"]>, "channels" | "schema" | "hello"> & {
    hello?: Value<G["hello"]>;
};

/**
 * A Conn whose messages, requests and replies are values. Bytes that are no message of their type are counted in bad, by
 * channel and cause. On an unreliable or sequenced channel the message is dropped; on a reliable one, in a request or in
 * a reply, the session ends with the code 3 and the cause. A value that cannot be written, such as a text that is too
 * long, is an Error that names the channel and the cause.
 */
export type TypedConn<G extends Game> = Omit<Conn<G["channels"]>, "send" | "on" | "messages" | "request" | "handle"> & {
    send<K extends Sendable<G["channels"]>>(channel: K, m: Message<G, K>, options: SendOptions & {
        receipt: true;
    }): Promise<Fate>;
    send<K extends Sendable<G["channels"]>>(channel: K, m: Message<G, K>, options?: SendOptions): void;
    on<K extends Hearable<G["channels"]>>(channel: K, f: (m: Message<G, K>) => void): () => void;
    messages<K extends Hearable<G["channels"]>>(channel: K): AsyncGenerator<Message<G, K>, void, void>;
    request<N extends Requests<G>>(name: N, q: Question<G, N>, options?: {
        signal?: AbortSignal;
    }): Promise<Reply<G, N>>;
    handle<N extends Requests<G>>(name: N, f: (q: Question<G, N>) => Reply<G, N> | Promise<Reply<G, N>>): void;
    /** How many messages were no messages of their type: "world: truncated" to the number. */
    readonly bad: ReadonlyMap<string, number>;
};

type Any = any;

/** Makes conn a TypedConn: for a Conn that keep has returned. Its channels must be those of the game. */
export declare const typed: <G extends Game>(conn: Conn<G["channels"]>, game: G) => TypedConn<G>;

/** Connects as connect of @godwit/client does, with the table and the types of a game. */
export declare const connect: <const G extends Game>(target: Target, game: G, options?: TypedOptions<G>) => Promise<TypedConn<G>>;

/** Yields one session after the other as sessions of @godwit/client does. */
export declare const sessions: <const G extends Game>(target: Target | (() => Target | Promise<Target>), game: G, options?: TypedOptions<G>) => AsyncGenerator<TypedConn<G>, void, void>;
