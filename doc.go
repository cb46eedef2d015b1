// Package godwit is a game server that web pages and native programs connect to
// over UDP: channels with promises, requests, groups, tokens, and sessions that
// continue when the client's connection is replaced by another.
//
// Both ends share a table of channels. A server listens on one UDP port, and is an
// [http.Handler] for the request by which a client connects:
//
//	const (
//		Move godwit.ChannelID = 1 + iota // the place in the table, from 1
//		Chat
//	)
//
//	srv, err := godwit.Listen(":7777", godwit.Config{ // UDP
//		Channels: godwit.Channels{
//			{Name: "move", Mode: godwit.Sequenced},
//			{Name: "chat", Mode: godwit.ReliableOrdered},
//		},
//		Handler: godwit.Handler{
//			Open:    func(c *godwit.Conn) { log.Print("hello ", c.ID()) },
//			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
//			Close:   func(c *godwit.Conn, why godwit.CloseReason) { log.Print(why) },
//		},
//	})
//	...
//	http.Handle("/godwit/", srv)
//	log.Fatal(http.ListenAndServe("localhost:8080", nil))
//
// A [Conn] is one player's session. [Conn.Send] queues a message on a channel,
// [Conn.Request] and [Conn.Ask] send a request that the other end answers, [Conn.Close]
// ends the session with a reason that both ends receive. [Server.Broadcast] and [Group]
// send one message to many sessions.
//
// Package session has the words that both ends of a session share: the errors of these calls,
// the codes of a CloseReason, the statuses of requests and the types of events. Package
// channel has those of messages. Package typed gives messages and requests types of Go, in
// place of bytes, and makes the table from them.
//
// # Clients
//
// A page imports godwit.js, which the server serves below its own path; the README has
// an example, and web/README.md describes the rest. A native program uses package
// client, whose Connect begins a Session with the same table. [Server.Local] connects a
// client in the same process. All of them use the same protocol; docs/SESSION.md
// describes it for other implementations. A client connects by an HTTP request or, without one,
// with an invite, which [Server.Invite] or any program with the server's key makes.
//
// # What the channels promise
//
// An [Unreliable] message arrives at most once. A [Sequenced] message arrives at most
// once, and never after a newer message of its channel; a newer message replaces one with
// the same Key that still waits in the queue. A [ReliableUnordered] message arrives exactly once. A
// [ReliableOrdered] message arrives exactly once and in order. There is no order
// between messages of different channels. The reliable promises hold as long as the
// session lasts: if a player's network fails for less than [Config.Grace], no reliable
// message is lost or arrives twice.
//
// # Who calls what
//
// Handlers of one Conn run one at a time and in order, on the goroutine that serves its
// link. Each shard has such a goroutine; one shard is the default. All links that are not
// WebRTC have one more together: WebSockets, the links of [Server.AddLink], and both ends of
// [Server.Local]. Its handlers run one at a time, too, but the goroutine that reads from a
// WebSocket may run them in its place. So handlers of different Conns may run at the same time, and data that
// several Conns use needs a lock. It needs none with Config.Manual, where all handlers run
// inside Poll, and none with one shard if [Config.Links] is only session.LinkWebRTC and the
// program uses neither Local nor AddLink. A handler must not block: while it does, its
// goroutine serves no other client.
//
// No lock is held while a handler runs. A handler may call every function of this
// package except those that wait: [Conn.Request], [Server.Shutdown], [Server.Close],
// [Server.Poll] and the waiting calls of packages rtcserver and client. In a handler
// these return [session.ErrInHandler] (Poll yields it), because they would wait for the
// goroutine that they run on. In place of Request a handler uses [Conn.Ask]. Messages
// that a handler sends leave when all datagrams of the current batch are processed.
//
// A handler that panics ends the process, as a panic in any goroutine does. With
// Config.Manual the panic passes through Poll. A program that recovers there may
// continue: the event of the handler that panicked is not repeated, and the next Poll
// delivers the events after it. Close and Shutdown pass such a panic on, too: the program
// calls them again to end the server. A panic in Authorize, Admit, Spend or AdmitFull ends only
// the HTTP request, as net/http does with every handler, and no session is created. For a client
// with an invite there is no request: a panic in Admit, Spend or AdmitFull ends the process.
//
// All methods may be called from any goroutine, except that with [Config.Manual]
// Poll, Shutdown and Close belong to the goroutine of the game loop. With Manual no
// goroutine of the server runs a handler: the program calls [Server.Poll] in every tick,
// which runs the handlers, and [Server.Flush] after it has sent the messages of the tick.
// Four things still have goroutines: each DTLS handshake while it runs, each WebSocket, Admit,
// Spend and AdmitFull while they run for clients with an invite, and net/http, which answers HTTP requests.
//
// # Who owns what
//
// The bytes that a handler gets are valid until the handler returns. The bytes of an
// [Event] are valid until the next event. Send and all other calls that take bytes
// copy them, so the program may change the bytes as soon as the call returns.
// Broadcast and groups make one copy for all receivers.
//
// When a client resumes over a new link, its [Conn] and Conn.User stay the same.
//
// # Order of events
//
// Each Conn has these events in this order. First Open. Then Message, Request, Receipt,
// Room and the results of this end's requests, in the order in which they happened.
// Interrupted and Resumed come between them; they alternate. For a channel that the other
// end has opened at run time, Channel comes before its messages; ChannelClosed comes after
// all messages and receipts of a channel. Then come the fates of all messages whose receipts
// are missing, and after them the final results of all requests that still wait. Last comes
// Close. There is no event before Open and none after Close. At the server, a client whose
// session never opens causes no event.
//
// # What it is not for
//
// For raw datagrams without channels, and for pages that use no godwit script, use
// package rtcserver, on which this package is built. The package carries no audio or
// video, and contains no game logic.
package godwit
