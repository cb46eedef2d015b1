// Package fleet makes several godwit servers, the nodes, one fleet: groups and players that are
// reached from every node. The nodes talk to each other over NATS. Without an address the process
// starts a NATS server of its own, so one machine needs nothing else.
//
//	f, err := fleet.Join(ctx, fleet.Config{NATS: "nats://10.0.0.2:4222"})
//	...
//	srv, err := f.Listen(":7777", godwit.Config{Channels: table, Handler: handler})
//	...
//	lobby := f.Group("lobby")
//	lobby.Join(c)                       // c is a session of this node
//	lobby.Send(Chat, []byte("hello"))   // every member, on every node
//	f.Send("ada", Chat, []byte("psst")) // one player, on whichever node she is
//
// # What is promised
//
// Within a node everything is as in package godwit. Between nodes a message arrives at most once, and
// the messages that one goroutine of a node sends to one group, or to one player, arrive in order. A
// message can be lost: when NATS is away, when a connection to NATS fails with messages in it, or when
// a queue is full. The receiving node counts the gaps that it sees in the numbers of a group's messages
// as [Stats].Lost. Once a message has reached the node of a session, the mode of its channel says what
// is promised from there on.
//
// When NATS is away the nodes go on alone: sessions notice nothing, and only what is for other nodes is
// dropped and counted. [Config].WhenAway says whether clients are admitted that the whole fleet would have
// to agree on.
//
// # Who calls what
//
// All methods may be called from any goroutine and in handlers, and do not wait, except those that say so:
// [Join], [Fleet.Request], [Fleet.Where], [Fleet.Seat], [Fleet.Claim], [Fleet.Find], [Fleet.Move], [Fleet.Drain], [Room.Release] and
// [Fleet.Close]. In a handler most of these return session.ErrInHandler; use [Fleet.Ask] there. What other nodes send is processed by one goroutine of the
// fleet, in order; the funcs given to Ask run on it and must not block.
//
// # What it is not for
//
// The nodes trust each other, and so does whoever may connect to the NATS server: give NATS a password
// or credentials, and TLS between machines. The package stores no state of the game; it only carries
// the state of a player who moves to another node.
package fleet
