package webtransport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

const patience = 30 * time.Second // of a test that fails

var table = channel.Channels{
	{Name: "chat", Mode: channel.ReliableOrdered},
	{Name: "move", Mode: channel.Sequenced},
}

// A world is a server that echoes, with WebTransport, on loopback.
type world struct {
	t    *testing.T
	game *godwit.Server
	wt   *Server
	http *httptest.Server
}

func newWorld(t *testing.T, gc godwit.Config, c Config) *world {
	t.Helper()
	gc.Channels = table
	if gc.Handler.Message == nil {
		gc.Handler.Message = func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }
	}
	w := &world{t: t}
	var err error
	if w.game, err = godwit.Listen("127.0.0.1:0", gc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.game.Close() })
	if w.wt, err = Serve(w.game, c); err != nil {
		t.Fatal(err)
	}
	w.http = httptest.NewServer(w.game)
	t.Cleanup(w.http.Close)
	return w
}

// An offered is a link of an answer.
type offered struct {
	Type, URL, Ticket string
	Hashes            []string
}

// ask asks for links as a client without WebRTC, and returns those that the server offers.
func (w *world) ask() []offered {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, fmt.Sprintf("%s/?v=1&channels=%016x", w.http.URL, table.WithDefaults().Hash()), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %s %v", resp.StatusCode, b, err)
	}
	var body struct{ Links []offered }
	if err := json.Unmarshal(b, &body); err != nil {
		w.t.Fatal(err)
	}
	return body.Links
}

// offer returns the WebTransport that the server offers to a new client.
func (w *world) offer() offered {
	w.t.Helper()
	for _, l := range w.ask() {
		if l.Type == session.LinkWebTransport {
			return l
		}
	}
	w.t.Fatal("the server offers no WebTransport")
	return offered{}
}

// dial opens a WebTransport as a browser does: it accepts only the certificates of the hashes.
func dial(ctx context.Context, url string, hashes []string) (*http.Response, *wt.Session, error) {
	d := wt.Transport{
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true,
			VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
				sum := sha256.Sum256(raw[0])
				if !slices.Contains(hashes, base64.StdEncoding.EncodeToString(sum[:])) {
					return errors.New("the certificate has none of the hashes")
				}
				return nil
			},
		},
		QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
	}
	return d.Dial(ctx, url, nil)
}

// A carrier is the client's end of a WebTransport.
type carrier struct {
	session *wt.Session
	out     chan []byte
}

func (c *carrier) Send(b []byte) bool {
	select {
	case c.out <- bytes.Clone(b):
		return true
	default:
		return false
	}
}

func (c *carrier) Close(string) { close(c.out) }

func (c *carrier) run(l *client.Link) {
	go func() {
		for b := range c.out {
			c.session.SendDatagram(b)
		}
		c.session.CloseWithError(0, "")
	}()
	for {
		b, err := c.session.ReceiveDatagram(c.session.Context())
		if err != nil {
			l.Close()
			return
		}
		l.Receive(b)
	}
}

// join begins a session over WebTransport.
func (w *world) join(h client.SessionHandler) *client.Session {
	w.t.Helper()
	e, err := client.Listen("", client.Config{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { e.Close() })
	s, err := e.JoinOver(w.t.Context(), client.LinkConfig{
		Name: session.LinkWebTransport,
		Dial: func(ctx context.Context, l *client.Link) (client.Carrier, error) {
			o := w.offer()
			_, sess, err := dial(w.t.Context(), o.URL+"?ticket="+o.Ticket, o.Hashes)
			if err != nil {
				return nil, err
			}
			c := &carrier{sess, make(chan []byte, 64)}
			go c.run(l)
			return c, nil
		},
	}, client.SessionConfig{Channels: table, Handler: h})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// want waits for a value of a channel, and compares it.
func want[T comparable](t *testing.T, what string, c <-chan T, value T) {
	t.Helper()
	select {
	case got := <-c:
		if got != value {
			t.Fatalf("%s: %v, want %v", what, got, value)
		}
	case <-time.After(patience):
		t.Fatalf("%s: nothing, want %v", what, value)
	}
}
