// Typed messages: a Conn whose messages are values, by what godwit-gen has written for the table. A page that uses no
// types does not load this module.

import { type Bytes } from "./bytes";
import { Conn, connect as connectBytes, sessions as sessionsOfBytes } from "./core";
import { type Target } from "./direct";
import { type ConnectOptions, type Hearable, type Sendable, type SendOptions } from "./options";
import { type Codec, Reader, Writer } from "./pack";
import { type Fate } from "./queue";
import { type Channel } from "./table";

export type { Cause, Codec } from "./pack";
export { Reader, Writer } from "./pack";

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
  readonly messages: { readonly [channel: string]: Form };
  /** The forms of requests by name: of the request and of its reply. */
  readonly requests?: { readonly [name: string]: readonly [Form, Form] };
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
  send<K extends Sendable<G["channels"]>>(channel: K, m: Message<G, K>, options: SendOptions & { receipt: true }): Promise<Fate>;
  send<K extends Sendable<G["channels"]>>(channel: K, m: Message<G, K>, options?: SendOptions): void;
  on<K extends Hearable<G["channels"]>>(channel: K, f: (m: Message<G, K>) => void): () => void;
  messages<K extends Hearable<G["channels"]>>(channel: K): AsyncGenerator<Message<G, K>, void, void>;
  request<N extends Requests<G>>(name: N, q: Question<G, N>, options?: { signal?: AbortSignal }): Promise<Reply<G, N>>;
  handle<N extends Requests<G>>(name: N, f: (q: Question<G, N>) => Reply<G, N> | Promise<Reply<G, N>>): void;
  /** How many messages were no messages of their type: "world: truncated" to the number. */
  readonly bad: ReadonlyMap<string, number>;
};

const writer = new Writer();
const reader = new Reader();

/** Returns the bytes of a value, which the next value overwrites. name is for the error. */
function encode(name: string, form: Form, m: unknown): Bytes {
  try {
    return !form ? (m as Bytes) : form.read ? writer.encode(form, m) : form.encode(m);
  } catch (e) {
    throw new Error(`${name}: ${(e as Error).message}`);
  }
}

/** The methods of a TypedConn. Any stands for the types of the program, which TypedConn has. */
class Typed extends Conn<readonly Channel[]> {
  declare readonly game: Game;
  declare readonly bad: Map<string, number>;

  /**
   * Returns the message of b in an array. If b is no message, counts that, and returns an empty array if name is a channel
   * that may lose messages; else ends the session and throws. Without b there are no bytes.
   */
  private heard(name: string, form: Form, b: Uint8Array = new Uint8Array()): Any[] {
    try {
      return [!form ? b : form.read ? reader.decode(form, b) : form.decode(b)];
    } catch (e) {
      const why = `${name}: ${form!.read ? (e as Error).message : "form"}`;
      this.bad.set(why, -~this.bad.get(why)!); // one more; of undefined it makes 1
      if (this.game.channels.some((c) => c.name === name && c.mode > "s")) return []; // sequenced or unreliable
      void this.close(3, why, 0);
      throw new Error(why);
    }
  }

  override send(channel: string, m: Any, options?: Any): Any {
    return super.send(channel, encode(channel, this.game.messages[channel], m), options);
  }

  override on(channel: string, f: (m: Any) => void): () => void {
    return super.on(channel, (b) => this.heard(channel, this.game.messages[channel], b).forEach((m) => f(m)));
  }

  override async *messages(channel: string): AsyncGenerator<Any, void, void> {
    for await (const b of super.messages(channel)) yield* this.heard(channel, this.game.messages[channel], b);
  }

  override async request(name: string, q?: Any, options?: Any): Promise<Any> {
    const [question, reply] = this.game.requests?.[name] ?? [];
    return this.heard(`${name}()`, reply, await super.request(name, encode(name, question, q), options))[0];
  }

  override handle(name: string, f: (q: Any) => Any): void {
    const [question, reply] = this.game.requests?.[name] ?? [];
    super.handle(name, async (b) => encode(name, reply, await f(this.heard(`${name}()`, question, b)[0])));
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a value of the program, whose type only the declarations of TypedConn have
type Any = any;

/** Makes conn a TypedConn: for a Conn that keep has returned. Its channels must be those of the game. */
export const typed = <G extends Game>(conn: Conn<G["channels"]>, game: G): TypedConn<G> =>
  Object.assign(Object.setPrototypeOf(conn, Typed.prototype), { game, bad: new Map() });

/** Connects as connect of @godwit/client does, with the table and the types of a game. */
export const connect = <const G extends Game>(target: Target, game: G, options?: TypedOptions<G>): Promise<TypedConn<G>> =>
  via(game)(target, settings(game, options));

/** Yields one session after the other as sessions of @godwit/client does. */
export const sessions = <const G extends Game>(
  target: Target | (() => Target | Promise<Target>),
  game: G,
  options?: TypedOptions<G>,
): AsyncGenerator<TypedConn<G>, void, void> => sessionsOfBytes(target, settings(game, options), via(game) as never) as never;

const via =
  <G extends Game>(game: G) =>
  async (target: Target, options: ConnectOptions<G["channels"]>): Promise<TypedConn<G>> =>
    typed(await connectBytes(target, options), game);

const settings = <G extends Game>(game: G, options?: TypedOptions<G>): ConnectOptions<G["channels"]> =>
  ({
    ...options,
    ...game,
    hello: options?.hello && new Uint8Array(encode("hello", game.hello, options.hello) as Uint8Array),
  }) as never;
