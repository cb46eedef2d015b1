package netsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// maxReadErrors is the number of errors in a row after which a socket counts as broken. A
// working socket may have some errors: systems report the failure of a datagram that was
// sent earlier as an error of the next read.
const maxReadErrors = 100

// maxReadPause is the longest pause after an error. Pauses double from 1 ms.
const maxReadPause = 64 * time.Millisecond

// reader is the method of a socket that reads.
type reader func(b []byte) (n int, from netip.AddrPort, err error)

// readFront reads the datagrams of clients.
func (r *Relay) readFront() { r.serveFront(r.front.ReadFromUDPAddrPort) }

func (r *Relay) serveFront(from reader) {
	err := r.read(from, func(from netip.AddrPort, b []byte) {
		if c := r.client(from); c != nil {
			r.pass(c, true, b)
		}
	})
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = fmt.Errorf("netsim: %w", err)
}

// readBack reads the datagrams of the target for one client. It ignores datagrams of other
// addresses, as most NATs do.
func (r *Relay) readBack(c *client, back *net.UDPConn) {
	err := r.read(back.ReadFromUDPAddrPort, func(from netip.AddrPort, b []byte) {
		if from == r.target {
			r.pass(c, false, b)
		}
	})
	if err != nil {
		r.broken(c, back)
	}
}

// broken removes a client whose socket is broken. The client gets a new socket with its
// next datagram.
func (r *Relay) broken(c *client, back *net.UDPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[c.addr] == c && c.back == back {
		r.forget(c)
	}
}

// read calls each for every datagram until the socket is closed. It returns the last error
// of a broken socket.
func (r *Relay) read(from reader, each func(from netip.AddrPort, b []byte)) error {
	b := make([]byte, 1<<16)
	for failed := 0; ; {
		n, addr, err := from(b)
		switch {
		case err == nil:
			failed = 0
			each(unmap(addr), b[:n])
			continue
		case errors.Is(err, net.ErrClosed):
			return nil
		}
		r.mu.Lock()
		r.gone.ReadErrors++
		r.mu.Unlock()
		if failed++; failed == maxReadErrors {
			return err
		}
		if !r.pause(failed) {
			return nil
		}
	}
}

// pause waits after an error; the wait grows with the number of errors in a row. It returns
// false if the relay is closed.
func (r *Relay) pause(failed int) bool {
	timer := time.NewTimer(min(time.Millisecond<<min(failed-1, 10), maxReadPause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.done:
		return false
	}
}
