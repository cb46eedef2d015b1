// Package client connects a native Go program to a godwit server, as a web page
// would: with the same signaling over HTTP and the same datagrams over UDP. It is
// for bots, tools and native games, and for tests of servers.
//
// [Dial] makes one connection with a socket of its own. The [Handler] of the
// [Config] gets the messages of the server, and [Conn.Send] sends a message:
//
//	conn, err := client.Dial(ctx, "https://game.example/new_rtc_session", client.Config{
//		Handler: client.Handler{
//			Message: func(c *client.Conn, m client.Message) { fmt.Printf("%s\n", m.Data) },
//		},
//	})
//	...
//	err = conn.Send(0, client.Text, []byte("hello"))
//
// A lost message is not sent again, and a late message does not delay other messages.
// A message must fit one packet, [MaxMessage] bytes.
//
// # Sessions
//
// [Connect] begins a session with a server of package godwit: channels with promises,
// requests, and a lifetime that is longer than that of one connection. When nothing
// arrives from the server, the [Session] connects again by itself and continues where
// it was. With [SessionConfig].Renew it begins a new session when the old one is over.
// Where WebRTC does not open, the Session uses a WebSocket if the server offers one: see
// [SessionConfig].Links.
// The terms are those of package godwit; the errors, codes and events are in package session.
//
// # Many connections
//
// An [Endpoint] is one socket with any number of connections, one goroutine and
// one lock: call [Listen], then [Endpoint.Dial] or [Endpoint.Join] from any number of
// goroutines. A server identifies its clients by their addresses, so several
// connections to the same server need [Config.Sources], from which each connection gets
// an address. With it one process can be thousands of clients, usually over loopback.
//
// # Who calls what
//
// The endpoint's goroutine runs the handlers, one at a time. No lock is held while a
// handler runs. A handler must not block, and must not make a call that waits: [Dial],
// [Connect], [Endpoint.Dial], [Endpoint.Connect], [Endpoint.Join], [Endpoint.Close] and
// [Session.Request] return [session.ErrInHandler] in a handler. All methods may be called
// from any goroutine; with [Config].Manual there are exceptions.
//
// With [Config].Manual no goroutine of the endpoint runs a handler. The handlers run in
// [Endpoint.Poll], which a game calls in each frame, and which yields the events that the
// handlers have no func for. They also run in the calls that wait. A DTLS handshake, a
// WebSocket, and a session that looks for a link still have goroutines of their own while
// they last.
//
// The package connects only to servers with an ICE-lite agent. It opens no channel
// in-band: its messages go to streams that the server treats as negotiated channels.
package client
