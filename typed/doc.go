// Package typed gives channels, requests and the connect message the types of Go. A program
// declares them once, in a struct, which is the table of the game:
//
//	type Game struct {
//		Input typed.ToServer[Input]     `godwit:"sequenced"`
//		World typed.ToClient[World]     `godwit:"sequenced,max=2048"`
//		Chat  typed.Both[Line]          `godwit:"reliable-ordered"`
//		Voice typed.Both[typed.Bytes]   `godwit:"unreliable"`
//		Join  typed.ServerCall[Name, Seat]
//		Hello typed.Hello[Hello]
//	}
//
//	var game = typed.Must[Game]()
//
// Each field is a handle. The server has game.World.Send(c, w), game.World.Broadcast(srv, w) and
// game.Input.On, which makes a handler. [Server] puts the table and the handlers into a
// [godwit.Config], [Client] into a [client.SessionConfig], and [Local] into a
// [godwit.LocalConfig]. A message on the wrong end, or of the wrong type, does not compile.
//
// # Tags
//
// The tag of a channel begins with the mode: unreliable, sequenced, reliable-unordered or
// reliable-ordered. Then come, where needed, max=, queue=, priority=, guarantee=, weight=,
// copies= and compress, which are the fields MaxMessage, QueueLimit, Priority, Guarantee, Weight,
// Copies and Compress of [channel.Channel], and json. Every row may have name=; without it, the field TickCount has the
// name tickCount. The channels have their numbers in the order of the fields, from 1.
//
// # Codecs
//
// A type of messages needs two methods of the standard library's: AppendBinary of
// [encoding.BinaryAppender] and UnmarshalBinary of [encoding.BinaryUnmarshaler], both with a
// pointer as receiver or a value. godwit-gen writes them. UnmarshalBinary must set the whole
// value and keep nothing of its argument. The tag json needs no methods: the messages are those
// of [encoding/json]. [Bytes] is for a channel without a type. If the type has a method
// GodwitSchema() string, too, the text is part of the table: the server refuses a client whose
// text differs, and tells it the first difference. The text has no spaces and no line feeds.
//
// A message that is sent is encoded into memory that is used again. Sending, to one or to many,
// allocates nothing if AppendBinary does not and the message has at most 64 KiB. A handler may
// keep the value that it gets.
//
// # Bad messages
//
// A message that UnmarshalBinary refuses never reaches a handler. It is counted (see [BadStats]).
// On an unreliable or sequenced channel it is dropped, and nothing else happens. On a reliable
// channel, in a request, in a reply and in the connect message, it ends the session with
// [session.CloseProtocolError] and a text such as "chat: truncated".
//
// Messages of a row without a handler go to the program's own Message or Request func, as
// bytes; [ToServer.Decode] and the like read them.
package typed
