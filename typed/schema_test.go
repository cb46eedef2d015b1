package typed_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/typed"
)

// A wide is an input with another schema.
type wide struct{ input }

func (m *wide) GodwitSchema() string { return "x:int16/fixed;y:int32" }

// A longer is an input with one field more.
type longer struct{ input }

func (m *longer) GodwitSchema() string { return "x:int16/fixed;y:int16/fixed;z:bool" }

// small is the table of the server of the test below.
type small struct {
	Input typed.ToServer[input]   `godwit:"sequenced"`
	Raw   typed.Both[typed.Bytes] `godwit:"unreliable"`
	Join  typed.ServerCall[input, line]
	Hello typed.Hello[[]string] `godwit:"json"`
}

func TestTheSchemaIsPartOfTheTable(t *testing.T) {
	c := testkit.Must(typed.Server(typed.Must[small](), godwit.Config{}))
	if got, want := c.Channels[0].Schema, "x:int16/fixed;y:int16/fixed"; got != want {
		t.Errorf("the schema of input is %q, want %q", got, want)
	}
	if got := c.Channels[1].Schema; got != "" {
		t.Errorf("the schema of raw is %q, want none", got)
	}
	if got, want := c.Schema, "join.request.x:int16/fixed;join.request.y:int16/fixed;hello:json"; got != want {
		t.Errorf("the schema of requests and hello is %q, want %q", got, want)
	}
}

// The server refuses a client of another schema when it connects, and the client's error has the
// first difference in words.
func TestClientsOfAnotherSchemaAreRefused(t *testing.T) {
	type wideInput struct {
		Input typed.ToServer[wide]    `godwit:"sequenced"`
		Raw   typed.Both[typed.Bytes] `godwit:"unreliable"`
		Join  typed.ServerCall[input, line]
		Hello typed.Hello[[]string] `godwit:"json"`
	}
	type longerInput struct {
		Input typed.ToServer[longer]  `godwit:"sequenced"`
		Raw   typed.Both[typed.Bytes] `godwit:"unreliable"`
		Join  typed.ServerCall[input, line]
		Hello typed.Hello[[]string] `godwit:"json"`
	}
	type jsonRaw struct {
		Input typed.ToServer[input]   `godwit:"sequenced"`
		Raw   typed.Both[typed.Bytes] `godwit:"unreliable,json"`
		Join  typed.ServerCall[input, line]
		Hello typed.Hello[[]string] `godwit:"json"`
	}
	type wideJoin struct {
		Input typed.ToServer[input]   `godwit:"sequenced"`
		Raw   typed.Both[typed.Bytes] `godwit:"unreliable"`
		Join  typed.ServerCall[wide, line]
		Hello typed.Hello[[]string] `godwit:"json"`
	}
	type noHello struct {
		Input typed.ToServer[input]   `godwit:"sequenced"`
		Raw   typed.Both[typed.Bytes] `godwit:"unreliable"`
		Join  typed.ServerCall[input, line]
	}
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		c := testkit.Must(typed.Server(typed.Must[small](), godwit.Config{}))
		w := &world{t: t, network: network}
		w.srv = testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), c))
		defer w.srv.Close()
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.1:0"))
		e := testkit.Must(client.Serve(socket, client.Config{HTTP: &http.Client{Transport: w}}))
		defer e.Close()
		none := client.SessionConfig{Hello: []byte("[]")}
		for _, tt := range []struct {
			sc   client.SessionConfig
			want string
		}{
			{testkit.Must(typed.Client(typed.Must[wideInput](), none)), "input.y: server int16/fixed, client int32"},
			{testkit.Must(typed.Client(typed.Must[longerInput](), none)), "input.z: server nothing, client bool"},
			{testkit.Must(typed.Client(typed.Must[jsonRaw](), none)), "raw: server bytes, client :json"},
			{testkit.Must(typed.Client(typed.Must[wideJoin](), none)), "join.request.y: server int16/fixed, client int32"},
			{testkit.Must(typed.Client(typed.Must[noHello](), none)), "hello: server json, client nothing"},
			{testkit.Must(typed.Client(typed.Must[small](), none)), ""},
		} {
			s, err := e.Join(t.Context(), "http://game.example/godwit/", tt.sc)
			switch {
			case err == nil && tt.want == "":
				s.Close(0, "")
			case err == nil || tt.want == "" || !strings.Contains(err.Error(), tt.want):
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		}
	})
}
