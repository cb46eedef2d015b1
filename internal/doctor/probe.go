package doctor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A target is an address that gets checks, from a socket of its own. The socket is connected, so the
// system says if nobody listens at the port. The prober's lock guards all fields but the first two.
type target struct {
	addr netip.AddrPort
	conn *net.UDPConn

	local   netip.AddrPort // from which the checks leave
	refused bool           // the machine has said that nobody listens
	noRoute bool           // this machine, or a router, has no way there
	shots   []*shot
}

// A shot is a check that was sent.
type shot struct {
	size   int
	sent   time.Time
	trip   time.Duration  // until the answer; zero if there is none
	mapped netip.AddrPort // the address of this end, in the answer
}

// A prober sends checks to targets, and notes the answers.
type prober struct {
	keys    credentials
	news    chan struct{} // holds one token when an answer or an error has come
	running sync.WaitGroup

	mu      sync.Mutex
	pending map[[12]byte]*shot
	targets []*target
}

func newProber(keys credentials) *prober {
	return &prober{keys: keys, news: make(chan struct{}, 1), pending: make(map[[12]byte]*shot)}
}

// add adds a target, unless there is one with the address.
func (p *prober) add(addr netip.AddrPort) *target {
	for _, t := range p.targets {
		if t.addr == addr {
			return t
		}
	}
	t := &target{addr: addr}
	p.targets = append(p.targets, t)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.noRoute = true
		return t
	}
	t.conn = conn
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	t.local = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())
	p.running.Go(func() { p.read(t) })
	return t
}

// close closes the sockets.
func (p *prober) close() {
	for _, t := range p.targets {
		if t.conn != nil {
			t.conn.Close()
		}
	}
	p.running.Wait()
}

// maxErrors limits the errors of one socket: a system may say of each datagram that it was refused.
const maxErrors = 10_000

// read notes the answers of a target until its socket is closed.
func (p *prober) read(t *target) {
	b := make([]byte, 4096)
	for errs := 0; errs < maxErrors; {
		n, err := t.conn.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		p.mu.Lock()
		if err != nil {
			errs++
			t.note(err)
		} else if id, mapped, ok := p.keys.answer(b[:n]); ok {
			if s := p.pending[id]; s != nil {
				s.trip, s.mapped = max(time.Since(s.sent), 1), mapped
				delete(p.pending, id)
			}
		}
		p.mu.Unlock()
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

// note notes what the system says about a target.
func (t *target) note(err error) {
	t.refused = t.refused || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
	t.noRoute = t.noRoute || noWay(err)
}

// noWay reports whether an error says that this machine, or a router, has no way to an address.
func noWay(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// send sends a check of at least size bytes. It returns nil if the check did not leave.
func (p *prober) send(t *target, size int) *shot {
	if t.conn == nil {
		return nil
	}
	id, b, err := p.keys.request(size)
	if err != nil {
		return nil
	}
	s := &shot{size: len(b), sent: time.Now()}
	p.mu.Lock()
	p.pending[id] = s
	t.shots = append(t.shots, s)
	p.mu.Unlock()
	if _, err := t.conn.Write(b); err != nil {
		p.mu.Lock()
		delete(p.pending, id)
		t.note(err)
		p.mu.Unlock()
		return nil
	}
	return s
}

// await waits until done, which it calls under the lock, returns true, or limit is over. It returns
// what done returns.
func (p *prober) await(ctx context.Context, limit time.Duration, done func() bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p.mu.Lock()
		over := done()
		p.mu.Unlock()
		if over {
			return true
		}
		select {
		case <-p.news:
		case <-timer.C:
			p.mu.Lock()
			defer p.mu.Unlock()
			return done()
		case <-ctx.Done():
			return false
		}
	}
}

// answers returns the shots of a target that were answered. The lock is held.
func (t *target) answers() (all []*shot) {
	for _, s := range t.shots {
		if s.trip > 0 {
			all = append(all, s)
		}
	}
	return all
}

// repeat is the time between two checks of one target.
const repeat = 200 * time.Millisecond

// settled is how many checks without an answer a target gets after another one has answered. Then
// nobody waits for it any more.
const settled = 3

// knock sends checks to targets until limit is over, or all have answered. It ends earlier if the targets
// that have not answered have got several checks more than one that has, or if nobody listens at any.
func (p *prober) knock(ctx context.Context, targets []*target, limit time.Duration) {
	began := time.Now()
	for after := 0; ; {
		for _, t := range targets {
			if p.isOpen(t) {
				p.send(t, 0)
			}
		}
		left := limit - time.Since(began)
		if left <= 0 || p.await(ctx, min(repeat, left), func() bool { return !slices.ContainsFunc(targets, (*target).open) }) || ctx.Err() != nil {
			return
		}
		if p.isDecided(targets) {
			after++
		}
		if after > settled {
			return
		}
	}
}

// open reports whether a target has not answered, and can. The lock is held.
func (t *target) open() bool { return t.conn != nil && len(t.answers()) == 0 }

func (p *prober) isOpen(t *target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.open()
}

// isDecided reports whether a target has answered, or nobody listens at any.
func (p *prober) isDecided(targets []*target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(targets, func(t *target) bool { return len(t.answers()) > 0 }) ||
		!slices.ContainsFunc(targets, func(t *target) bool { return t.open() && !t.refused })
}
