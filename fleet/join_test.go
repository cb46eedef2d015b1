package fleet

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The end of the context of Join is not the end of the connection, and the time that Join had left is not that of later attempts.
func TestAfterJoin(t *testing.T) {
	server := newNATS(t)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	f := testkit.Must(Join(ctx, Config{NATS: server.address()}))
	t.Cleanup(func() { f.Close() })
	if f.nc.Opts.Timeout != maxConnect || f.nc.Opts.PingInterval != pingEvery {
		t.Errorf("a later attempt has %v, and there is a ping each %v; want %v and %v", f.nc.Opts.Timeout, f.nc.Opts.PingInterval, maxConnect, pingEvery)
	}
	if cancel(); f.nc.Flush() != nil || !f.Connected() {
		t.Error("the connection ends with the context of Join")
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
