// Package wrong has mistakes that the compiler finds: each line with the comment "wrong" does not
// compile, and every other line does.
package wrong

import (
	"context"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

type (
	input struct{ X int }
	state struct{ Y int }
)

var game = typed.Must[struct {
	Input typed.ToServer[input]           `godwit:"sequenced,json"`
	World typed.ToClient[state]           `godwit:"sequenced,json"`
	Chat  typed.Both[string]              `godwit:"reliable-ordered,json"`
	Join  typed.ServerCall[string, state] `godwit:"json"`
	Ping  typed.ClientCall[int, string]   `godwit:"json"`
	Hello typed.Hello[string]             `godwit:"json"`
}]()

func directions(ctx context.Context, c *godwit.Conn, s *client.Session, me typed.ClientEnd, e session.End, srv *godwit.Server, g *godwit.Group) {
	game.Input.Send(me, input{})
	game.Input.Send(c, input{}) // wrong
	game.Input.Send(s, input{}) // wrong
	game.Input.Send(e, input{}) // wrong
	game.World.Send(c, state{})
	game.World.Send(me, state{}) // wrong
	game.World.Send(s, state{})  // wrong
	game.World.Broadcast(srv, state{})
	game.World.SendGroup(g, state{})
	game.Input.Broadcast(srv, input{}) // wrong
	game.Input.SendGroup(g, input{})   // wrong
	game.Chat.Send(c, "")
	game.Chat.Send(me, "")
	game.Chat.Send(s, "")
	game.Chat.Broadcast(srv, "")
	game.Join.Request(ctx, me, "")
	game.Join.Request(ctx, c, "") // wrong
	game.Ping.Request(ctx, c, 1)
	game.Ping.Request(ctx, me, 1) // wrong
	game.Ping.Ask(me, 1, nil)     // wrong
	game.Join.Ask(c, "", nil)     // wrong
}

func types(ctx context.Context, c *godwit.Conn, me typed.ClientEnd, srv *godwit.Server) {
	game.Input.Send(me, state{})  // wrong
	game.World.Send(c, input{})   // wrong
	game.World.Broadcast(srv, "") // wrong
	game.Chat.Send(c, 1)          // wrong
	game.Join.Request(ctx, me, 1) // wrong
	game.Hello.Say(1)             // wrong
	var y state
	y, _ = game.Join.Request(ctx, me, "")
	var x input
	x, _ = game.Join.Request(ctx, me, "") // wrong
	_, _ = x, y
	game.Input.On(func(*godwit.Conn, input) {})
	game.Input.On(func(*godwit.Conn, state) {})    // wrong
	game.Input.On(func(typed.ClientEnd, input) {}) // wrong
	game.World.On(func(*godwit.Conn, state) {})    // wrong
	game.Chat.OnServer(func(*godwit.Conn, string) {})
	game.Chat.OnClient(func(*godwit.Conn, string) {}) // wrong
	game.Join.Serve(func(_ *godwit.Conn, q string, r typed.Reply[state]) { r.Reply(state{}) })
	game.Join.Serve(func(_ *godwit.Conn, q string, r typed.Reply[state]) { r.Reply("") }) // wrong
	game.Join.Serve(func(_ *godwit.Conn, q string, r typed.Reply[string]) {})             // wrong
}

func ends() {
	typed.Server(game, godwit.Config{}, game.Input.On(nil))
	typed.Server(game, godwit.Config{}, game.World.On(nil)) // wrong
	typed.Client(game, client.SessionConfig{}, game.World.On(nil), game.Hello.Say(""))
	typed.Client(game, client.SessionConfig{}, game.Input.On(nil)) // wrong
	typed.Local(game, godwit.LocalConfig{}, game.Ping.Serve(nil))
	typed.Local(game, godwit.LocalConfig{}, game.Join.Serve(nil)) // wrong
}
