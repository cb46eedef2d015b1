// Package rtcserver is a WebRTC datagram server: one UDP port to which any web
// page connects with a plain RTCPeerConnection, and on which its messages travel
// as datagrams, unordered and never repeated.
//
// [Listen] opens the port. A [Server] is an [http.Handler] that answers a page's
// SDP offer; the page's messages then come to the [Handler] of the [Config], and
// [Conn.Send] answers them. A message that is lost stays lost, one that is late
// holds up no other, and nothing queues behind the program's back.
//
//	srv, err := rtcserver.Listen(":7777", rtcserver.Config{
//		Handler: rtcserver.Handler{
//			Message: func(c *rtcserver.Conn, m rtcserver.Message) {
//				c.Send(m.Stream, m.Kind, m.Data) // echo
//			},
//		},
//	})
//	...
//	http.Handle("/new_rtc_session", srv)
//
// Where offers come some other way, over a WebSocket or from a matchmaker,
// [Server.Answer] answers them.
//
// # Who calls what
//
// A shard is one UDP socket with the connections that live on it, one goroutine
// and one lock. There is one shard unless [Config.Shards] says otherwise. The
// shard's goroutine runs the handlers of its connections, one at a time and in
// order; with several shards, handlers of different connections run
// concurrently. A handler must not block: its shard serves nobody meanwhile.
// [Stats] tells the time spent in handlers. No lock is held while a handler runs,
// so it may call anything here except [Server.Shutdown] and [Server.Close], which
// would wait for it.
//
// All methods of Server and Conn may be called from any goroutine. With
// [Config.Manual] there is no goroutine at all, and [Server.Poll] runs the loop
// inside the caller's own, as a game does once per tick.
//
// # Channels of a page
//
// A page may have 16 channels open at once, or as many as [Config.MaxChannels] says,
// in-band or negotiated, unordered or ordered. What is ordered and not retransmitted
// comes in order: a message that a later one has overtaken is dropped. A channel that
// is one too many, or reliable without [Config.AllowReliable], is closed by a stream
// reset, which is the page's close event; the Logger has a line for the first of each
// connection and reason, and [Stats] counts them.
//
// # What it is not for
//
// There is no reliability here and no fragmentation of what is sent: a message
// has to fit one packet, [MaxMessage] bytes, for which the path must carry 1,225 bytes
// of UDP payload; a message that is larger than the path carries is lost, and no error
// tells. For channels with promises use package godwit. There is no media, no TURN, and no ICE beyond the
// lite agent.
package rtcserver
