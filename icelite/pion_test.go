package icelite

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
)

// A wire is the UDP socket of a pion agent. At its other end an Agent answers the checks, and
// the other datagrams come back as echoes, as from a server.
type wire struct {
	mu     sync.Mutex
	agent  *Agent
	r      Request
	from   netip.AddrPort // the address that the server sees; a NAT may change it
	sent   [][]byte       // datagrams of the server
	back   chan []byte
	closed chan struct{}
	once   sync.Once
}

var (
	pionAddr   = net.UDPAddrFromAddrPort(home)
	serverPort = netip.AddrPortFrom(server, 7777)
)

func (w *wire) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.serve(time.Now(), bytes.Clone(b))
	if len(out) == 0 {
		return len(b), nil
	}
	w.sent = append(w.sent, out)
	select {
	case w.back <- out:
	default:
	}
	return len(b), nil
}

func (w *wire) serve(now time.Time, b []byte) []byte {
	if !IsSTUN(b) {
		w.agent.Heard(now, w.from, len(b), true)
		p, _ := w.agent.Selected()
		if p.Remote != w.from || !w.agent.MaySend(now, p.Remote, len(b)) {
			return nil
		}
		return b
	}
	if w.r.Parse(b) != DropNone {
		return nil
	}
	out, _ := w.agent.Answer(now, w.from, server, &w.r, nil)
	return out
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case in := <-w.back:
		return copy(b, in), net.UDPAddrFromAddrPort(serverPort), nil
	case <-w.closed:
		return 0, nil, net.ErrClosed
	}
}

func (w *wire) Close() error                     { w.once.Do(func() { close(w.closed) }); return nil }
func (w *wire) LocalAddr() net.Addr              { return pionAddr }
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

func (w *wire) with(f func(a *Agent)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.agent)
}

// dial connects a pion agent in the controlling role to an Agent.
func dial(t *testing.T) (*wire, *ice.Conn) {
	t.Helper()
	local, err := NewCredentials(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{from: home, back: make(chan []byte, 64), closed: make(chan struct{})}
	t.Cleanup(func() { w.Close() })
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: w})
	t.Cleanup(func() { mux.Close() })
	peer, err := ice.NewAgentWithOptions(
		ice.WithUDPMux(mux),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithCandidateTypes([]ice.CandidateType{ice.CandidateTypeHost}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	ufrag, pwd, err := peer.GetLocalUserCredentials()
	if err != nil {
		t.Fatal(err)
	}
	w.agent = New(time.Now(), Config{Local: local, Remote: Credentials{Ufrag: ufrag, Pwd: pwd}})

	gathered := make(chan struct{})
	peer.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(gathered)
		}
	})
	if err := peer.GatherCandidates(); err != nil {
		t.Fatal(err)
	}
	<-gathered
	candidate, err := ice.NewCandidateHost(&ice.CandidateHostConfig{
		Network: "udp", Address: server.String(), Port: int(serverPort.Port()), Component: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.AddRemoteCandidate(candidate); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := peer.Dial(ctx, local.Ufrag, local.Pwd)
	if err != nil {
		t.Fatalf("pion/ice does not connect: %v", err)
	}
	return w, conn
}

// pass advances the time of the bubble by d.
func pass(d time.Duration) { <-time.After(d) }

func echo(t *testing.T, conn *ice.Conn, s string) {
	t.Helper()
	if _, err := conn.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	if err != nil || string(b[:n]) != s {
		t.Fatalf("the echo of %q: %q, %v", s, b[:n], err)
	}
}

// A full agent of another implementation connects, and stays connected while it runs.
func TestPionConnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conn := dial(t)
		echo(t, conn, "a datagram")
		pass(40 * time.Second)
		echo(t, conn, "a datagram after 40 s of checks only")
		w.with(func(a *Agent) {
			if a.Advance(time.Now()) {
				t.Error("the agent has expired though pion sends checks")
			}
			if s := a.Stats(); s.Checks < 10 || s.Moves != 1 {
				t.Errorf("%+v, want 10 checks at least and 1 move", s)
			}
			for _, b := range w.sent {
				if IsSTUN(b) && (b[0] != 0x01 || b[1] != 0x01) {
					t.Fatalf("the server has sent a STUN message that is not a success response: %x", b)
				}
			}
		})
	})
}

// A NAT gives the client a new address, and the client does not know it.
func TestPionSurvivesRebinding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, conn := dial(t)
		echo(t, conn, "from home")
		w.mu.Lock()
		w.from = mobile
		w.mu.Unlock()
		pass(5 * time.Second) // until its next checks
		echo(t, conn, "from elsewhere")
		w.with(func(a *Agent) {
			if p, _ := a.Selected(); p.Remote != mobile {
				t.Errorf("selected %v, want %v", p.Remote, mobile)
			}
		})
	})
}
