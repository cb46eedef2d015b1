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
// [Conn.Request] and [Conn.Ask] ask the other end for something, [Conn.Close] ends
// the session with a reason that both ends learn. [Server.Broadcast] and [Group]
// send to many.
//
// # Clients
//
// A page imports godwit.js, which the server serves below its own path; the README has
// an example, and web/README.md the rest. A native program uses package client, whose Connect begins a Session with
// the same table. [Server.Local] connects a client in the same process. All of them
// say the same bytes; docs/SESSION.md has them for others.
//
// # What the channels promise
//
// An [Unreliable] message arrives at most once. A [Sequenced] one also never after a
// newer one of its channel, and a newer one takes the place of one that still waits
// to be sent. A [ReliableUnordered] message arrives exactly once, a
// [ReliableOrdered] one exactly once and in order. Nothing is promised between
// channels. The reliable promises outlive the link: a player whose network goes away
// for less than [Config.Grace] loses and repeats nothing.
//
// # Who calls what
//
// Handlers of one Conn run one at a time and in order, on the goroutine of the link
// it is on. With one shard, which is the default, all of them run on one goroutine,
// so the program needs no lock for what only handlers touch; with more shards
// handlers of different Conns run at the same time. A handler must not block: its
// shard serves nobody meanwhile.
//
// No lock is held while a handler runs. It may call everything here but what waits:
// [Conn.Request], [Server.Shutdown], [Server.Close], [Server.Poll] and the calls of
// packages rtcserver and client that wait return [ErrInHandler] there, because what
// they wait for would have to run on the same goroutine. [Conn.Ask] is what a handler
// uses instead of Request. What a handler sends leaves when the batch of datagrams is
// done that the handler belongs to.
//
// A handler that panics ends the process, as the panic of any goroutine does. With
// Config.Manual it panics through Poll, and a program that recovers there may go on:
// the event at which the handler panicked counts as told, and the next Poll tells the
// rest. What panics during an HTTP request (Authorize, Spend, AdmitFull) ends the
// request, which net/http reports, and leaves nothing behind.
//
// All methods may be called from any goroutine. With [Config.Manual] there is no
// goroutine at all: the program calls [Server.Poll] in every tick, in which the
// handlers run, and [Server.Flush] when it has sent what it wants to send. HTTP
// requests are answered on goroutines of their own nevertheless.
//
// # Who owns what
//
// The bytes that a handler gets are valid until it returns, those of an [Event] until
// the next one. Bytes that are given to Send and its like are copied, for Broadcast and
// groups once for all, so they may be used again at once.
//
// A [Conn] stays the same when its client resumes over a new link, and with it User.
//
// # Order of events
//
// For each Conn: Open; then Message, Request, Receipt and the results of own
// requests as they came, Interrupted and Resumed in turns; then the final results of
// all requests that still wait; Close. Nothing comes before Open and nothing after
// Close. A client that never gets as far as Open causes no event at all.
//
// # What it is not for
//
// Raw datagrams without channels, for pages that use no godwit script, are the
// business of package rtcserver, which this is built on. There is no media, and
// nothing here knows what a game is.
package godwit
