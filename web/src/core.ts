// What @godwit/client exports, but for sessions that outlive their page.
export type { Channel, Direction, Mode } from "./channel";
export { CloseCode } from "./close";
export { Conn } from "./conn";
export type { ConnectOptions, Hearable, Sendable, SendOptions } from "./conn";
export { connect, sessions } from "./connect";
export { ConnectError, GodwitError, RequestError, SendError } from "./errors";
export type { ConnectErrorCode, RequestErrorCode, SendErrorCode } from "./errors";
export { ChannelEvent, ConnCloseEvent } from "./events";
export type { CloseReason, ConnEventMap, OpenedChannel, OpenedName } from "./events";
export type { ConnectTimes } from "./link";
export type { Fate } from "./queue";
export { connectRaw, RawConn } from "./raw";
export type { RawEventMap, RawOptions } from "./raw";
export type { ChannelStats, DropReason, Stats } from "./stats";
export type { Bytes } from "./wire";
