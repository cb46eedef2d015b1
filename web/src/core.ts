// The exports of @godwit/client, without those for sessions that continue when the page is loaded again.
export type { Bytes } from "./bytes";
export { CloseCode } from "./close";
export { Conn } from "./conn";
export { connect, sessions } from "./connect";
export type { Invite, Seat, Target } from "./direct";
export type { ConnectErrorCode, RequestErrorCode, SendErrorCode, Status } from "./error";
export { ConnectError, GodwitError, RequestError, SendError } from "./error";
export type { CloseReason, ConnEventMap, OpenedChannel, OpenedName } from "./event";
export { ChannelEvent, ConnCloseEvent } from "./event";
export type { ConnectTimes } from "./link";
export type { ConnectOptions, Hearable, LinkName, LinkOffer, LinkPipe, Links, LinkType, Sendable, SendOptions } from "./options";
export type { Fate } from "./queue";
export type { RawEventMap, RawOptions } from "./raw";
export { connectRaw, RawConn } from "./raw";
export type { ChannelStats, DropReason, Stats } from "./stats";
export type { Channel, Direction, Mode } from "./table";
