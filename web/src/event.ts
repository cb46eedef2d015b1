import { type ConnectError } from "./error";
import { type Channel } from "./table";

/** The name of a channel that the server has opened at run time. */
export type OpenedName = string & { readonly opened: true };

/** A channel that the server has opened at run time, with what it has not set. */
export type OpenedChannel = Required<Channel<OpenedName>>;

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

/** ConnCloseEvent is the last event of a Conn. */
export class ConnCloseEvent extends Event {
  constructor(readonly why: CloseReason) {
    super("close");
  }
}

/** ChannelEvent tells of a channel that the server has opened. */
export class ChannelEvent extends Event {
  constructor(readonly channel: OpenedChannel) {
    super("channel");
  }
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
