package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// Limits of the link: percent each way, ms one way. Beyond them a WebSocket hardly connects at all.
const mostLoss, mostDelay = 30, 300

// A link is the bad link of both games. UDP passes relay, and TCP the stand-in; or both pass tun.
type link struct {
	relay *netsim.Relay
	tun   *netsim.Tun
	url   string // of the WebSocket over tun

	running sync.WaitGroup // the goroutines of stand-ins

	mu         sync.Mutex // guards what follows
	conditions netsim.Link
}

// set changes the conditions: loss in percent each way, delay in ms one way.
func (l *link) set(loss, delay float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = percentLink(loss, delay)
	if l.tun != nil {
		l.tun.SetUp(l.conditions)
		l.tun.SetDown(l.conditions)
	}
	if l.relay != nil {
		l.relay.SetUp(l.conditions)
		l.relay.SetDown(l.conditions)
	}
}

// now returns the conditions.
func (l *link) now() netsim.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conditions
}

// close ends the relay and the tun. All connections must have been closed: it waits for their stand-ins.
func (l *link) close() {
	l.running.Wait()
	if l.relay != nil {
		l.relay.Close()
	}
	if l.tun != nil {
		l.tun.Close()
	}
}

// A standInWriter puts the stand-in for TCP between a WebSocket and its connection. The request and its answer have
// passed already, so the opening of the connection costs nothing.
type standInWriter struct {
	http.ResponseWriter
	link *link
}

// Hijack returns one end of the stand-in in place of the connection.
func (w standInWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken over")
	}
	c, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	c.SetDeadline(time.Time{})
	end := standIn(w.link, bufferedConn{c, rw.Reader})
	return end, bufio.NewReadWriter(bufio.NewReader(end), bufio.NewWriter(end)), nil
}

// A bufferedConn is a connection from which something may have been read already.
type bufferedConn struct {
	net.Conn
	r io.Reader
}

func (c bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// standIn returns a connection whose other end is c, with a stream for each direction between them. Both ends are closed
// when one of them is.
func standIn(l *link, c net.Conn) net.Conn {
	near, far := net.Pipe()
	seed := uint64(time.Now().UnixNano())
	var once sync.Once
	over := func() { once.Do(func() { far.Close(); c.Close() }) }
	l.running.Go(func() { carry(l, newStream(l.now(), seed), c, far, over) })
	l.running.Go(func() { carry(l, newStream(l.now(), seed+2), far, c, over) })
	return near
}

const (
	standInQueue = 64 << 10         // bytes that wait for the window; the stand-in reads no more then
	standInDrain = 3 * time.Second  // for what is under way when an end is closed
	standInWrite = 30 * time.Second // for an end that takes nothing
)

// carry moves bytes over a stream until an end is closed. Then it calls over.
func carry(l *link, s *stream, from, to net.Conn, over func()) {
	done := make(chan struct{})
	defer close(done)
	defer over()
	chunks := make(chan []byte)
	go read(from, chunks, done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var drained time.Time // when the stream is given up, if from is closed
	for {
		in := chunks
		if s.waiting() > standInQueue {
			in = nil
		}
		select {
		case b, ok := <-in:
			s.setLink(l.now())
			now := time.Now()
			if ok {
				s.write(now, b)
			} else {
				chunks, drained = nil, now.Add(standInDrain)
			}
		case <-timer.C:
			s.setLink(l.now())
			s.advance(time.Now())
		}
		if b := s.take(); len(b) > 0 {
			to.SetWriteDeadline(time.Now().Add(standInWrite))
			if _, err := to.Write(b); err != nil {
				return
			}
		}
		next := s.deadline()
		if !drained.IsZero() {
			if s.idle() || !time.Now().Before(drained) {
				return
			}
			if next.IsZero() || drained.Before(next) {
				next = drained
			}
		}
		if next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// read sends what it reads to chunks, and closes it at the end.
func read(from io.Reader, chunks chan<- []byte, done <-chan struct{}) {
	defer close(chunks)
	for {
		b := make([]byte, 4096)
		n, err := from.Read(b)
		if n > 0 {
			select {
			case chunks <- b[:n]:
			case <-done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}
