package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// dialed returns both ends of a connection.
func dialed(t *testing.T) (ours net.Conn, peer *net.TCPConn) {
	t.Helper()
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	ours = unseen(testkit.Must(net.Dial("tcp", l.Addr().String())))
	peer = testkit.Must(l.Accept()).(*net.TCPConn)
	t.Cleanup(func() { ours.Close(); peer.Close() })
	for _, c := range []net.Conn{ours, peer} {
		c.SetDeadline(time.Now().Add(testkit.Patience))
	}
	return ours, peer
}

// More than the buffers of the sockets hold arrives whole, in both directions at once.
func TestAConnectionToNATSMovesAllBytes(t *testing.T) {
	ours, peer := dialed(t)
	sent := make([]byte, 16<<20)
	for i := range sent {
		sent[i] = byte(i / 251)
	}
	back := make(chan error, 1)
	go func() {
		_, err := io.Copy(peer, peer)
		peer.CloseWrite()
		back <- err
	}()
	written := make(chan error, 1)
	go func() {
		n, err := ours.Write(sent)
		if n != len(sent) && err == nil {
			err = io.ErrShortWrite
		}
		ours.(interface{ CloseWrite() error }).CloseWrite()
		written <- err
	}()
	got, err := io.ReadAll(ours)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes are back of %d, %v", len(got), len(sent), err)
	}
	if err := errors.Join(<-written, <-back); err != nil {
		t.Error(err)
	}
}

func TestTheEndOfAConnectionToNATS(t *testing.T) {
	b := make([]byte, 8)
	t.Run("the peer has sent its last bytes", func(t *testing.T) {
		ours, peer := dialed(t)
		peer.Write([]byte("last"))
		peer.Close()
		if got, err := io.ReadAll(ours); string(got) != "last" || err != nil {
			t.Errorf("%q, %v; want the bytes and the end", got, err)
		}
		if n, err := ours.Read(b); n != 0 || err != io.EOF {
			t.Errorf("Read = %d, %v; want io.EOF", n, err)
		}
	})
	t.Run("the peer resets it", func(t *testing.T) {
		ours, peer := dialed(t)
		peer.SetLinger(0)
		peer.Close()
		if n, err := ours.Read(b); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read = %d, %v; want %v", n, err, syscall.ECONNRESET)
		} else if want := fmt.Sprintf("read tcp %v->%v: read: %v", ours.LocalAddr(), ours.RemoteAddr(), syscall.ECONNRESET); udpio.CanTry && err.Error() != want {
			t.Errorf("the error is %q, want that of net: %q", err, want)
		}
		var failed *net.OpError
		if n, err := ours.Write(b); n != 0 || !errors.As(err, &failed) {
			t.Errorf("Write = %d, %v; want an error of the connection", n, err)
		}
	})
	t.Run("the deadline has passed", func(t *testing.T) {
		ours, _ := dialed(t)
		ours.SetDeadline(time.Unix(1, 0))
		if n, err := ours.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %d, %v; want that of the deadline", n, err)
		}
		if n, err := ours.Write(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v; want that of the deadline", n, err)
		}
	})
	t.Run("it is closed", func(t *testing.T) {
		ours, _ := dialed(t)
		ended := make(chan error, 1)
		go func() {
			_, err := ours.Read(make([]byte, 1))
			ended <- err
		}()
		ours.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a Read that waits = %v; want net.ErrClosed", err)
		}
		if n, err := ours.Write(b); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write = %d, %v; want net.ErrClosed", n, err)
		}
	})
	t.Run("no bytes", func(t *testing.T) {
		ours, _ := dialed(t)
		if n, err := ours.Read(nil); n != 0 || err != nil {
			t.Errorf("Read = %d, %v", n, err)
		}
		if n, err := ours.Write(nil); n != 0 || err != nil {
			t.Errorf("Write = %d, %v", n, err)
		}
	})
}

// Bytes that the socket takes do not go through the TCPConn, of whose system calls the runtime learns.
func TestWritesToNATSOfWhichTheRuntimeDoesNotLearn(t *testing.T) {
	if !udpio.CanTry {
		t.Skip("NOT RUN: this system has no such calls")
	}
	open, peer := dialed(t)
	closed, _ := dialed(t)
	closed.Close()
	c := natsConn{closed.(*natsConn).TCPConn, open.(*natsConn).raw}
	if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(peer, b); string(b) != "hello" {
		t.Errorf("%q arrive, %v", b, err)
	}
	c = natsConn{open.(*natsConn).TCPConn, closed.(*natsConn).raw}
	if n, err := c.Write([]byte("hello")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write = %d, %v; want net.ErrClosed", n, err)
	}
}

// What is no connection of TCP, or not an open one, stays as it is.
func TestOtherConnections(t *testing.T) {
	pipe, other := net.Pipe()
	defer pipe.Close()
	defer other.Close()
	for _, c := range []net.Conn{pipe, new(net.TCPConn), nil} {
		if got := unseen(c); got != c {
			t.Errorf("of a %T comes a %T", c, got)
		}
	}
}

// The first connection to NATS and later ones are such connections.
func TestTheDialerOfNATS(t *testing.T) {
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	d := &dialer{ctx: t.Context(), life: t.Context(), timeout: testkit.Patience}
	for range 2 {
		c := testkit.Must(d.Dial("tcp", l.Addr().String()))
		defer c.Close()
		if _, ok := c.(*natsConn); ok != udpio.CanTry {
			t.Errorf("Dial returns a %T", c)
		}
		d.joined.Store(true)
	}
}
