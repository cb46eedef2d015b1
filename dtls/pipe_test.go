package dtls

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// readAll is a screen that passes everything.
func readAll(b, datagram []byte) ([]byte, error) { return append(b, datagram...), nil }

func wantRead(t *testing.T, what string, p *pipe, room int, want string) {
	t.Helper()
	b := make([]byte, room)
	n, from, err := p.ReadFrom(b)
	if err != nil || string(b[:n]) != want || from != p.LocalAddr() || from == nil {
		t.Errorf("%s: read %q from %v, %v, want %q", what, b[:n], from, err, want)
	}
}

func wantNoRead(t *testing.T, what string, p *pipe, want error) {
	t.Helper()
	if n, from, err := p.ReadFrom(make([]byte, 100)); n != 0 || from != nil || !errors.Is(err, want) {
		t.Errorf("%s: read %d bytes from %v, %v, want %v", what, n, from, err, want)
	}
}

// One read returns as many whole records as fit the buffer; the next reads return the rest.
func TestPipeIsReadByRecords(t *testing.T) {
	short, long := string(plaintextRecord(TypeHandshake, 1, "short")), string(plaintextRecord(TypeHandshake, 2, "a longer one"))
	p := newPipe(nil, nil)
	p.screen = readAll
	deliver := func(s string) {
		if !p.deliver([]byte(s)) {
			t.Fatal("the queue is full")
		}
	}
	deliver(short + long + short)
	wantRead(t, "room for all", p, len(short+long+short), short+long+short)
	deliver(short + long + short)
	wantRead(t, "room for two", p, len(short+long+short)-1, short+long)
	wantRead(t, "the rest", p, 100, short)
	deliver(short + long + short)
	wantRead(t, "room for two that are short", p, len(short+short), short)
	wantRead(t, "the rest", p, 100, long+short)
	deliver(long + short)
	wantRead(t, "no room for one", p, 20, long[:20])
	deliver("x")
	wantRead(t, "the other part of it", p, 100, long[20:]+short)
	wantRead(t, "no record", p, 100, "x")
	deliver("")
	deliver(short)
	wantRead(t, "after nothing", p, 100, short)
}

// The memory of a long flight is freed when it has been read.
func TestPipeKeepsNoLongFlight(t *testing.T) {
	p := newPipe(nil, nil)
	flight := string(plaintextRecord(TypeHandshake, 1, string(make([]byte, maxHandshake))))
	p.screen = func(b, _ []byte) ([]byte, error) { return append(b, flight...), nil }
	p.deliver([]byte{22})
	wantRead(t, "a part", p, 100, flight[:100])
	wantRead(t, "the rest", p, len(flight), flight[100:])
	if n := cap(p.screened); n > maxHandshake {
		t.Errorf("%d bytes are kept, want at most %d", n, maxHandshake)
	}
}

// After a pipe has ended, by whichever end, it accepts, reads and writes nothing.
func TestEndOfAPipe(t *testing.T) {
	for name, end := range map[string]func(*pipe){
		"finish": (*pipe).finish,
		"Close":  func(p *pipe) { p.Close() },
		"a message that the screen refuses": func(p *pipe) {
			p.deliver([]byte{22})
			wantNoRead(t, "a refused message", p, io.EOF)
		},
	} {
		written := 0
		p := newPipe(nil, func([]byte) error { written++; return nil })
		p.screen = func(b, _ []byte) ([]byte, error) { return b, ErrMessage }
		end(p)
		if p.deliver([]byte{22}) {
			t.Errorf("%s: a datagram is accepted after the end", name)
		}
		wantNoRead(t, name, p, io.EOF)
		if n, err := p.WriteTo([]byte("alert"), nil); n != 5 || err != nil || written != 0 {
			t.Errorf("%s: %d bytes written, %v, and %d datagrams sent; want 5, nil, 0", name, n, err, written)
		}
	}
	p := newPipe(nil, nil)
	p.deliver([]byte("datagram"))
	wantRead(t, "a part", p, 4, "data")
	p.finish()
	wantNoRead(t, "the rest after the end", p, io.EOF)
	synctest.Test(t, func(t *testing.T) { // a reader that waits returns
		p := newPipe(nil, nil)
		time.AfterFunc(time.Second, p.finish)
		wantNoRead(t, "a reader that waits", p, io.EOF)
	})
}

func TestWriteToAPipe(t *testing.T) {
	var got []string
	var refuse error
	p := newPipe(nil, func(b []byte) error { got = append(got, string(b)); return refuse })
	if n, err := p.WriteTo([]byte("datagram"), nil); n != 8 || err != nil {
		t.Errorf("WriteTo returns %d, %v; want 8, nil", n, err)
	}
	refuse = errRecordNumbers
	if n, err := p.WriteTo([]byte("refused"), nil); n != 0 || !errors.Is(err, refuse) {
		t.Errorf("WriteTo of a refused datagram returns %d, %v; want 0 and the refusal", n, err)
	}
	if len(got) != 2 || got[0] != "datagram" || got[1] != "refused" {
		t.Errorf("written %q, want datagram and refused", got)
	}
}

// A deadline in the past ends the pipe, and makes a reader return; any other does nothing.
func TestDeadlineOfAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, past := range map[string]time.Time{"long ago": time.Unix(1, 0), "now": time.Now()} {
			for kind, set := range map[string]func(*pipe, time.Time) error{
				"read deadline": (*pipe).SetReadDeadline, "deadline": (*pipe).SetDeadline,
			} {
				p := newPipe(nil, nil)
				p.screen = readAll
				done := make(chan error, 1)
				go func() {
					_, _, err := p.ReadFrom(make([]byte, 10))
					done <- err
				}()
				synctest.Wait()
				for _, t0 := range []time.Time{{}, time.Now().Add(time.Minute)} {
					wantNil(t, kind, set(p, t0))
					synctest.Wait()
					if len(done) > 0 {
						t.Fatalf("a reader returns because of the %s %v: %v", kind, t0, <-done)
					}
				}
				wantNil(t, kind, set(p, past))
				if err := <-done; err != io.EOF {
					t.Errorf("%s %s: the reader returns %v, want io.EOF", kind, name, err)
				}
				wantNil(t, kind, set(p, time.Time{}))
				wantNoRead(t, kind+" taken back", p, io.EOF)
			}
		}
	})
}

// A handshake that computes is inside the gate. One that waits for the peer is not. One that
// has ended does not stay inside, whether it notices the gate or the end first.
func TestGateOfAPipe(t *testing.T) {
	gate := make(Gate, 1)
	p := newPipe(gate, nil)
	p.enter()
	if len(gate) != 1 {
		t.Errorf("%d handshakes are inside, want the one that computes", len(gate))
	}
	p.leave()
	if len(gate) != 0 {
		t.Error("a handshake that waits for its peer is inside")
	}
	p.deliver([]byte("x"))
	if wantRead(t, "datagram", p, 10, "x"); len(gate) != 1 {
		t.Error("a handshake that has read is not inside")
	}
	if p.finish(); len(gate) != 0 {
		t.Error("a handshake that has ended is inside")
	}
	for range 64 { // select chooses one of both at random
		if p.enter(); len(gate) != 0 {
			t.Fatal("a handshake that has ended stays inside")
		}
	}
}

var _ net.PacketConn = (*pipe)(nil)
