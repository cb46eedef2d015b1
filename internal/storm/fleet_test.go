package storm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

const (
	regions = 5
	oneWay  = 20 * time.Millisecond // of datagrams and of HTTP
	lease   = 3 * time.Second       // after which the front knows that a node is gone
	refresh = time.Second           // between two reports of a node's load
	patient = time.Second           // the front's wait for a node that does not answer
	window  = 100 * time.Millisecond
)

var table = godwit.Channels{{Name: "state", Mode: godwit.Sequenced, Direction: godwit.ToClient}}

const state godwit.ChannelID = 1

// A fleet is the nodes, their players, and the front.
type fleet struct {
	t       *testing.T
	network *netsim.Network
	knows   bool // the front tells a player that its node is gone; otherwise it is a load balancer, which does not know

	capacity float64 // requests that the front takes in a window

	mu      sync.Mutex // guards all below, and the nodes and players
	room    float64    // requests for which the front has room now
	filled  time.Time  // when room was computed
	nodes   []*node
	players []*player
	asked   []time.Time // when requests came to the front
}

// A node is one server.
type node struct {
	addr   netip.AddrPort
	region int
	server *godwit.Server
	cut    time.Time // since when nothing arrives; zero if it is there
	load   int       // players, as the front knows it
}

// A player is a client with one session after the other.
type player struct {
	fleet    *fleet
	addr     netip.AddrPort
	endpoint *client.Endpoint
	session  *client.Session
	at       *node          // to which the front sends its requests; nil at first
	of       *godwit.Server // that of at, when the last session began
	playing  bool
	since    time.Time // when it began to play, or to wait
}

// newFleet starts the nodes.
func newFleet(t *testing.T, network *netsim.Network, knows bool) *fleet {
	f := &fleet{t: t, network: network, knows: knows, capacity: float64(*nodes**perNode) / 10}
	if !knows {
		f.capacity *= 2 // it takes six requests until a player has a new session
	}
	network.SetDefault(netsim.Link{Delay: oneWay, Jitter: 2 * time.Millisecond, Loss: 0.01})
	for i := range *nodes {
		n := &node{region: i % regions, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i % regions), byte(i), 1}), 7777)}
		f.serve(n)
		f.nodes = append(f.nodes, n)
	}
	return f
}

func (f *fleet) serve(n *node) {
	n.server = testkit.Must(godwit.Serve(testkit.Listen(f.t, f.network, n.addr), godwit.Config{
		Channels: table, Links: []string{session.LinkWebRTC},
	}))
}

// run runs the game on all nodes, and reports their loads, until ctx ends.
func (f *fleet) run(ctx context.Context) {
	var b [200]byte
	for n := uint64(0); ctx.Err() == nil; n++ {
		binary.BigEndian.PutUint64(b[:], n)
		f.mu.Lock()
		for _, n := range f.nodes {
			n.server.Broadcast(state, b[:])
			n.load = n.server.Len()
		}
		f.mu.Unlock()
		wait(ctx, refresh)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pick returns the node for a new session: of two nodes at random the one with fewer players. The least of all would get
// all players of a second, because loads are a second old. f.mu is held.
func (f *fleet) pick() *node {
	there := slices.DeleteFunc(slices.Clone(f.nodes), func(n *node) bool { return n.gone() })
	a, b := there[rand.IntN(len(there))], there[rand.IntN(len(there))]
	if b.load < a.load {
		return b
	}
	return a
}

// admits reports whether the front has room for a request. f.mu is held.
func (f *fleet) admits() bool {
	now := time.Now()
	f.room = min(f.capacity, f.room+f.capacity*float64(now.Sub(f.filled))/float64(window))
	f.filled = now
	if f.room < 1 {
		return false
	}
	f.room--
	return true
}

// gone reports whether the front knows that the node does not answer.
func (n *node) gone() bool { return !n.cut.IsZero() && time.Since(n.cut) >= lease }

// RoundTrip is the front, with the way to it: it passes the request of a player to a node.
func (p *player) RoundTrip(r *http.Request) (*http.Response, error) {
	f, ctx := p.fleet, r.Context()
	if err := wait(ctx, oneWay); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.asked = append(f.asked, time.Now())
	if !f.admits() {
		f.mu.Unlock()
		w := httptest.NewRecorder()
		w.Header().Set("Retry-After", "1") // as the server's own refusals
		w.WriteHeader(http.StatusServiceUnavailable)
		w.WriteString(`{"code":"full","error":"the front is busy"}`)
		return w.Result(), wait(ctx, oneWay)
	}
	resumes := strings.HasPrefix(r.Header.Get("Authorization"), "Godwit-Resume")
	lost := p.at != nil && (p.at.gone() || f.knows && p.at.server != p.of)
	if p.at == nil || lost && !(resumes && f.knows) || !resumes {
		p.at = f.pick()
		p.of, lost = p.at.server, false
	}
	n, server, cut := p.at, p.at.server, !p.at.cut.IsZero()
	f.mu.Unlock()

	w := httptest.NewRecorder()
	switch {
	case lost:
		w.WriteHeader(http.StatusGone)
		fmt.Fprintf(w, `{"code":"resume","error":"the node %v is gone","reason":"ended"}`, n.addr)
	case cut:
		if err := wait(ctx, patient); err != nil {
			return nil, err
		}
		w.WriteHeader(http.StatusGatewayTimeout)
	default:
		r.RemoteAddr = p.addr.String()
		server.ServeHTTP(w, r)
	}
	return w.Result(), wait(ctx, oneWay)
}

// join adds players, all at once, and waits until all play.
func (f *fleet) join(players int) {
	begin := time.Now()
	for i := range players {
		p := &player{fleet: f, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 5000), since: begin}
		p.endpoint = testkit.Must(client.Serve(testkit.Listen(f.t, f.network, p.addr), client.Config{HTTP: &http.Client{Transport: p}}))
		f.players = append(f.players, p)
	}
	var joining sync.WaitGroup
	for _, p := range f.players {
		joining.Go(func() {
			s, err := p.endpoint.Join(f.t.Context(), "http://game.example/godwit/", client.SessionConfig{
				Channels: table, Renew: true, Retry: true,
				Handler: client.SessionHandler{
					Open:        func(*client.Session) { p.turn(true) },
					Resumed:     func(*client.Session) { p.turn(true) },
					Interrupted: func(*client.Session) { p.turn(false) },
					Renewing:    func(*client.Session, session.CloseReason) { p.turn(false) },
					Close: func(_ *client.Session, why session.CloseReason) {
						p.turn(false)
						if f.t.Context().Err() == nil && why.Remote {
							f.t.Errorf("%v: the session ends for good: %v", p.addr, why)
						}
					},
				},
			})
			if err != nil {
				f.t.Error(err)
			}
			p.session = s
		})
	}
	joining.Wait()
}

// turn notes that a player plays, or does not any more.
func (p *player) turn(plays bool) {
	p.fleet.mu.Lock()
	defer p.fleet.mu.Unlock()
	p.playing, p.since = plays, time.Now()
}

// close ends all sessions and servers.
func (f *fleet) close() {
	for _, p := range f.players {
		p.endpoint.Close()
	}
	for _, n := range f.nodes {
		n.server.Close()
	}
}

// cutOff cuts nodes off, without a farewell.
func (f *fleet) cutOff(nodes ...*node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		n.cut = time.Now()
		f.network.BlackoutFor(n.addr.Addr(), netip.Addr{}, time.Hour)
		f.network.BlackoutFor(netip.Addr{}, n.addr.Addr(), time.Hour)
	}
}

// restart replaces servers by new ones, which know no session, without a farewell of the old ones.
func (f *fleet) restart(nodes ...*node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		f.network.BlackoutFor(n.addr.Addr(), netip.Addr{}, time.Nanosecond) // no time passes until it has closed
		n.server.Close()
		f.serve(n)
		n.cut, n.load = time.Time{}, 0
	}
}

// comeBack ends the cut of nodes.
func (f *fleet) comeBack(nodes ...*node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		n.cut = time.Time{}
		f.network.BlackoutFor(n.addr.Addr(), netip.Addr{}, 0)
		f.network.BlackoutFor(netip.Addr{}, n.addr.Addr(), 0)
	}
}

// on returns the players of nodes.
func (f *fleet) on(nodes ...*node) (all []*player) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.players {
		if slices.Contains(nodes, p.at) {
			all = append(all, p)
		}
	}
	return all
}

var errLong = errors.New("somebody does not play after a minute")

// A wave is what a fault did to players.
type wave struct {
	waits []time.Duration // of each player, from the fault until it plays again; sorted
	peak  int             // most requests in 100 ms
	asked int             // requests
}

// untilBack waits until all players have played again since the fault.
func (f *fleet) untilBack(fault time.Time, players []*player) (w wave, err error) {
	for {
		time.Sleep(100 * time.Millisecond)
		f.mu.Lock()
		back := 0
		for _, p := range players {
			if p.playing && p.since.After(fault) {
				back++
			}
		}
		f.mu.Unlock()
		if back == len(players) {
			break
		}
		if time.Since(fault) > time.Minute {
			err = fmt.Errorf("%w: %d of %d", errLong, len(players)-back, len(players))
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range players {
		w.waits = append(w.waits, p.since.Sub(fault))
	}
	slices.Sort(w.waits)
	var times []time.Time
	for _, at := range f.asked {
		if !at.Before(fault) {
			times = append(times, at)
		}
	}
	w.asked = len(times)
	for i, from := 0, 0; i < len(times); i++ {
		for times[i].Sub(times[from]) > window {
			from++
		}
		w.peak = max(w.peak, i-from+1)
	}
	return w, err
}

func (w *wave) String() string {
	at := func(share float64) time.Duration {
		return w.waits[min(int(share*float64(len(w.waits))), len(w.waits)-1)].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf("%d players wait %v at p50, %v at p90, %v at most; %d requests, at most %d in 100 ms",
		len(w.waits), at(0.5), at(0.9), at(1), w.asked, w.peak)
}
