package typed_test

import (
	"encoding/binary"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/pack"
	"github.com/godwit-rtc/godwit/typed"
)

// An input is a message with a codec that is written by hand: 2 bytes each.
type input struct{ X, Y int16 }

var errShort = errors.New("too short")

func (m *input) AppendBinary(b []byte) ([]byte, error) {
	if m.X == impossible {
		return b, errors.New("X is out of range")
	}
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, uint16(m.X)), uint16(m.Y)), nil
}

func (m *input) UnmarshalBinary(b []byte) error {
	if len(b) != 4 {
		return errShort
	}
	*m = input{int16(binary.LittleEndian.Uint16(b)), int16(binary.LittleEndian.Uint16(b[2:]))}
	return nil
}

func (m *input) GodwitSchema() string { return "x:int16/fixed;y:int16/fixed" }

// impossible is a value of input.X that its codec refuses to encode.
const impossible = -32768

// A line is a message with a string, which a decoder has to copy.
type line struct{ Text string }

func (m line) AppendBinary(b []byte) ([]byte, error) { return append(b, m.Text...), nil }

func (m *line) UnmarshalBinary(b []byte) error {
	if strings.Contains(string(b), "\xff") {
		return errors.New("not UTF-8")
	}
	m.Text = string(b)
	return nil
}

// A coded is a message that is always bad: its first byte is the cause.
type coded struct{}

func (coded) AppendBinary(b []byte) ([]byte, error) { return b, pack.Error{Cause: pack.CauseRange} }

func (coded) UnmarshalBinary(b []byte) error { return pack.Error{Cause: pack.Cause(b[0])} }

// A hello is a connect message that must have a name.
type hello struct{ Name string }

func (m *hello) AppendBinary(b []byte) ([]byte, error) {
	if !utf8.ValidString(m.Name) {
		return b, errors.New("the name is not UTF-8")
	}
	return append(b, m.Name...), nil
}

func (m *hello) UnmarshalBinary(b []byte) error {
	if len(b) == 0 {
		return errShort
	}
	m.Name = string(b)
	return nil
}

// A game is a table with rows of every kind.
type game struct {
	Input typed.ToServer[input]          `godwit:"sequenced"`
	World typed.ToClient[line]           `godwit:"sequenced,max=2048"`
	Chat  typed.Both[line]               `godwit:"reliable-ordered"`
	Voice typed.Both[typed.Bytes]        `godwit:"unreliable"`
	Score typed.ToClient[map[string]int] `godwit:"reliable-unordered,json,name=points"`
	Where typed.ToClient[input]          `godwit:"sequenced"`
	Place typed.Both[input]              `godwit:"sequenced"`
	Coded typed.ToServer[coded]          `godwit:"unreliable"`
	Sure  typed.ToServer[coded]          `godwit:"reliable-unordered"`
	Any   typed.ToClient[map[string]any] `godwit:"reliable-ordered,json"`
	Join  typed.ServerCall[line, input]
	Ping  typed.ClientCall[input, input]
	Hello typed.Hello[hello]
}

// A world is a server with clients on a network in memory, and what happens there.
type world struct {
	testkit.Notes
	t       *testing.T
	network *netsim.Network
	srv     *godwit.Server
	table   *game
	ends    []*godwit.Conn // the server's ends of sessions, in the order in which they open
}

// inWorld runs a test with a server that has the configuration, and handlers for the table.
func inWorld(t *testing.T, c godwit.Config, handlers func(w *world) []typed.ServerHandler, test func(t *testing.T, w *world)) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, table: typed.Must[game]()}
		if c.Handler.Open == nil {
			c.Handler.Open = func(c *godwit.Conn) { w.ends = append(w.ends, c) }
		}
		if c.Handler.Close == nil {
			c.Handler.Close = func(_ *godwit.Conn, why godwit.CloseReason) { w.Note("server: %v", why) }
		}
		c := testkit.Must(typed.Server(w.table, c, handlers(w)...))
		w.srv = testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), c))
		defer w.srv.Close()
		test(t, w)
	})
}

// RoundTrip has the server answer a request of a native client.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	r.RemoteAddr = "198.51.100.1:1"
	return testkit.Serve(w.srv, r).Result(), nil
}

// native connects a native client that has handlers.
func (w *world) native(handlers ...typed.ClientHandler) typed.ClientEnd {
	w.t.Helper()
	sc := testkit.Must(typed.Client(w.table, client.SessionConfig{Hello: []byte("native"), Handler: client.SessionHandler{
		Close: func(_ *client.Session, why godwit.CloseReason) { w.Note("client: %v", why) },
	}}, handlers...))
	return w.join(sc)
}

// join connects a native client.
func (w *world) join(sc client.SessionConfig) typed.ClientEnd {
	w.t.Helper()
	socket := testkit.Listen(w.t, w.network, netip.MustParseAddrPort("198.51.100.1:0"))
	e := testkit.Must(client.Serve(socket, client.Config{HTTP: &http.Client{Transport: w}}))
	w.t.Cleanup(func() { e.Close() })
	s := testkit.Must(e.Join(w.t.Context(), "http://game.example/godwit/", sc))
	synctest.Wait()
	return typed.Over(s)
}

// want waits until everything rests, and compares what has happened.
func (w *world) want(lines ...string) {
	w.t.Helper()
	synctest.Wait()
	w.compare(w.Take(), lines)
}

// wantInAnyOrder is want where several ends note what happens.
func (w *world) wantInAnyOrder(lines ...string) {
	w.t.Helper()
	synctest.Wait()
	got := w.Take()
	slices.Sort(got)
	slices.Sort(lines)
	w.compare(got, lines)
}

func (w *world) compare(got, want []string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("what happened:\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// wantEnd waits until the session of me is over.
func (w *world) wantEnd(me typed.ClientEnd, lines ...string) {
	w.t.Helper()
	<-me.Done()
	w.wantInAnyOrder(lines...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// local connects a client in this process that has handlers.
func (w *world) local(name string, handlers ...typed.ClientHandler) typed.ClientEnd {
	w.t.Helper()
	c := testkit.Must(typed.Local(w.table, godwit.LocalConfig{Identity: godwit.Identity{Name: name}, Hello: []byte(name), Handler: godwit.Handler{
		Close: func(_ *godwit.Conn, why godwit.CloseReason) { w.Note("%s: %v", name, why) },
	}}, handlers...))
	end := typed.OverLocal(testkit.Must(w.srv.Local(c)))
	synctest.Wait()
	return end
}

// past is before the time of every bubble.
var past = time.Unix(1, 0)
