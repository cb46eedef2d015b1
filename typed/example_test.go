package typed_test

import (
	"context"
	"fmt"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/typed"
)

// The messages, which the server and its clients share. Exported fields are enough, because the
// tags of the table say json; generated code is smaller and faster.
type (
	Move  struct{ DX, DY int }
	Where struct{ X, Y int }
	Name  struct{ Name string }
	Seat  struct{ Number int }
)

// Arena is the table.
type Arena struct {
	Move  typed.ToServer[Move]         `godwit:"sequenced,json"`
	Where typed.ToClient[Where]        `godwit:"sequenced,json"`
	Join  typed.ServerCall[Name, Seat] `godwit:"json"`
}

var arena = typed.Must[Arena]()

// A server and a client in the same process. A native client passes [typed.Client] to
// client.Connect, in place of [typed.Local].
func Example() {
	at := Where{10, 10}
	c, err := typed.Server(arena, godwit.Config{},
		arena.Join.Serve(func(c *godwit.Conn, q Name, r typed.Reply[Seat]) {
			fmt.Println(q.Name, "joins")
			r.Reply(Seat{Number: 7})
		}),
		arena.Move.On(func(c *godwit.Conn, m Move) {
			at.X += m.DX
			at.Y += m.DY
			arena.Where.Send(c, at) // or arena.Where.Broadcast(srv, at)
		}),
	)
	if err != nil {
		panic(err)
	}
	srv, err := godwit.New(c)
	if err != nil {
		panic(err)
	}
	defer srv.Close()

	done := make(chan struct{})
	lc, err := typed.Local(arena, godwit.LocalConfig{}, arena.Where.On(func(_ typed.ClientEnd, w Where) {
		fmt.Println("at", w.X, w.Y)
		close(done)
	}))
	if err != nil {
		panic(err)
	}
	conn, err := srv.Local(lc)
	if err != nil {
		panic(err)
	}
	me := typed.OverLocal(conn)
	seat, err := arena.Join.Request(context.Background(), me, Name{"Ada"})
	fmt.Println("seat", seat.Number, err)
	arena.Move.Send(me, Move{DX: 1})
	<-done
	// Output:
	// Ada joins
	// seat 7 <nil>
	// at 11 10
}
