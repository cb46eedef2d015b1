package interop

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// A faultyRelay is a relay that damages one datagram of each page: the nth that passes, in
// either direction.
type faultyRelay struct {
	t      testing.TB
	front  *net.UDPConn
	target netip.AddrPort

	mu    sync.Mutex
	pages map[netip.AddrPort]*faultyPath
	last  *faultyPath // newest page
	nth   int         // for new pages
	harm  string
}

// A faultyPath is one page and the state of its datagrams.
type faultyPath struct {
	back *net.UDPConn // socket to the server
	nth  int
	harm string
	n    int
	held [2][]byte // changes places with the next datagram of its direction
}

func newFaultyRelay(t testing.TB, target netip.AddrPort) *faultyRelay {
	m := &faultyRelay{t: t, front: listenUDP(t, browser.Host(t)), target: target, pages: make(map[netip.AddrPort]*faultyPath)}
	var running sync.WaitGroup
	running.Go(func() { m.run(&running) })
	t.Cleanup(func() {
		m.front.Close()
		running.Wait()
	})
	return m
}

func listenUDP(t testing.TB, a netip.Addr) *net.UDPConn {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (m *faultyRelay) addr() netip.AddrPort { return m.front.LocalAddr().(*net.UDPAddr).AddrPort() }

// aim chooses the damage for new pages.
func (m *faultyRelay) aim(nth int, harm string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nth, m.harm = nth, harm
}

// passed returns the number of datagrams of the newest page that have passed.
func (m *faultyRelay) passed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last.n
}

// run forwards the datagrams of pages, until the front is closed.
func (m *faultyRelay) run(running *sync.WaitGroup) {
	b := make([]byte, 2048)
	for {
		n, from, err := m.front.ReadFromUDPAddrPort(b)
		if err != nil {
			break
		}
		m.mu.Lock()
		p := m.pages[from]
		if p == nil {
			p = &faultyPath{back: listenUDP(m.t, m.front.LocalAddr().(*net.UDPAddr).AddrPort().Addr()), nth: m.nth, harm: m.harm}
			m.pages[from], m.last = p, p
			running.Go(func() { m.runBack(p, from) })
		}
		m.pass(p, 0, b[:n], func(b []byte) { p.back.WriteToUDPAddrPort(b, m.target) })
		m.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pages {
		p.back.Close()
	}
}

// runBack forwards the datagrams of the server to a page.
func (m *faultyRelay) runBack(p *faultyPath, page netip.AddrPort) {
	b := make([]byte, 2048)
	for {
		n, err := p.back.Read(b)
		if err != nil {
			return
		}
		m.mu.Lock()
		m.pass(p, 1, b[:n], func(b []byte) { m.front.WriteToUDPAddrPort(b, page) })
		m.mu.Unlock()
	}
}

// pass forwards a datagram, or damages it.
func (m *faultyRelay) pass(p *faultyPath, direction int, b []byte, send func([]byte)) {
	p.n++
	switch {
	case p.n != p.nth:
		send(b)
		if held := p.held[direction]; held != nil {
			p.held[direction] = nil
			send(held)
		}
	case p.harm == "doubled":
		send(b)
		send(b)
	case p.harm == "swapped":
		p.held[direction] = append([]byte(nil), b...)
	}
}

// In each connection of a browser another datagram is dropped; with -long it is also
// duplicated, or swapped with the next one, and in both DTLS roles. Every connection opens,
// and its channel works.
func TestConnectsWhateverHappensToOneDatagram(t *testing.T) {
	t.Parallel()
	harms, roles := []string{"dropped"}, []string{"actpass"}
	if *long {
		harms, roles = []string{"dropped", "doubled", "swapped"}, []string{"actpass", "active"}
	}
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		target := freePort(t)
		m := newFaultyRelay(t, target)
		w := newWorldAt(t, b, godwitServers, target, config{public: m.addr()})
		p := w.tab()
		for _, harm := range harms {
			for _, role := range roles {
				t.Run(harm+"/"+role, func(t *testing.T) { connectDamaged(t, m, p, harm, role) })
			}
		}
	})
}

// connectDamaged connects once for each datagram of a connection.
func connectDamaged(t *testing.T, m *faultyRelay, p *tab, harm, role string) {
	p = &tab{Page: p.Page, t: t}
	slowest, at := time.Duration(0), 0
	for nth := 1; ; nth++ {
		m.aim(nth, harm)
		began := time.Now()
		p.connectAs(role)
		if d := time.Since(began); d > slowest {
			slowest, at = d, nth
		}
		// The damaged datagram may be a message.
		p.do(`await Promise.any(Array.from({length: 5}, (_, i) =>
			new Promise((resolve) => setTimeout(resolve, i * 200)).then(() => ch.echo("it works"))));
			c.close();`, nil, nil)
		if m.passed() < nth || nth == 100 {
			t.Logf("all of %d connections opened; the slowest took %v, with harm to datagram %d",
				nth, slowest.Round(time.Millisecond), at)
			return
		}
	}
}
