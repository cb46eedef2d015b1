package client_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// What the program gives Connect and Join is the User of the Conn and of the Session.
func TestUserOfAConnectionAndOfASession(t *testing.T) {
	inWorld(t, func(w *world) {
		c, err := w.endpoint(client.Config{}).Connect(w.t.Context(), w.signal, "ann")
		if err != nil || c.User != "ann" {
			t.Errorf("the User of the Conn is not ann: %v", err)
		}
	})
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(client.SessionConfig{User: "ben"})
		if err != nil || s.User != "ben" {
			t.Errorf("the User of the Session is not ben: %v", err)
		}
	})
}

// A handshake that the server does not answer ends after Config.HandshakeTimeout.
func TestHandshakeTimeout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.network.SetTap(func(p *netsim.Packet) bool { return p.From != gameAddr || p.Payload[0] < 20 || p.Payload[0] > 63 })
		begin := time.Now()
		_, err := w.endpoint(client.Config{HandshakeTimeout: 3 * time.Second}).Connect(w.t.Context(), w.signal, nil)
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoHandshake || time.Since(begin) != 3*time.Second {
			t.Errorf("%v after %v, want CloseNoHandshake after 3 s", err, time.Since(begin))
		}
	})
}

// Config.KeyLog gets the secrets of the handshake.
func TestKeyLogOfAConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		var log bytes.Buffer
		w.connect(w.endpoint(client.Config{KeyLog: &log}))
		if !strings.HasPrefix(log.String(), "CLIENT_RANDOM ") {
			t.Errorf("the key log is %q, want CLIENT_RANDOM first", log.String())
		}
	})
}

// The Schema of a client is compared with that of the server.
func TestSchemaOfASession(t *testing.T) {
	const schema = "join.request.name:string(16)"
	inGame(t, godwit.Config{Schema: schema}, func(g *game) {
		_, err := g.connect(client.SessionConfig{Schema: schema})
		g.must(err)
		_, err = g.connect(client.SessionConfig{Schema: "join.request.name:string(20)"})
		if e, ok := errors.AsType[*channel.TableError](err); !ok || e.Ours != "string(20)" || e.Theirs != "string(16)" {
			t.Errorf("another schema: %v, want a TableError with both", err)
		}
	})
}
