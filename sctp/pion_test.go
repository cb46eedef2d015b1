package sctp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/sctp"
)

// A wire joins an Assoc and a pion association in a synctest bubble. It is the net.Conn of
// pion's and the owner of the Assoc.
type wire struct {
	t     *testing.T
	delay time.Duration
	peer  *pion.Association

	in     chan []byte // packets for pion
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex
	air      [2][][]byte // packets on their way to pion and to a, in order
	a        *Assoc
	timer    *time.Timer
	rnd      *rand.Rand
	loss     float64
	events   []Event
	messages map[string]int // received by a; nil until wanted
	count    int
}

// newWire connects an Assoc with pion. weConnect says whether the Assoc sends the INIT.
func newWire(t *testing.T, weConnect bool, set ...func(*Config)) *wire {
	t.Helper()
	c := Config{LocalTag: ourTag, InitialTSN: 0xffff_fff0, CookieKey: [32]byte{1}, EvenStreams: true}
	for _, f := range set {
		f(&c)
	}
	w := &wire{
		t: t, delay: 10 * time.Millisecond, a: New(c),
		in: make(chan []byte, 4096), closed: make(chan struct{}), rnd: rand.New(rand.NewPCG(1, 1)),
	}
	w.timer = time.AfterFunc(time.Hour, w.expire)
	if weConnect {
		w.do(func(now time.Time) { w.a.Connect(now) })
	}
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	var err error
	if weConnect {
		w.peer, err = pion.ServerWithOptions(pion.WithNetConn(w), pion.WithLoggerFactory(logs))
	} else {
		w.peer, err = pion.ClientWithOptions(pion.WithNetConn(w), pion.WithLoggerFactory(logs))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.until("established", func() bool { return w.a.Established() })
	return w
}

// do runs f as the association's owner, and sends the packets that are due after it.
func (w *wire) do(f func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	f(now)
	w.a.Flush(now)
	for b := w.a.Append(now, nil); len(b) > 0; b = w.a.Append(now, nil) {
		w.transmit(b)
	}
	for _, e := range w.events {
		w.note(e)
	}
	w.events = w.events[:0]
	if d := w.a.Deadline(); !d.IsZero() {
		w.timer.Reset(time.Until(d))
	}
}

func (w *wire) note(e Event) {
	if e.Type != Message {
		return
	}
	w.count++
	if w.messages != nil {
		w.messages[string(e.Payload)]++
	}
}

// transmit sends a packet to pion.
func (w *wire) transmit(b []byte) {
	if w.rnd.Float64() < w.loss {
		return
	}
	w.air[0] = append(w.air[0], bytes.Clone(b))
	time.AfterFunc(w.delay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		select {
		case w.in <- w.land(0):
		default:
		}
	})
}

// land returns the next packet that arrives. Timers of the same instant run in any order;
// packets do not overtake each other here.
func (w *wire) land(i int) []byte {
	b := w.air[i][0]
	w.air[i] = w.air[i][1:]
	return b
}

func (w *wire) expire() {
	w.do(func(now time.Time) { w.events = w.a.Advance(now, w.events) })
}

// Write takes a packet of pion.
func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rnd.Float64() >= w.loss {
		w.air[1] = append(w.air[1], bytes.Clone(b))
		time.AfterFunc(w.delay, func() {
			w.do(func(now time.Time) { w.events = w.a.Receive(now, w.land(1), w.events) })
		})
	}
	return len(b), nil
}

func (w *wire) Read(b []byte) (int, error) {
	select {
	case p := <-w.in:
		return copy(b, p), nil
	case <-w.closed:
		return 0, io.EOF
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) LocalAddr() net.Addr                { return &net.UDPAddr{} }
func (w *wire) RemoteAddr() net.Addr               { return &net.UDPAddr{} }
func (w *wire) SetDeadline(t time.Time) error      { return nil }
func (w *wire) SetReadDeadline(t time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(t time.Time) error { return nil }

// until waits for a condition in virtual time.
func (w *wire) until(what string, ok func() bool) {
	w.t.Helper()
	for range 60_000 {
		w.mu.Lock()
		done := ok()
		w.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatalf("not %s within a minute; %+v", what, w.a.Stats())
}

func (w *wire) end() {
	_ = w.Close()
	_ = w.peer.Close()
	w.timer.Stop()
}

// stream opens a stream of pion as a page does: unordered, no retransmissions.
func (w *wire) stream(id uint16, k pion.PayloadProtocolIdentifier) *pion.Stream {
	w.t.Helper()
	s, err := w.peer.OpenStream(id, k)
	if err != nil {
		w.t.Fatal(err)
	}
	s.SetReliabilityParams(true, pion.ReliabilityTypeRexmit, 0)
	return s
}

func (w *wire) send(stream uint16, k Kind, payload []byte) {
	w.t.Helper()
	w.do(func(now time.Time) {
		b, err := w.a.AppendMessage(now, nil, stream, k, payload)
		if err != nil {
			w.t.Error(err)
		}
		w.transmit(b)
	})
}

// inBubble runs a test in virtual time, once for each end that may begin.
func inBubble(t *testing.T, f func(t *testing.T, weConnect bool)) {
	for _, weConnect := range []bool{true, false} {
		t.Run(fmt.Sprintf("weConnect=%v", weConnect), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, weConnect) })
		})
	}
}

func TestPionMessagesBothWays(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		w.messages = map[string]int{}
		s := w.stream(1, pion.PayloadTypeWebRTCString)
		if _, err := s.WriteSCTP([]byte("hello from pion"), pion.PayloadTypeWebRTCString); err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteSCTP([]byte{}, pion.PayloadTypeWebRTCStringEmpty); err != nil {
			t.Fatal(err)
		}
		w.until("delivered", func() bool { return w.messages["hello from pion"] == 1 })
		w.send(1, Binary, []byte("hello pion"))
		b := make([]byte, 2000)
		n, ppid, err := s.ReadSCTP(b)
		if err != nil || string(b[:n]) != "hello pion" || ppid != pion.PayloadTypeWebRTCBinary {
			t.Errorf("pion reads %q, %v, %v; want hello pion", b[:n], ppid, err)
		}
		w.send(1, Text, nil)
		if _, ppid, err = s.ReadSCTP(b); err != nil || ppid != pion.PayloadTypeWebRTCStringEmpty {
			t.Errorf("pion reads an empty text as %v, %v", ppid, err)
		}
		largest := bytes.Repeat([]byte("x"), MaxPayload)
		w.send(1, Binary, largest)
		if n, _, err = s.ReadSCTP(b); err != nil || !bytes.Equal(b[:n], largest) {
			t.Errorf("pion reads %d bytes of the largest message, %v; want %d", n, err, len(largest))
		}
	})
}

func TestPionFragments(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		w.messages = map[string]int{}
		s := w.stream(1, pion.PayloadTypeWebRTCBinary)
		for _, size := range []int{1160, 1161, 1200, 5000, 16 << 10} {
			m := bytes.Repeat([]byte{byte(size)}, size)
			if _, err := s.WriteSCTP(m, pion.PayloadTypeWebRTCBinary); err != nil {
				t.Fatal(err)
			}
			w.until(fmt.Sprint("delivered: ", size), func() bool { return w.messages[string(m)] == 1 })
		}
		if _, err := s.WriteSCTP(make([]byte, 16<<10+1), pion.PayloadTypeWebRTCBinary); err != nil {
			t.Fatal(err)
		}
		w.until("dropped", func() bool { return w.a.Stats().Drops[dropTooLarge] > 0 })
		time.Sleep(5 * time.Second)
		w.until("empty", func() bool { return w.a.Stats().Buffered == 0 })
	})
}

// A channel is opened, acknowledged, used, closed and used again.
func TestPionChannelLifecycle(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		for range 20 {
			s := w.stream(1, pion.PayloadTypeWebRTCDCEP)
			s.SetReliabilityParams(false, pion.ReliabilityTypeReliable, 0)
			if _, err := s.WriteSCTP([]byte(chromiumOpen), pion.PayloadTypeWebRTCDCEP); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			if n, ppid, err := s.ReadSCTP(b); err != nil || n != 1 || b[0] != dcepAck || ppid != pion.PayloadTypeWebRTCDCEP {
				t.Fatalf("pion reads %x, %v, %v; want a DATA_CHANNEL_ACK", b[:n], ppid, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.ReadSCTP(b); err != io.EOF {
				t.Fatalf("pion's stream ends with %v, want io.EOF after the reset of our direction", err)
			}
			w.until("forgotten", func() bool { return len(w.a.channels) == 0 })
		}
		if n := w.a.Stats().resets; n != 20 {
			t.Errorf("%d resets are counted, want 20", n)
		}
	})
}

func TestPionRefusedChannelIsReset(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		s := w.stream(1, pion.PayloadTypeWebRTCDCEP)
		s.SetReliabilityParams(false, pion.ReliabilityTypeReliable, 0)
		if _, err := s.WriteSCTP([]byte(openMessage(channelReliable, 0, "ordered")), pion.PayloadTypeWebRTCDCEP); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.ReadSCTP(make([]byte, 100)); err != io.EOF {
			t.Errorf("pion's stream ends with %v, want io.EOF after a reset", err)
		}
	})
}

func TestPionAborts(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		w.peer.Abort("page closed")
		w.until("closed", func() bool { return w.a.state == stateClosed })
	})
}

func TestPionIsAborted(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		s := w.stream(1, pion.PayloadTypeWebRTCBinary)
		w.do(func(now time.Time) { w.transmit(w.a.Abort(now, "kicked", nil)) })
		if _, _, err := s.ReadSCTP(make([]byte, 10)); err == nil {
			t.Error("pion's stream is still open after the ABORT")
		}
	})
}

// With 10 % loss in both directions messages still arrive. As pion reads 90 % of them, no
// FORWARD-TSN has cost a message that was not lost.
func TestPionLongRunWithLosses(t *testing.T) {
	const messages = 250_000
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect)
		defer w.end()
		s := w.stream(1, pion.PayloadTypeWebRTCBinary)
		if _, err := s.WriteSCTP([]byte("first"), pion.PayloadTypeWebRTCBinary); err != nil {
			t.Fatal(err)
		}
		w.until("delivered", func() bool { return w.count == 1 })
		w.mu.Lock()
		w.loss = 0.1
		w.mu.Unlock()
		var read, last int
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 100)
			for {
				if _, _, err := s.ReadSCTP(b); err != nil {
					return
				}
				read++
			}
		}()
		payload := []byte("sixteen bytes...")
		for range messages / 50 {
			for range 50 {
				w.send(1, Binary, payload)
				if _, err := s.WriteSCTP(payload, pion.PayloadTypeWebRTCBinary); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.mu.Lock()
		w.loss, last = 0, w.count
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		if _, err := s.WriteSCTP([]byte("last"), pion.PayloadTypeWebRTCBinary); err != nil {
			t.Fatal(err)
		}
		w.until("delivered", func() bool { return w.count > last })
		w.end()
		<-done
		t.Logf("pion read %d, we %d; %d FORWARD-TSNs", read, w.count, w.a.Stats().Forwards)
		if read < 0.89*messages || read > 0.91*messages {
			t.Errorf("pion read %d of %d messages, want 89 %% to 91 %%", read, messages)
		}
		if w.count < 0.85*messages || w.count > 0.95*messages {
			t.Errorf("the Assoc received %d of %d messages, want 85 %% to 95 %%", w.count, messages)
		}
	})
}

// A reliable ordered stream of pion loses no message.
func TestPionReliableStream(t *testing.T) {
	inBubble(t, func(t *testing.T, weConnect bool) {
		w := newWire(t, weConnect, allowReliable)
		defer w.end()
		w.mu.Lock()
		w.loss = 0.1
		w.messages = map[string]int{}
		w.mu.Unlock()
		s := w.stream(1, pion.PayloadTypeWebRTCDCEP)
		s.SetReliabilityParams(false, pion.ReliabilityTypeReliable, 0)
		if _, err := s.WriteSCTP([]byte(openMessage(channelReliable, 0, "files")), pion.PayloadTypeWebRTCDCEP); err != nil {
			t.Fatal(err)
		}
		const n = 300
		for i := range n {
			m := append(fmt.Appendf(nil, "%04d ", i), bytes.Repeat([]byte("x"), i*37%4000)...)
			if _, err := s.WriteSCTP(m, pion.PayloadTypeWebRTCBinary); err != nil {
				t.Fatal(err)
			}
		}
		w.until("complete", func() bool { return w.count == n })
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.messages) != n || w.a.Stats().Eager {
			t.Errorf("%d different messages, want %d; eager %v, want false", len(w.messages), n, w.a.Stats().Eager)
		}
	})
}
