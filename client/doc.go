// Package client connects a native Go program to a godwit server, as a web page
// would: with the same signaling over HTTP and the same datagrams over UDP. It is
// for bots, tools and native games, and for tests of servers.
//
// [Dial] makes one connection with a socket of its own. Its messages come to the
// [Handler] of the [Config], and [Conn.Send] sends some:
//
//	conn, err := client.Dial(ctx, "https://game.example/new_rtc_session", client.Config{
//		Handler: client.Handler{
//			Message: func(c *client.Conn, m client.Message) { fmt.Printf("%s\n", m.Data) },
//		},
//	})
//	...
//	err = conn.Send(0, client.Text, []byte("hello"))
//
// A message that is lost stays lost, one that is late holds up no other. It has to
// fit one packet, [MaxMessage] bytes.
//
// # Sessions
//
// [Connect] begins a session with a server of package godwit: channels with promises,
// requests, and a life that is longer than its connection's. A [Session] connects
// again by itself when its server is not heard, and goes on where it was; with
// [SessionConfig].Renew it also starts over when it is over. The words are those of
// package godwit.
//
// # Many connections
//
// An [Endpoint] is one socket with any number of connections, one goroutine and
// one lock: [Listen], then [Endpoint.Dial] or [Endpoint.Join] from as many goroutines
// as one likes. A server tells its clients apart by their addresses, so connections
// to the same server need [Config.Sources], out of which each gets an address. That
// is how one process is thousands of clients, and nearly always means loopback.
//
// # Who calls what
//
// The endpoint's goroutine runs the handlers, one at a time; no lock is held
// meanwhile, so a handler may call anything here but what would wait for it:
// [Endpoint.Close], and [Session.Request], which says so. It must not block. All
// methods may be called from any goroutine.
//
// The package knows servers with a lite ICE agent and no other peers. It opens no
// channel in-band: what it sends goes to streams that the server takes for
// negotiated channels.
package client
