package fleet

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// Close waits until the goroutines of the fleet have ended. While NATS is away it ends an attempt to connect before that, for which they may wait.
// After that it waits for those that end with the connection. States of players who have not come are lost.
func TestTheOrderOfClose(t *testing.T) {
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := newLone(t, Config{}, godwit.Config{})
			must(t, l.expect("ada"))
			must(t, l.expect("bob"))
			l.receiveState(message{body: appendString(nil, "ada")})
			l.away.Store(away)
			var order []string
			ended, disconnected := make(chan struct{}), make(chan struct{})
			l.endDials = func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				if slices.Contains(order, "the goroutines") {
					close(disconnected)
				}
				if order = append(order, "the attempt"); len(order) == 1 {
					close(ended)
				}
			}
			l.running.Go(func() {
				if <-l.stop; away {
					<-ended
				}
				time.Sleep(time.Second)
				l.mu.Lock()
				defer l.mu.Unlock()
				order = append(order, "the goroutines")
			})
			l.ending.Go(func() {
				<-disconnected
				time.Sleep(time.Second)
				l.mu.Lock()
				defer l.mu.Unlock()
				order = append(order, "what ends with the connection")
			})
			must(t, l.Close())
			want := []string{"the goroutines", "the attempt", "what ends with the connection"}
			if away {
				want = slices.Insert(want, 0, "the attempt")
			}
			if !slices.Equal(order, want) {
				t.Errorf("NATS is away: %v; what ends is %q, want %q", away, order, want)
			}
			if l.counts.StatesLost != 1 || len(l.travels.expected) != 0 {
				t.Errorf("NATS is away: %v; %d states are lost, want 1; %d players are expected", away, l.counts.StatesLost, len(l.travels.expected))
			}
		})
	}
}

// Close releases all rooms of the node: a claim that NATS answers amid Close makes no other one, and NATS does not keep it.
func TestRoomsAmidClose(t *testing.T) {
	k := newKeepers(t, 1)[0]
	old := k.claims("old")
	closing := func(closing bool) { k.mu.Lock(); k.closing = closing; k.mu.Unlock() }
	k.bucket.done = once(1, func() { closing(true) }, nil)
	if r, err := k.Claim(t.Context(), "arena"); r != nil || !errors.Is(err, ErrClosed) {
		t.Errorf("a claim amid Close: %v, %v; want ErrClosed", r, err)
	}
	k.wants("a claim amid Close", "arena", instance{})
	k.write("cave", instance{9})
	k.sweeps("an adoption amid Close", false)
	if len(k.adopted) != 0 || !slices.Equal(k.Rooms(), []*Room{old}) {
		t.Errorf("%v are adopted, and the node has %d rooms; want none and 1", k.adopted, len(k.Rooms()))
	}
	closing(false) // the first call of Close is the one that closes
	must(t, k.Close())
	if !isLost(old) {
		t.Error("Close has not released the room that the node had")
	}
}

// ended is NATS that calls a func for each bucket that is opened, and returns its error.
type ended struct {
	jetstream.JetStream
	get func() error
}

func (e ended) CreateOrUpdateKeyValue(context.Context, jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	return nil, e.get()
}

// Claim, Find and NewServer return ErrClosed when Close has ended the connection to NATS amid the call, and when Close was called before. If NATS
// has ended it, they return the error of NATS. While NATS goes away they return ErrAway.
func TestCallsOfAClosedFleet(t *testing.T) {
	k := newKeepers(t, 1)[0]
	closing := func(closing bool) { k.mu.Lock(); k.closing = closing; k.mu.Unlock() }
	asked, amid := 0, false
	var answer error
	k.bucket.get = func() error { asked++; closing(amid); return answer }
	k.js = ended{get: k.bucket.get}
	for what, call := range map[string]func() error{
		"Claim":     func() error { _, err := k.Claim(t.Context(), "arena"); return err },
		"Find":      func() error { _, err := k.Find(t.Context(), "arena"); return err },
		"NewServer": func() error { _, err := k.NewServer(godwit.Config{Channels: table}, godwit.New); return err },
	} {
		for _, c := range []struct {
			before, amid bool
			nats, want   error
		}{
			{false, false, nats.ErrConnectionClosed, nats.ErrConnectionClosed},
			{false, true, nats.ErrConnectionClosed, ErrClosed},
			{true, true, nats.ErrConnectionClosed, ErrClosed},
			{false, true, context.Canceled, context.Canceled},
			{false, false, nats.ErrReconnectBufExceeded, ErrAway},
		} {
			asked, amid, answer = 0, c.amid, c.nats
			closing(c.before)
			if err := call(); !errors.Is(err, c.want) || (asked == 0) != c.before {
				t.Errorf("%s; Close was called before: %v, amid the call: %v; NATS says %v: %v, want %v; NATS was asked %d times", what, c.before, c.amid, c.nats, err, c.want, asked)
			}
		}
	}
}

// A fleet that is closed while its server opens closes the server.
func TestCloseAmidNewServer(t *testing.T) {
	n := joinNode(t, Config{})
	var opened *godwit.Server
	srv, err := n.NewServer(godwit.Config{Channels: table}, func(c godwit.Config) (*godwit.Server, error) {
		opened = testkit.Must(godwit.New(c))
		return opened, n.Fleet.Close()
	})
	if srv != nil || !errors.Is(err, ErrClosed) || n.Server() != nil {
		t.Errorf("NewServer returns a server: %v, and %v; the fleet has a server: %v; want ErrClosed and none", srv != nil, err, n.Server() != nil)
	}
	if _, err := opened.Local(godwit.LocalConfig{}); !errors.Is(err, session.ErrClosed) {
		t.Errorf("a client joins the server that has opened: %v", err)
	}
}

// The end of the fleet ends later attempts to connect, and the end of the context of Join does not.
func TestTheEndOfLaterAttempts(t *testing.T) {
	listener := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx, life context.Context
		joined    bool
		want      error
	}{
		{over, t.Context(), false, context.Canceled}, {t.Context(), over, false, nil},
		{over, t.Context(), true, nil}, {t.Context(), over, true, context.Canceled},
	} {
		d := &dialer{ctx: c.ctx, life: c.life, timeout: testkit.Patience}
		d.joined.Store(c.joined)
		conn, err := d.Dial("tcp", listener.Addr().String())
		if err == nil {
			defer conn.Close()
		}
		if !errors.Is(err, c.want) {
			t.Errorf("after Join: %v; the context of Join is over: %v: %v, want %v", c.joined, c.ctx == over, err, c.want)
		}
	}
}
