package typed_test

import (
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/typed"
)

// The table has the channels in the order of the fields, with what the tags say.
func TestTableHasTheFields(t *testing.T) {
	type table struct {
		A         typed.ToServer[input] `godwit:"sequenced"`
		First     typed.ServerCall[line, line]
		TickCount typed.ToClient[line]    `godwit:"reliable-unordered,max=2048,queue=4096,priority=2,guarantee=1000,weight=3,copies=-1"`
		Text      typed.Both[line]        `godwit:"reliable-ordered,compress"`
		C         typed.Both[typed.Bytes] `godwit:"unreliable,name=sea"`
		D         typed.Both[[]int]       `godwit:"reliable-ordered,json"`
	}
	game := testkit.Must(typed.New[table]())
	c := testkit.Must(typed.Server(game, godwit.Config{}))
	if want := (channel.Channels{
		{Name: "a", Mode: channel.Sequenced, Direction: channel.ToServer, Schema: "x:int16/fixed;y:int16/fixed"},
		{
			Name: "tickCount", Mode: channel.ReliableUnordered, Direction: channel.ToClient, MaxMessage: 2048,
			QueueLimit: 4096, Priority: 2, Guarantee: 1000, Weight: 3, Copies: -1,
		},
		{Name: "text", Mode: channel.ReliableOrdered, Compress: true},
		{Name: "sea", Mode: channel.Unreliable},
		{Name: "d", Mode: channel.ReliableOrdered, Schema: ":json"},
	}); !slices.Equal(c.Channels, want) {
		t.Errorf("the table is %+v,\nwant %+v", c.Channels, want)
	}
	sc := testkit.Must(typed.Client(game, client.SessionConfig{}))
	if !slices.Equal(sc.Channels, c.Channels) {
		t.Errorf("the client's table is %+v,\nwant %+v", sc.Channels, c.Channels)
	}
	if game.TickCount.ID() != 2 || game.TickCount.Name() != "tickCount" || game.First.Name() != "first" {
		t.Errorf("TickCount is %d, %q, want 2, tickCount; First is %q, want first", game.TickCount.ID(), game.TickCount.Name(), game.First.Name())
	}
}

// Each of the two has half of a codec.
type (
	writes struct{}
	reads  struct{}
)

func (writes) AppendBinary(b []byte) ([]byte, error) { return b, nil }
func (*reads) UnmarshalBinary([]byte) error          { return nil }

// Each struct that is no table is refused with the field and what to do.
func TestStructsThatAreNoTables(t *testing.T) {
	type empty struct{}
	type unexported struct {
		input typed.ToServer[input] `godwit:"sequenced"`
	}
	type other struct{ Input input }
	type pointer struct {
		Input *typed.ToServer[input] `godwit:"sequenced"`
	}
	type noTag struct{ Input typed.ToServer[input] }
	type noMode struct {
		Input typed.ToServer[input] `godwit:"max=20,sequenced"`
	}
	type unknown struct {
		Input typed.ToServer[input] `godwit:"sequenced,colour=red"`
	}
	type twice struct {
		Input typed.ToServer[input] `godwit:"sequenced,max=1,max=2"`
	}
	type noNumber struct {
		Input typed.ToServer[input] `godwit:"sequenced,max=1k"`
	}
	type comma struct {
		Input typed.ToServer[input] `godwit:"sequenced,"`
	}
	type commas struct {
		Join typed.ServerCall[line, line] `godwit:"json,,name=join"`
	}
	type noName struct {
		Input typed.ToServer[input] `godwit:"sequenced,name="`
	}
	type compressed struct {
		Input typed.ToServer[input] `godwit:"sequenced,compress"`
	}
	type valued struct {
		Input typed.ToServer[input] `godwit:"sequenced,json=1"`
	}
	type noCodec struct {
		Input typed.ToServer[struct{ X int }] `godwit:"sequenced"`
	}
	type halfCodec struct {
		Join typed.ServerCall[line, struct{ X int }]
	}
	type noQuery struct {
		Join typed.ServerCall[struct{ X int }, line]
	}
	type onlyWrites struct {
		Input typed.ToServer[writes] `godwit:"sequenced"`
	}
	type onlyReads struct {
		Input typed.ToServer[reads] `godwit:"sequenced"`
	}
	type sameChannel struct {
		Input typed.ToServer[input] `godwit:"sequenced"`
		Move  typed.ToServer[input] `godwit:"sequenced,name=input"`
	}
	type helloMode struct {
		Hello typed.Hello[line] `godwit:"sequenced"`
	}
	type helloCodec struct{ Hello typed.Hello[struct{ X int }] }
	type sameName struct {
		Input typed.ToServer[input]        `godwit:"sequenced"`
		Move  typed.ServerCall[line, line] `godwit:"name=input"`
	}
	type twoHellos struct {
		Hello typed.Hello[line]
		Again typed.Hello[line]
	}
	type namedHello struct {
		Hello typed.Hello[line] `godwit:"name=hi"`
	}
	type callWithMode struct {
		Join typed.ServerCall[line, line] `godwit:"sequenced"`
	}
	type badLimit struct {
		Input typed.ToServer[input] `godwit:"sequenced,priority=8"`
	}
	type badName struct {
		Input typed.ToServer[input] `godwit:"sequenced,name=a b"`
	}
	_ = new(unexported).input.ID
	for _, tt := range []struct {
		err  error
		want string
	}{
		{newError[unexported](), `typed: unexported.input: write the name of the field with a capital letter`},
		{newError[other](), `typed: other.Input: typed_test.input is not the type of a row: use ToServer, ToClient, Both, ServerCall, ClientCall or Hello of package typed`},
		{newError[pointer](), `typed: pointer.Input: *typed.ToServer[github.com/godwit-rtc/godwit/typed_test.input] is not the type of a row: use ToServer, ToClient, Both, ServerCall, ClientCall or Hello of package typed`},
		{newError[int](), `typed: a table is a struct, but int is not`},
		{newError[noTag](), `typed: noTag.Input: a channel needs a tag that begins with its mode, such as godwit:"sequenced"`},
		{newError[noMode](), `typed: noMode.Input: the tag begins with "max=20", but must begin with unreliable, sequenced, reliable-unordered or reliable-ordered`},
		{newError[unknown](), `typed: unknown.Input: the tag has "colour=red", which is not known`},
		{newError[twice](), `typed: twice.Input: the tag has max twice`},
		{newError[noNumber](), `typed: noNumber.Input: the tag has "max=1k", but max needs a number`},
		{newError[comma](), `typed: comma.Input: the tag has a comma with nothing behind it`},
		{newError[commas](), `typed: commas.Join: the tag has a comma with nothing behind it`},
		{newError[noName](), `typed: noName.Input: the tag has "name=", which is not known`},
		{newError[compressed](), `typed: compressed.Input: Compress: use a reliable channel`},
		{newError[valued](), `typed: valued.Input: the tag has "json=1", which is not known`},
		{newError[noCodec](), `typed: noCodec.Input: struct { X int } has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[halfCodec](), `typed: halfCodec.Join: struct { X int } has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[noQuery](), `typed: noQuery.Join: struct { X int } has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[onlyWrites](), `typed: onlyWrites.Input: typed_test.writes has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[onlyReads](), `typed: onlyReads.Input: typed_test.reads has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[sameChannel](), `typed: sameChannel.Move: the name "input" is that of Input, too: names must differ`},
		{newError[helloMode](), `typed: helloMode.Hello: the tag has "sequenced", which is not known`},
		{newError[helloCodec](), `typed: helloCodec.Hello: struct { X int } has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag`},
		{newError[sameName](), `typed: sameName.Move: the name "input" is that of Input, too: names must differ`},
		{newError[twoHellos](), `typed: twoHellos.Again: the name "hello" is that of Hello, too: names must differ`},
		{newError[namedHello](), `typed: namedHello.Hello: the tag has name=, but a connect message needs no name`},
		{newError[callWithMode](), `typed: callWithMode.Join: the tag has "sequenced", which is not known`},
		{newError[badLimit](), `typed: badLimit.Input: Priority: use 0, sent first, to 7`},
		{newError[badName](), `typed: badName.Input: Name: use 1 to 64 bytes of UTF-8 without spaces or control characters`},
		{newError[empty](), `typed: empty has no rows`},
		{newError[struct{}](), `typed: the table has no rows`},
	} {
		if got := text(tt.err); got != tt.want {
			t.Errorf("the error is\n     %s\nwant %s", got, tt.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Must returns a struct that is no table")
		}
	}()
	typed.Must[noTag]()
}

func newError[G any]() error {
	_, err := typed.New[G]()
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A handler that would never be called, or not alone, is an error of the config.
func TestHandlersThatDoNotFitTheTable(t *testing.T) {
	g, other, raw := typed.Must[game](), typed.Must[game](), new(game)
	onInput := func(*godwit.Conn, input) {}
	server := func(h ...typed.ServerHandler) error {
		_, err := typed.Server(g, godwit.Config{}, h...)
		return err
	}
	client1 := func(h ...typed.ClientHandler) error {
		_, err := typed.Client(g, client.SessionConfig{}, h...)
		return err
	}
	local := func(h ...typed.ClientHandler) error {
		_, err := typed.Local(g, godwit.LocalConfig{}, h...)
		return err
	}
	_, noTable := typed.Server(raw, godwit.Config{})
	_, noStruct := typed.Server(new(int), godwit.Config{})
	_, channels := typed.Server(g, godwit.Config{Channels: godwit.Channels{{Name: "a"}}})
	_, channelsOfClient := typed.Client(g, client.SessionConfig{Channels: godwit.Channels{{Name: "a"}}})
	for _, tt := range []struct {
		err  error
		want string
	}{
		{noTable, `typed: make the table with typed.New or typed.Must`},
		{noStruct, `typed: a table is a struct, but int is not`},
		{channels, `typed: Config.Channels is set, but game has all channels: give it rows of typed.Bytes`},
		{channelsOfClient, `typed: SessionConfig.Channels is set, but game has all channels: give it rows of typed.Bytes`},
		{server(g.Input.On(onInput), g.Input.On(onInput)), `typed: game.Input has two handlers`},
		{server(other.Input.On(onInput)), `typed: the handler of game.Input is of another table`},
		{server(raw.Input.On(onInput)), `typed: the row is of a struct that neither typed.New nor typed.Must has made`},
		{server(g.Input.On(nil)), `typed: game.Input: the func of the handler is nil`},
		{server(g.Chat.OnServer(nil)), `typed: game.Chat: the func of the handler is nil`},
		{server(g.Join.Serve(nil)), `typed: game.Join: the func of the handler is nil`},
		{server(g.Hello.On(nil)), `typed: game.Hello: the func of the handler is nil`},
		{client1(g.Chat.OnClient(nil)), `typed: game.Chat: the func of the handler is nil`},
		{client1(g.Hello.Say(hello{}), g.Hello.Say(hello{})), `typed: game.Hello has two handlers`},
		{client1(g.Hello.Say(hello{Name: "\xff"})), `typed: game.Hello: the name is not UTF-8`},
		{local(g.World.On(nil)), `typed: game.World: the func of the handler is nil`},
	} {
		if got := text(tt.err); got != tt.want {
			t.Errorf("the error is\n     %s\nwant %s", got, tt.want)
		}
	}
}
