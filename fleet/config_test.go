package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

func TestConfigErrors(t *testing.T) {
	for want, c := range map[string]Config{
		"Config.Prefix is":                {Prefix: "a.b"},
		"Config.Name has more":            {Name: strings.Repeat("x", 65)},
		"Config.MaxPending is negative":   {MaxPending: -1},
		"Config.WhenAway is 7":            {WhenAway: 7},
		"which Config.NATS replaces":      {NATS: "nats://127.0.0.1:1", Listen: "127.0.0.1:0"},
		"Config.Credentials are for":      {Credentials: "fleet.creds"},
		"set User and Password":           {Listen: ":4222"},
		"other machines can reach \"game": {Listen: "game.example:4222"},
		"Config.Listen: address":          {Listen: "127.0.0.1", User: "fleet", Password: "secret"},
		"fleet: NATS: ":                   {NATS: "nats://127.0.0.1:1"},
	} {
		f, err := Join(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
		if f != nil {
			f.Close()
		}
	}
}

// Without a Logger warnings go to standard error, and what is less does not.
func TestTheLogWithoutALogger(t *testing.T) {
	c := Config{}
	must(t, c.setDefaults(newInstance()))
	if c.Logger.Enabled(t.Context(), slog.LevelInfo) || !c.Logger.Enabled(t.Context(), slog.LevelWarn) {
		t.Error("not just warnings are logged")
	}
}

// The NATS server of a process listens only if Config says so, and then with its password and its certificate.
func TestThePortOfTheNATSServer(t *testing.T) {
	alone := newNode(t, Config{}, testConfig)
	if a := alone.NATSAddress(); a != "" || alone.embedded.server.Addr() != nil {
		t.Errorf("it listens at %q", a)
	}
	s, store := alone.embedded.server, alone.embedded.server.JetStreamConfig()
	if s.Name() != alone.config.Name || store.MaxMemory != 256<<20 || store.MaxStore != 1<<30 {
		t.Errorf("it has the name %q and keeps %d bytes in memory and %d in files, want %q, 256 MiB and 1 GiB", s.Name(), store.MaxMemory, store.MaxStore, alone.config.Name)
	}
	certificate, roots := newCertificate(t)
	one := newNode(t, Config{Listen: "127.0.0.1:0", User: "fleet", Password: "secret", TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}, testConfig)
	for _, c := range []Config{
		{NATS: one.NATSAddress(), TLS: &tls.Config{RootCAs: roots}},
		{NATS: one.NATSAddress(), TLS: &tls.Config{RootCAs: roots}, User: "fleet", Password: "guess"},
		{NATS: one.NATSAddress(), User: "fleet", Password: "secret"}, // does not know the certificate
	} {
		if f, err := Join(t.Context(), c); err == nil {
			t.Errorf("%+v is let in", c)
			f.Close()
		}
	}
	two := newNode(t, Config{NATS: one.NATSAddress(), TLS: &tls.Config{RootCAs: roots}, User: "fleet", Password: "secret"}, testConfig)
	ada := one.join("ada")
	one.embeddedSync()
	if _, err := two.Request(t.Context(), "ada", "echo", nil); err != nil {
		t.Error(err)
	}
	ada.none(t, "a message")
}

// embeddedSync waits until NATS has processed what the node has queued, without another connection.
func (n *node) embeddedSync() {
	n.t.Helper()
	wait(n.t, "the queue is empty", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.out.ops) == 0 && n.out.msgs == 0
	})
	must(n.t, n.nc.Flush())
}

func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// The streams of the NATS server are in the directory, and only if there is one.
func TestTheDirectoryOfTheNATSServer(t *testing.T) {
	dir := t.TempDir()
	n := newNode(t, Config{Dir: dir}, duplicates(godwit.DuplicatesReplace))
	if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
		t.Errorf("%d files are in the directory, %v", len(files), err)
	}
	n.srv.Close()
	n.Close()
	memory := newNode(t, Config{}, testConfig)
	temporary := memory.embedded.dir
	memory.srv.Close()
	memory.Close()
	if _, err := os.Stat(temporary); !os.IsNotExist(err) {
		t.Errorf("the directory %s of a server in memory is left: %v", temporary, err)
	}
	if memory.Group("lobby").Send(chat, nil) != ErrClosed || memory.Send("ada", chat, nil) != ErrClosed || memory.Close() != nil {
		t.Error("calls on a closed fleet do not return ErrClosed")
	}
}

// A program with a game loop gets the events that it has no func for from Poll, as without a fleet.
func TestPollYieldsWhatTheFleetHasSeen(t *testing.T) {
	f, err := Join(t.Context(), Config{})
	must(t, err)
	defer f.Close()
	srv, err := f.NewServer(godwit.Config{Channels: table, Manual: true}, godwit.New)
	must(t, err)
	defer srv.Close()
	if _, err := f.NewServer(godwit.Config{}, godwit.New); err == nil {
		t.Error("a fleet has a second server")
	}
	_, err = srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: "ada"}, Handler: godwit.Handler{
		Open: func(*godwit.Conn) {}, Close: func(*godwit.Conn, godwit.CloseReason) {},
	}})
	must(t, err)
	var got []session.EventType
	for len(got) < 2 {
		for ev := range srv.Poll(time.Second) {
			got = append(got, ev.Type)
			if n := f.Stats().Players; n != 2-len(got) {
				t.Errorf("%d players are on the node at %v", n, ev.Type)
			}
			if ev.Type == session.EventOpen {
				ev.Conn.Kick("enough")
			} else if ev.Reason.Code != session.CloseKicked || ev.Reason.Text != "enough" {
				t.Errorf("the session ended with %v, want the reason of the kick", ev.Reason)
			}
		}
	}
	if got[0] != session.EventOpen || got[1] != session.EventClose {
		t.Errorf("Poll yields %v", got)
	}
}

// Join waits no longer than its context says.
func TestJoinEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if f, err := Join(ctx, Config{NATS: "nats://" + l.Addr().String()}); err == nil {
		f.Close()
		t.Error("Join returns without NATS")
	}
}
