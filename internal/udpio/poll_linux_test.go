package udpio

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// pollOf returns a Poll, which is closed when the test ends.
func pollOf(t *testing.T, conns ...*Conn) *Poll {
	t.Helper()
	p, err := NewPoll(conns...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// wantReady waits until exactly these sockets are ready. More than one need not become so at once.
func wantReady(t *testing.T, p *Poll, want uint) {
	t.Helper()
	for got := uint(0); got != want; {
		ready, err := p.Wait()
		if err != nil || ready == 0 || ready&^want != 0 {
			t.Fatalf("Wait = %b, %v; want %b", ready, err, want)
		}
		got |= ready
	}
}

// Wait says which sockets have datagrams, as long as they have some.
func TestPollSaysWhichSocketsAreReady(t *testing.T) {
	a, b, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	p := pollOf(t, a, b)
	for range 3 {
		write(t, client, to(b.LocalAddr(), 1)...)
		wantReady(t, p, 2)
		wantReady(t, p, 2)
		wantPayloads(t, readAll(t, b, 1), to(b.LocalAddr(), 1))
		write(t, client, append(to(a.LocalAddr(), 1), to(b.LocalAddr(), 1)...)...)
		wantReady(t, p, 3)
		readAll(t, b, 1)
		wantReady(t, p, 1)
		readAll(t, a, 1)
	}
	for _, c := range []*Conn{a, b} {
		if n, err := c.ReadBatch(buffers(1, 100)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadBatch without a datagram = %d, %v; want %v at once", n, err, os.ErrDeadlineExceeded)
		}
	}
}

// A Poll has up to maxPoll sockets, and Wait knows each of them at once.
func TestPollOfManySockets(t *testing.T) {
	client := listen(t, "127.0.0.1:0")
	var conns []*Conn
	for range maxPoll {
		conns = append(conns, listen(t, "127.0.0.1:0"))
	}
	p := pollOf(t, conns...)
	for _, c := range conns {
		write(t, client, to(c.LocalAddr(), 1)...)
	}
	wantReady(t, p, 1<<maxPoll-1)
}

// Wait returns the system's error.
func TestErrorOfAPoll(t *testing.T) {
	p := &Poll{raw: badRaw{}}
	p.look = p.lookAt
	if ready, err := p.Wait(); ready != 0 || !errors.Is(err, unix.EBADF) || err.Error() != "epoll_pwait: "+unix.EBADF.Error() {
		t.Errorf("Wait = %b, %v; want %v", ready, err, unix.EBADF)
	}
	if !p.lookAt(^uintptr(0)) {
		t.Error("Wait goes on waiting after an error")
	}
}

// NewPoll fails if the runtime cannot wait for an epoll, and changes nothing then.
func TestPollThatTheRuntimeCannotWaitFor(t *testing.T) {
	const variable = "GODWIT_TEST_EPOLL"
	if os.Getenv(variable) == "" {
		inSandbox(t, "^TestPollThatTheRuntimeCannotWaitFor$", variable+"=1")
		return
	}
	a, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	before, next := descriptors(t), testkit.Must(unix.Dup(0))
	unix.Close(next) // it is the descriptor of the epoll, which nothing may wait for
	needSandbox(refuseOption(unix.SYS_EPOLL_CTL, unix.EPOLL_CTL_ADD, uint32(next)))
	if p, err := NewPoll(a); p != nil || !errors.Is(err, os.ErrNoDeadline) {
		t.Errorf("NewPoll = %v, %v; want %v", p, err, os.ErrNoDeadline)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d files are left open, want 0", n-before)
	}
	write(t, client, to(a.LocalAddr(), 1)...)
	readAll(t, a, 1) // waits
}

// Wait returns when a datagram comes later, and when the Poll is closed.
func TestPollWaits(t *testing.T) {
	a, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	p := pollOf(t, a)
	type result struct {
		ready uint
		err   error
	}
	results, read := make(chan result), make(chan bool)
	go func() {
		for {
			ready, err := p.Wait()
			results <- result{ready, err}
			if err != nil {
				return
			}
			<-read
		}
	}()
	next := func() result {
		select {
		case r := <-results:
			return r
		case <-time.After(testkit.Patience):
			t.Fatal("Wait does not return")
			return result{}
		}
	}
	for range 3 {
		write(t, client, to(a.LocalAddr(), 1)...)
		if r := next(); r != (result{1, nil}) {
			t.Fatalf("Wait = %b, %v; want 1", r.ready, r.err)
		}
		readAll(t, a, 1)
		read <- true
	}
	p.Close()
	if r := next(); r.ready != 0 || !errors.Is(r.err, net.ErrClosed) {
		t.Errorf("Wait = %b, %v; want %v", r.ready, r.err, net.ErrClosed)
	}
	if ready, err := p.Wait(); ready != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Wait = %b, %v after Close; want %v", ready, err, net.ErrClosed)
	}
	if err := p.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a second Close returns %v, want %v", err, net.ErrClosed)
	}
}

// A Conn that moves datagrams one by one, and a closed one, have no Poll, and keep their deadlines.
func TestSocketsWithoutAPoll(t *testing.T) {
	a, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	single := New(u)
	defer single.Close()
	if p, err := NewPoll(a, single); p != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("NewPoll = %v, %v; want %v", p, err, errors.ErrUnsupported)
	}
	if p, err := NewPoll(make([]*Conn, maxPoll+1)...); p != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("NewPoll = %v, %v; want %v", p, err, errors.ErrUnsupported)
	}
	closed := listen(t, "127.0.0.1:0")
	closed.Close()
	before := descriptors(t)
	if p, err := NewPoll(a, a); p != nil || !errors.Is(err, unix.EEXIST) {
		t.Errorf("NewPoll of one socket twice = %v, %v; want %v", p, err, unix.EEXIST)
	}
	if p, err := NewPoll(a, closed); p != nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("NewPoll = %v, %v; want %v", p, err, net.ErrClosed)
	}
	withDescriptors(t, 1, func() {
		if held, err := os.Open(os.DevNull); err != nil {
			t.Error(err)
		} else {
			defer held.Close()
		}
		if p, err := NewPoll(a); p != nil || err == nil {
			t.Errorf("NewPoll without a free descriptor = %v, %v; want an error", p, err)
		}
	})
	if n := descriptors(t); n != before {
		t.Errorf("%d files are left open, want 0", n-before)
	}
	write(t, client, to(a.LocalAddr(), 1)...)
	readAll(t, a, 1) // waits
}

func TestPollDoesNotAllocate(t *testing.T) {
	a, client := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	p := pollOf(t, a)
	out, in := to(a.LocalAddr(), 1), buffers(1, 100)
	if n := testing.AllocsPerRun(100, func() {
		client.WriteBatch(out)
		if _, err := p.Wait(); err != nil {
			t.Fatal(err)
		}
		a.ReadBatch(in)
	}); n != 0 {
		t.Errorf("%v allocations for a wait, want 0", n)
	}
}
