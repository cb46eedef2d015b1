// What @godwit/client exports, but for sessions that outlive their page.
export type { Channel, Direction, Mode } from "./channel";
export { ChannelEvent, Conn, ConnCloseEvent } from "./conn";
export type {
  CloseReason,
  ConnectOptions,
  ConnEventMap,
  Hearable,
  OpenedChannel,
  OpenedName,
  Sendable,
  SendOptions,
} from "./conn";
export { connect, sessions } from "./connect";
export { ConnectError, GodwitError, RequestError, SendError } from "./errors";
export type { ConnectErrorCode, RequestErrorCode, SendErrorCode } from "./errors";
export type { ConnectTimes } from "./link";
export type { Fate } from "./queue";
export { connectRaw, RawConn } from "./raw";
export type { RawEventMap, RawOptions } from "./raw";
export type { ChannelStats, Stats } from "./stats";
export type { Bytes } from "./wire";
