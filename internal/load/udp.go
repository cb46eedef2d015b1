package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// udp makes clients that send bare datagrams, from one socket.
type udp struct {
	server  netip.AddrPort
	socket  *udpio.Conn
	sources bool // each client has an address of its own
	running sync.WaitGroup

	mu      sync.Mutex
	clients []*Client // by index
	next    netip.Addr
	busy    bool // the loop will flush
	out     []udpio.Datagram
}

// UDP returns a Transport for a server at addr that returns datagrams.
func UDP(addr string) (Transport, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	sockets, err := udpio.Listen("0.0.0.0:0", udpio.Config{})
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	server := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
	u := &udp{
		server:  server,
		socket:  sockets[0],
		sources: runtime.GOOS == "linux" && server.Addr().IsLoopback(),
		next:    Sources.Addr(),
		out:     newBatch()[:0],
	}
	u.running.Go(u.run)
	return u, nil
}

// newBatch returns datagrams with room for the largest message.
func newBatch() []udpio.Datagram {
	ds := make([]udpio.Datagram, 64)
	for i := range ds {
		ds[i].B = make([]byte, 0, 2048)
	}
	return ds
}

func (u *udp) run() {
	in := newBatch()
	for {
		n, err := u.socket.ReadBatch(in)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return
		}
		u.setBusy(true)
		for _, d := range in[:n] {
			if c := u.client(ClientOf(d.B)); c != nil {
				c.Receive(0, d.B)
			}
		}
		u.setBusy(false)
	}
}

func (u *udp) setBusy(b bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.busy = b; !b {
		u.flush()
	}
}

func (u *udp) client(i int) *Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i < 0 || i >= len(u.clients) {
		return nil
	}
	return u.clients[i]
}

func (u *udp) flush() {
	if len(u.out) > 0 {
		u.socket.WriteBatch(u.out)
		u.out = u.out[:0]
	}
}

// Dial gives c an address, and sends a byte from there, for a server that wants to
// know whom to send to.
func (u *udp) Dial(_ context.Context, c *Client) (Link, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.clients) <= c.index {
		u.clients = append(u.clients, nil)
	}
	u.clients[c.index] = c
	l := &udpLink{udp: u}
	if u.sources {
		u.next = u.next.Next()
		l.local = u.next
	}
	u.send(l, []byte{0})
	return l, nil
}

// Channels returns one without a name.
func (u *udp) Channels() []Channel { return plain }

func (u *udp) Drops() uint64 { return u.socket.Stats().KernelDrops }

func (u *udp) Close() error {
	err := u.socket.Close()
	u.socket.SetReadDeadline(time.Unix(1, 0))
	u.running.Wait()
	return err
}

type udpLink struct {
	udp   *udp
	local netip.Addr
}

func (l *udpLink) Send(_ int, b []byte) error {
	l.udp.mu.Lock()
	defer l.udp.mu.Unlock()
	l.udp.send(l, b)
	return nil
}

func (u *udp) send(l *udpLink, b []byte) {
	if len(u.out) == cap(u.out) {
		u.flush()
	}
	u.out = u.out[:len(u.out)+1]
	d := &u.out[len(u.out)-1]
	d.B, d.Remote, d.Local = append(d.B[:0], b...), u.server, l.local
	if !u.busy {
		u.flush()
	}
}
