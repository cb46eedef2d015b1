package netsim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// TunConfig configures a [Tun]. The zero value is a link that delivers everything at once,
// between two new network namespaces.
type TunConfig struct {
	// Near and Far are the ends. Far gets default routes through the link, so the traffic
	// of a whole namespace passes.
	Near, Far TunEnd

	// Up is the link from Far to Near, Down the link back. Their sizes and rates count
	// whole IP packets, with all headers.
	Up, Down Link

	// MTU is the MTU of both devices in bytes. Zero means 1500; the limits are 1280 and
	// 65,535.
	MTU int

	// Seed decides the fates of the packets.
	Seed uint64

	// Record, if not nil, gets the fates of all packets. The names of the paths are "up-1"
	// and "down-1".
	Record *Recorder
}

// A TunEnd describes one end of a [Tun].
type TunEnd struct {
	// Namespace is the file of a network namespace, such as "/run/netns/far", or
	// "/proc/self/ns/net", which is that of this process. Empty means a new namespace with
	// only a loopback device. It exists until the Tun is closed and no process and no
	// socket is in it.
	Namespace string

	// Device is the name of the device. Empty means a free name that the kernel chooses,
	// "tun0" or later.
	Device string

	// Addrs are the addresses of the device, with the length of their network's prefix. Nil
	// means 10.98.0.1/24 and, if the machine has IPv6, fd98::1/64 for Near, and 10.98.0.2/24
	// and fd98::2/64 for Far.
	Addrs []netip.Prefix
}

const (
	defaultTunMTU = 1500
	minTunMTU     = 1280 // the least of IPv6
	maxTunMTU     = 65535
)

var (
	nearAddrs = []netip.Prefix{netip.MustParsePrefix("10.98.0.1/24"), netip.MustParsePrefix("fd98::1/64")}
	farAddrs  = []netip.Prefix{netip.MustParsePrefix("10.98.0.2/24"), netip.MustParsePrefix("fd98::2/64")}
)

// TunStats counts what a [Tun] did with packets.
type TunStats struct {
	Up, Down LinkStats

	UpBacklog, DownBacklog int // bytes that wait for a rate now
	UnderWay               int // packets in flight now, including those that wait for a rate

	Failed uint64 // packets that the kernel did not take: damaged headers, or a device that is down
}

// A Tun is a bad link for all traffic between two network namespaces: each has a TUN
// device, and the Tun passes the IP packets from one to the other. So TCP of the kernel
// runs over it, with its own timers and its own buffers, and any program that runs in one
// of the namespaces. It needs Linux and root.
//
// The namespaces have no other connection to each other, and a new namespace has no other
// connection at all. The devices merge and split no packets.
//
// Each device has a goroutine that reads, and one goroutine delivers the packets that are
// due, on an idle machine a fraction of a millisecond late.
type Tun struct {
	near, far tunEnd
	done      chan struct{}
	running   sync.WaitGroup

	mu       sync.Mutex // guards everything below
	air      dispatcher[tunPacket]
	up, down *Wire
	failed   uint64
	err      error
	closed   bool
}

// tunEnd is one end: the device of a namespace.
type tunEnd struct {
	device io.ReadWriteCloser // one call moves one packet
	space  *Namespace
}

// tunPacket is a packet in flight.
type tunPacket struct {
	to      io.Writer
	payload []byte
}

// OpenTun makes the devices, and the namespaces that are to be new. Call Close to remove
// them.
//
// The error wraps errors.ErrUnsupported if this machine or this process cannot have such a
// link: it is not Linux, it has no /dev/net/tun, or the process is not root.
func OpenTun(c TunConfig) (*Tun, error) {
	if c.MTU == 0 {
		c.MTU = defaultTunMTU
	}
	if c.MTU < minTunMTU || c.MTU > maxTunMTU {
		return nil, fmt.Errorf("netsim: TunConfig.MTU is %d, but must be from %d to %d", c.MTU, minTunMTU, maxTunMTU)
	}
	near, err := openTunEnd(c.Near, nearAddrs, c.MTU, false)
	if err != nil {
		return nil, fmt.Errorf("netsim: the near end: %w", err)
	}
	far, err := openTunEnd(c.Far, farAddrs, c.MTU, true)
	if err == nil && near.space.same(far.space) {
		err = errors.Join(errors.New("it is in the namespace of the near end"), far.close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netsim: the far end: %w", err), near.close())
	}
	return newTun(c, near, far), nil
}

func newTun(c TunConfig, near, far tunEnd) *Tun {
	t := &Tun{near: near, far: far, done: make(chan struct{}), up: newWire(c.Up, c.Seed, 0), down: newWire(c.Down, c.Seed, 1)}
	t.air = newDispatcher[tunPacket](&t.mu)
	if c.Record != nil {
		t.up.Record(c.Record, "up-1")
		t.down.Record(c.Record, "down-1")
	}
	t.running.Go(func() { t.read(far.device, near.device, t.up) })
	t.running.Go(func() { t.read(near.device, far.device, t.down) })
	t.running.Go(func() { t.air.run(t.done, t.deliver) })
	return t
}

// Near returns the namespace of the near end.
func (t *Tun) Near() *Namespace { return t.near.space }

// Far returns the namespace of the far end.
func (t *Tun) Far() *Namespace { return t.far.space }

// SetUp sets the link from the far end to the near end, for packets sent from now on.
func (t *Tun) SetUp(l Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up.SetLink(l)
}

// SetDown sets the link from the near end to the far end, for packets sent from now on.
func (t *Tun) SetDown(l Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down.SetLink(l)
}

// BlackoutFor drops every packet that is sent in the time d from now on, in both
// directions. Zero ends such a blackout. The links do not change.
func (t *Tun) BlackoutFor(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.air.dark = time.Now().Add(d)
}

// Err returns why the Tun does not work any more, or nil. It stops when a device cannot be
// read, for example because someone has removed it.
func (t *Tun) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Stats returns the counters as they are now. They count also what the kernel sends by
// itself.
func (t *Tun) Stats() TunStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	return TunStats{
		Up: t.up.stats, Down: t.down.stats, UpBacklog: t.up.Backlog(now), DownBacklog: t.down.Backlog(now),
		UnderWay: t.air.line.Len(), Failed: t.failed,
	}
}

// Close removes the devices, drops the packets in flight and waits for the goroutines of
// the Tun. A second Close returns net.ErrClosed.
func (t *Tun) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return net.ErrClosed
	}
	t.closed = true
	t.mu.Unlock()
	close(t.done)
	err := errors.Join(t.near.close(), t.far.close())
	t.running.Wait()
	return err
}

func (e *tunEnd) close() error { return errors.Join(e.device.Close(), e.space.close()) }

// read gives the packets of one device to a wire, until the device is closed.
func (t *Tun) read(from io.Reader, to io.Writer, w *Wire) {
	b := make([]byte, maxTunMTU)
	for {
		n, err := from.Read(b)
		t.mu.Lock()
		if err != nil {
			if t.err == nil && !t.closed && !errors.Is(err, os.ErrClosed) {
				t.err = fmt.Errorf("netsim: %w", err)
			}
			t.mu.Unlock()
			return
		}
		t.air.send(w, append([]byte(nil), b[:n]...), func(b []byte) tunPacket { return tunPacket{to, b} })
		t.mu.Unlock()
	}
}

func (t *Tun) deliver(p tunPacket) {
	if _, err := p.to.Write(p.payload); err != nil {
		t.mu.Lock()
		t.failed++
		t.mu.Unlock()
	}
}

// A Namespace is the network namespace of one end of a [Tun].
type Namespace struct {
	file  *os.File
	own   bool // it is a new one
	name  string
	addrs []netip.Addr
}

// Addrs returns the addresses of the end.
func (n *Namespace) Addrs() []netip.Addr { return append([]netip.Addr(nil), n.addrs...) }

// File returns the name of a file of the namespace, for other programs: as root,
// "nsenter --net=FILE PROGRAM" starts a program in it. It is valid until the Tun is closed.
func (n *Namespace) File() string { return n.name }

// Do runs f in the namespace, on a goroutine of its own, and returns its error. The sockets
// that f opens, and the programs that it starts, stay in the namespace. The goroutines that
// it starts do not: a [net.Dialer] starts some for a name with several addresses.
func (n *Namespace) Do(f func() error) error {
	err := errors.New("netsim: the func of Namespace.Do has ended its goroutine")
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = n.enter(f)
	}()
	<-done
	return err
}

func (n *Namespace) close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}
