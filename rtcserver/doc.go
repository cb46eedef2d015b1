// Package rtcserver is a WebRTC datagram server: one UDP port to which any web page
// connects with a plain RTCPeerConnection. Each message is one datagram. Messages are not
// ordered and not sent again.
//
// [Listen] opens the port. A [Server] is an [http.Handler] that answers a page's SDP
// offer. Then the [Handler] of the [Config] gets the page's messages, and [Conn.Send]
// sends messages to the page. A lost message is not sent again, a late message does not
// delay other messages, and the server has no queue of messages.
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
// [Server.Answer] answers offers that do not arrive over HTTP, for example over a
// WebSocket or from a matchmaker.
//
// # Who calls what
//
// A shard is one UDP socket with its connections, one goroutine and one lock. There is one
// shard unless [Settings].Shards is set. The goroutine of a shard runs the handlers of its
// connections, one at a time and in order. With several shards, handlers of different
// connections run at the same time. A handler must not block: while it does, its shard
// serves no other page. Stats.HandlerTime is the time spent in handlers. No lock is held
// while a handler runs. A handler may call every function of this package except
// [Server.Shutdown], [Server.Close] and [Server.Poll], which return [ErrInHandler].
//
// All methods of Server and Conn may be called from any goroutine, except Poll and, with
// [Config.Manual], Shutdown and Close. With Manual the program calls [Server.Poll], for
// example in every tick of a game, and Poll runs the loop and the handlers. The server then
// has no goroutine except those of DTLS handshakes that run.
//
// # Channels of a page
//
// A page may have [Settings].MaxChannels channels open at once, by default 16: in-band or
// negotiated, unordered or ordered. On an ordered channel without retransmission the
// server drops a message that arrives after a later one. If a page opens one channel too
// many, or a reliable channel without [Settings].AllowReliable, the server closes the
// channel by a stream reset, and the page gets a close event. [Stats] counts these
// channels. The Logger gets a line for the first one of each connection and reason, but at
// most 20 lines a minute for one reason.
//
// # Pages whose network changes
//
// The server follows a page whose datagrams come from another address. A page that calls
// pc.restartIce(), for example when its computer has moved to another network, posts the new offer
// as it has posted the first one, and gives the answer to setRemoteDescription: the connection
// keeps its channels. The server recognises the offer by the session of its o= line and by its
// fingerprint. A page of an [Engine] gets a new connection.
//
// # Engines
//
// A package that builds sessions or other protocols on this server, as package godwit
// does, gives each connection an [Engine]: see [Config.Engine] and the example. A program
// without engines needs none of the following.
//
// The server calls the engine for what happens on the connection and when its deadline has
// come. Other goroutines that call into an engine lock its connection with [Conn.Acquire]
// and unlock it with [Conn.Release], which sends what the engine has to send. Server.Flush
// sends the messages that Release has left for later. [Server.Withdraw] ends a connection
// whose page may not have connected yet. [Config.Resumes] tells the server which
// connections continue a session that exists already.
//
// # What it is not for
//
// The package sends no message again and does not split messages. A message must fit one
// packet, [MaxMessage] bytes, for which the path must carry a UDP payload of 1,225 bytes.
// A message that is too large for the path is lost, and there is no error. For channels
// with promises use package godwit. The package has no media, no TURN, and no ICE except
// the lite agent.
package rtcserver
