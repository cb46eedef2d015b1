package session

// The names of links. A link that a server's program brings has a name of its own.
const (
	LinkWebRTC       = "webrtc"       // UDP
	LinkWebTransport = "webtransport" // QUIC; package webtransport serves it
	LinkWebSocket    = "websocket"    // TCP, where UDP does not arrive
	LinkInProcess    = "in-process"   // godwit.Server.Local
)
