package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The end of the context of Join is not the end of the connection, and the time that Join had left is not that of later attempts.
func TestAfterJoin(t *testing.T) {
	server := newNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	f := testkit.Must(Join(ctx, Config{NATS: server.address()}))
	t.Cleanup(func() { f.Close() })
	if o := f.nc.Opts; o.Timeout != maxConnect || o.PingInterval != pingEvery || o.FlusherTimeout != flushTimeout {
		t.Errorf("a later attempt has %v, there is a ping each %v, and a write has %v; want %v, %v and %v", o.Timeout, o.PingInterval, o.FlusherTimeout, maxConnect, pingEvery, flushTimeout)
	}
	if cancel(); f.nc.Flush() != nil || !f.Connected() {
		t.Error("the connection ends with the context of Join")
	}
	without := testkit.Must(Join(t.Context(), Config{NATS: server.address()}))
	t.Cleanup(func() { without.Close() })
	if o := without.nc.Opts; o.Timeout != nats.DefaultTimeout || o.CustomDialer.(*dialer).timeout != nats.DefaultTimeout {
		t.Errorf("an attempt of a Join without a time limit has %v, and %v to dial; want those of nats.go, %v", o.Timeout, o.CustomDialer.(*dialer).timeout, nats.DefaultTimeout)
	}
}

// Join ends when its context is done, amid an attempt at an address that says nothing, and tries no other address then.
func TestJoinEndsAmidAnAttempt(t *testing.T) {
	came := make(chan net.Conn, 4)
	listen := func() string {
		l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				came <- c
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return "nats://" + l.Addr().String()
	}
	for _, deadline := range []time.Duration{0, time.Hour} {
		ctx, cancel := context.WithCancel(t.Context())
		if deadline > 0 {
			ctx, cancel = context.WithTimeout(t.Context(), deadline)
		}
		result := make(chan error, 1)
		address := listen() + "," + listen()
		go func() {
			_, err := Join(ctx, Config{NATS: address})
			result <- err
		}()
		c := testkit.Next(t, "a connection", came)
		cancel()
		if err := testkit.Next(t, "Join returns", result); !errors.Is(err, context.Canceled) {
			t.Errorf("deadline %v: %v, want that the context is done", deadline, err)
		}
		c.Close()
		if len(came) != 0 {
			t.Errorf("deadline %v: another address is tried", deadline)
		}
	}
}

// NATS refuses the password for some attempts, as it does while its operator changes the accounts, and takes it again.
func TestNATSRefusesThePasswordForAWhile(t *testing.T) {
	server := newNATS(t)
	p := newProxy(t, server.address())
	again := func(password string) {
		server.stop()
		server.o.Username, server.o.Password = "u", password
		server.start()
		p.lead(server.address())
	}
	again("right")
	n := joinNode(t, Config{NATS: p.address(), User: "u", Password: "right"}, "NATS")
	again("other")
	for refused := 0; refused < 3; { // nats.go gives up after two by default
		if testkit.Next(t, "NATS refuses the password", n.logs) == "NATS" {
			refused++
		}
	}
	again("right")
	wait(t, "the node is back", n.Connected)
}

// An error of NATS that nats.go does not know ends the connection for good, and the log says so.
func TestNATSEndsTheConnectionForGood(t *testing.T) {
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, `INFO {"server_id":"x","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			switch {
			case lines.Text() == "PING":
				fmt.Fprint(c, "PONG\r\n")
			case strings.HasPrefix(lines.Text(), "SUB "):
				fmt.Fprint(c, "-ERR 'Something New'\r\n")
			}
		}
	}()
	n := joinNode(t, Config{NATS: "nats://" + l.Addr().String()}, "NATS has ended")
	testkit.Want(t, "the log", n.logs, "NATS has ended the connection for good: start this node again")
	wait(t, "NATS is away", func() bool { return !n.Connected() })
}

// When a connection to NATS is closed, what its socket still has does not arrive later, after what the next connection has sent.
func TestAClosedConnectionToNATSSendsNothingMore(t *testing.T) {
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	d := &dialer{ctx: t.Context(), life: t.Context(), timeout: testkit.Patience}
	for range 2 {
		ours, peer := testkit.Must(d.Dial("tcp", l.Addr().String())), testkit.Must(l.Accept())
		defer peer.Close()
		ours.Close()
		peer.SetDeadline(time.Now().Add(testkit.Patience))
		if b, err := io.ReadAll(peer); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("joined %v: %q, %v; want that the connection is reset", d.joined.Load(), b, err)
		}
		d.joined.Store(true)
	}
}

// While Join waits for what NATS says first, the end of the context of Join closes the connection.
func TestTheEndOfJoinClosesTheConnection(t *testing.T) {
	l := testkit.Must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	d := &dialer{ctx: ctx, life: t.Context(), timeout: testkit.Patience}
	c := testkit.Must(d.Dial("tcp", l.Addr().String()))
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(testkit.Patience))
	cancel()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v, want that the connection is closed", err)
	}
}

// An address that does not answer takes a second of a later attempt to connect, and all of the time of Join. Here the address is a host name
// about which no server answers, because a search for an address needs no network.
func TestTheTimeOfAnAttemptToConnect(t *testing.T) {
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	resolver := func(dial func(context.Context, string, string) (net.Conn, error)) {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dial}
	}
	resolver(func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") })
	net.DefaultResolver.LookupHost(t.Context(), "nats.example.") // package net makes channels when it is first used: not in the bubble
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		resolver(func(ctx context.Context, _, _ string) (net.Conn, error) {
			asked.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		for _, c := range []struct {
			joined        bool
			timeout, want time.Duration
		}{{false, 3 * time.Second, 3 * time.Second}, {true, 3 * time.Second, redialTimeout}, {true, redialTimeout / 2, redialTimeout / 2}} {
			d := &dialer{ctx: t.Context(), life: t.Context(), timeout: c.timeout}
			d.joined.Store(c.joined)
			begun := time.Now()
			conn, err := d.Dial("tcp", "nats.example.:4222")
			if failed, ok := errors.AsType[net.Error](err); conn != nil || !ok || !failed.Timeout() || time.Since(begun) != c.want {
				t.Errorf("%+v: %v, %v after %v", c, conn, err, time.Since(begun))
			}
		}
		if synctest.Wait(); asked.Load() == 0 {
			t.Error("no server is asked about the name")
		}
	})
}
