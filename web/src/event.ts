import { type Seat } from "./direct";
import { type ConnectError } from "./error";
import { type Channel } from "./table";

/** The name of a channel that was opened at run time. */
export type OpenedName = string & { readonly opened: true };

/** A channel that was opened at run time, with all its fields. */
export type OpenedChannel = Required<Channel<OpenedName>>;

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

/** ConnCloseEvent is the last event of a Conn. */
export class ConnCloseEvent extends Event {
  constructor(readonly why: CloseReason) {
    super("close");
  }
}

/** ChannelEvent is an event of one channel of a Conn. */
export class ChannelEvent<C extends Required<Channel> = Required<Channel>> extends Event {
  constructor(
    type: "channel" | "channelclosed" | "room",
    readonly channel: C,
  ) {
    super(type);
  }
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
