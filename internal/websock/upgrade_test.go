package websock_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/websock"
)

// A request names the protocol and a ticket, in any order and in any number of headers of at most 200
// bytes.
func TestTheTicketOfARequest(t *testing.T) {
	long := strings.Repeat("x", 200-len("godwit.1,ticket."))
	for _, c := range []struct {
		header string // its lines, separated by |
		ticket string // "" if there is none
	}{
		{"godwit.1,ticket.abc", "abc"},
		{"godwit.1, ticket.abc", "abc"},
		{" ticket.abc ,\tgodwit.1 ", "abc"},
		{"other, ticket.abc, another, godwit.1", "abc"},
		{"ticket.abc|godwit.1", "abc"},
		{"ticket.abc, ticket.def, godwit.1", "abc"},
		{"ticket., ticket.def, godwit.1", "def"},
		{"godwit.1,ticket." + long, long},
		{"godwit.1,ticket." + long + "x", ""},
		{"godwit.1,ticket.abc|" + long + long, ""},
		{"", ""},
		{"godwit.1", ""},
		{"ticket.abc", ""},
		{"godwit.1, ticket.", ""},
		{"godwit.2, ticket.abc", ""},
		{"godwit.1x, ticket.abc", ""},
		{"godwit.1, Ticket.abc", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for line := range strings.SplitSeq(c.header, "|") {
			r.Header.Add("Sec-WebSocket-Protocol", line)
		}
		if ticket, ok := websock.Ticket(r); ok != (c.ticket != "") || ok && ticket != c.ticket {
			t.Errorf("%q: %q %v, want %q", c.header, ticket, ok, c.ticket)
		}
	}
}

// Datagrams that come with the request, before the server has answered it, are not lost.
func TestDatagramsThatComeWithTheRequest(t *testing.T) {
	for _, n := range []int{1, 3} {
		onSite(t, func(t *testing.T, s *site) {
			conn := testkit.Must(s.pipes.Dial(t.Context(), "", ""))
			defer conn.Close()
			request := "GET / HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
			for range n + 1 {
				request += "\x82\xfe\x04\x4c\x00\x00\x00\x00" + strings.Repeat("x", 1100)
			}
			// The first part ends within a frame.
			first := len(request) - 600
			go func() {
				io.WriteString(conn, request[:first])
				io.WriteString(conn, request[first:])
			}()
			go io.Copy(io.Discard, conn)
			e := s.start(<-s.opened)
			for range n + 1 {
				if b := <-e.came; string(b) != strings.Repeat("x", 1100) {
					t.Errorf("%d bytes arrive", len(b))
				}
			}
			conn.Close()
			<-e.ended
		})
	}
}

// A server's Conn has the address that it was given, and the page of its client any origin. A request that is no upgrade is answered, and
// makes no Conn.
func TestAccept(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		e, ws := s.server()
		if got := e.RemoteAddr(); got != netip.MustParseAddrPort("192.0.2.1:7") {
			t.Errorf("the address is %v", got)
		}
		if got := ws.Subprotocol(); got != "godwit.1" {
			t.Errorf("the subprotocol is %q", got)
		}
		ws.CloseNow()
		page := http.Header{"Origin": {"https://page.example"}} // not of the host of the request
		conn, _, err := websocket.Dial(t.Context(), "ws://game.example/", &websocket.DialOptions{HTTPClient: s.pipes.Client(), HTTPHeader: page})
		if err != nil {
			t.Fatalf("a page of another host: %v", err)
		}
		s.start(<-s.opened)
		conn.CloseNow()
	})
	w := httptest.NewRecorder()
	if c, err := websock.Accept(w, httptest.NewRequest(http.MethodGet, "/", nil), netip.AddrPort{}, nil); err == nil || c != nil || w.Code != http.StatusUpgradeRequired {
		t.Errorf("a request that is no upgrade: status %d, %v", w.Code, err)
	}
}

// unable is a ResponseWriter whose connection cannot be taken over.
type unable struct{ *httptest.ResponseRecorder }

func (unable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrHijacked }

// A connection that cannot be taken over makes no Conn.
func TestAcceptWithoutAConnection(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	if c, err := websock.Accept(unable{httptest.NewRecorder()}, r, netip.AddrPort{}, nil); err == nil || c != nil {
		t.Errorf("%v, %v", c, err)
	}
}

// A server that refuses, or that does not select the protocol, is no link. Its connection is closed.
func TestServersThatAreNoLink(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"refusal": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }, "403"},
		"no subprotocol": {func(w http.ResponseWriter, r *http.Request) {
			ws, err := websocket.Accept(w, r, nil)
			if err == nil {
				ws.Read(context.Background()) // until the client has closed it
			}
		}, "subprotocol godwit.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var over sync.WaitGroup
			over.Add(1)
			pipes := testkit.ServeHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer over.Done()
				c.answer(w, r)
			}))
			conn, err := websock.Dial(t.Context(), "ws://game.example/", "x", pipes.Client(), nil, nil)
			if conn != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			over.Wait()
		})
	}
}

// A server may send a client as many pings as a client may send a server. One too many ends the connection.
func TestPingsOfAServer(t *testing.T) {
	onSite(t, func(t *testing.T, s *site) {
		servers := make(chan *websocket.Conn, 1)
		pipes := testkit.ServeHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ws := testkit.Must(websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{websock.Protocol}}))
			servers <- ws
			status(ws) // reads until the end
		}))
		e := s.start(testkit.Must(websock.Dial(t.Context(), "ws://game.example/", "x", pipes.Client(), nil, s.buffers)))
		ws := <-servers
		for i := range 16 {
			if err := ws.Ping(t.Context()); err != nil {
				t.Fatalf("ping %d: %v", i+1, err)
			}
		}
		if err := ws.Ping(t.Context()); err == nil {
			t.Fatal("the last ping is answered")
		}
		if err := <-e.ended; !websock.Broken(err) || err.Error() != "too many pings" {
			t.Errorf("it ends with %v", err)
		}
	})
}

// The request names the protocol and the ticket, and has the program's headers.
func TestTheRequestOfAClient(t *testing.T) {
	var seen *http.Request
	pipes := testkit.ServeHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Clone(context.Background())
		w.WriteHeader(http.StatusForbidden)
	}))
	header := http.Header{"Authorization": {"Basic x"}}
	if _, err := websock.Dial(t.Context(), "ws://game.example/a?b=c", "abc", pipes.Client(), header, nil); err == nil {
		t.Error("a refusal is no error")
	}
	ticket, ok := websock.Ticket(seen)
	if !ok || ticket != "abc" || seen.URL.String() != "/a?b=c" || seen.Header.Get("Authorization") != "Basic x" {
		t.Errorf("%q %v %v", ticket, seen.URL, seen.Header)
	}
	if len(header) != 1 {
		t.Errorf("the program's headers are changed: %v", header)
	}
}
