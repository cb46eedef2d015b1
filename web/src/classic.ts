// The script godwit.classic.min.js, which is no module, for pages that cannot load modules, such as those of file:. It
// sets the global godwit to what @godwit/client exports, with typed messages as godwit.types.

import {
  ChannelEvent,
  CloseCode,
  Conn,
  ConnCloseEvent,
  ConnectError,
  connect,
  connectRaw,
  GodwitError,
  keep,
  RawConn,
  RequestError,
  resume,
  SendError,
  sessions,
  suspend,
} from "./godwit";
import { Reader, typed, connect as typedConnect, sessions as typedSessions, Writer } from "./typed";

Object.assign(globalThis, {
  godwit: {
    ChannelEvent,
    CloseCode,
    Conn,
    ConnCloseEvent,
    ConnectError,
    connect,
    connectRaw,
    GodwitError,
    keep,
    RawConn,
    RequestError,
    resume,
    SendError,
    sessions,
    suspend,
    types: { Reader, connect: typedConnect, sessions: typedSessions, typed, Writer },
  },
});
