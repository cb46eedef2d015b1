// Made by build.mjs from src/.

import type { LinkType } from "./godwit.js";

/** WebTransport, for the option links: links: ["webrtc", webtransport, "websocket"]. The server must serve it. */
export declare const webtransport: LinkType;
