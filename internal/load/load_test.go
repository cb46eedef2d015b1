package load

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Transport whose server is a goroutine.
type memory struct {
	channels []Channel
	fail     func(index int) error
	answer   func(m *memory, s sentBy) // nil for echoes
	refuse   error                     // error of the second client's Send
	queue    chan sentBy
	closed   chan struct{}
	ended    sync.WaitGroup
	mu       sync.Mutex
	clients  []*Client
}

type sentBy struct {
	client *Client
	lane   int
	b      []byte
}

func newMemory() *memory {
	m := &memory{queue: make(chan sentBy, 10_000), closed: make(chan struct{})}
	m.ended.Go(func() {
		for {
			select {
			case s := <-m.queue:
				m.serve(s)
			case <-m.closed:
				return
			}
		}
	})
	return m
}

func (m *memory) serve(s sentBy) {
	if m.answer != nil {
		m.answer(m, s)
	} else {
		s.client.Receive(s.lane, s.b)
	}
}

func (m *memory) Dial(_ context.Context, c *Client) (Link, error) {
	if m.fail != nil {
		if err := m.fail(c.Index()); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients = append(m.clients, c)
	return &memoryLink{m, c}, nil
}

func (m *memory) Channels() []Channel {
	if m.channels != nil {
		return m.channels
	}
	return plain
}

func (m *memory) Drops() uint64 { return 7 }

func (m *memory) Close() error {
	close(m.closed)
	m.ended.Wait()
	return nil
}

type memoryLink struct {
	memory *memory
	client *Client
}

func (l *memoryLink) Send(i int, b []byte) error {
	if l.client.Index() == 1 && l.memory.refuse != nil {
		return l.memory.refuse
	}
	l.memory.queue <- sentBy{l.client, i, slices.Clone(b)}
	return nil
}

// again returns a memory with the settings of m, which a run has closed.
func (m *memory) again() *memory {
	n := newMemory()
	n.channels, n.fail, n.answer, n.refuse = m.channels, m.fail, m.answer, m.refuse
	return n
}

// runLoad runs a load for a short time, and a second time if this process got hardly any CPU in
// it.
func runLoad(t *testing.T, m *memory, c Config) *Report {
	t.Helper()
	c.Duration, c.Warmup = 100*time.Millisecond, 5*time.Millisecond
	for ; ; m = m.again() {
		r, err := Run(t.Context(), m, c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Rate == 0 || r.Sent >= 20 {
			return r
		}
	}
}

func TestEcho(t *testing.T) {
	r := runLoad(t, newMemory(), Config{Mode: Echo, Clients: 10, Rate: 100})
	if r.Mode != Echo || r.Clients != 10 || r.Connected != 10 || r.Failed != 0 || r.Sent == 0 || r.Received != r.Sent || r.Loss != 0 {
		t.Errorf("%+v, want 10 connected, and each message echoed", r)
	}
	if r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P999 || r.Size != headerLen || r.Rate != 1000 || r.LoadDrops != 7 {
		t.Errorf("%+v, want latencies, messages of %d bytes, a rate of 1000, 7 drops", r, headerLen)
	}
}

func TestLossIsCounted(t *testing.T) {
	m := newMemory()
	n := 0
	m.answer = func(_ *memory, s sentBy) {
		if n++; n%2 == 0 {
			s.client.Receive(0, s.b)
		}
	}
	r := runLoad(t, m, Config{Mode: Echo, Clients: 1, Rate: 2000})
	if r.Loss < 0.4 || r.Loss > 0.6 {
		t.Errorf("loss %v, want between 0.4 and 0.6", r.Loss)
	}
}

// The server takes a millisecond for each message, and there is always one that waits.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.answer = func(_ *memory, s sentBy) {
			time.Sleep(time.Millisecond)
			s.client.Receive(s.lane, s.b)
		}
		r := runLoad(t, m, Config{Mode: Flood, Clients: 3, Window: 2, Size: 100})
		if r.Sent != 100 || r.Received != r.Sent {
			t.Errorf("%+v, want 100 sent and received", r)
		}
	})
}

func TestFanout(t *testing.T) {
	m := newMemory()
	m.answer = func(m *memory, s sentBy) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if s.client.Index() != 0 {
			t.Errorf("client %d has sent, want only client 0", s.client.Index())
		}
		for _, c := range m.clients {
			c.Receive(0, s.b)
		}
	}
	r := runLoad(t, m, Config{Mode: Fanout, Clients: 20, Rate: 1000})
	if r.Sent == 0 || r.Received != 20*r.Sent || r.Loss != 0 {
		t.Errorf("%+v, want 20 received for each sent", r)
	}
}

func TestChannels(t *testing.T) {
	m := newMemory()
	m.channels = []Channel{{"a", "sequenced"}, {"b", "reliable-ordered"}}
	m.answer = func(_ *memory, s sentBy) {
		if s.lane == 1 {
			s.client.Receive(1, s.b)
		}
		s.client.Receive(-1, s.b) // a message of a channel on which clients do not send
	}
	r := runLoad(t, m, Config{Mode: Echo, Clients: 3, Rate: 1000})
	if len(r.Channels) != 2 || r.Sent != r.Channels[0].Sent+r.Channels[1].Sent || r.Rate != 6000 || r.Foreign == 0 {
		t.Fatalf("%+v, want two channels, a rate of 6000, and foreign messages", r)
	}
	a, b := r.Channels[0], r.Channels[1]
	if a.Sent == 0 || a.Received != 0 || a.Loss != 1 || b.Sent == 0 || b.Received != b.Sent || b.Loss != 0 || b.Latency.P50 == 0 {
		t.Errorf("want that all messages of a are lost and none of b:\n%+v\n%+v", a, b)
	}
	if r.Latency != b.Latency {
		t.Errorf("the latency of all is %+v, want that of b: %+v", r.Latency, b.Latency)
	}
}

func TestPlay(t *testing.T) {
	m := newMemory()
	m.answer = func(_ *memory, s sentBy) {
		s.client.Receive(7, []byte("state"))
		s.client.Receive(7, []byte("state"))
	}
	r := runLoad(t, m, Config{Mode: Play, Clients: 5, Rate: 200})
	if r.Received == 0 || r.Foreign != 0 || r.Loss != 0 || r.Spacing.Max == 0 || r.Latency.Max != 0 {
		t.Errorf("%+v, want messages with a spacing and without a latency", r)
	}
}

// The report has the errors that happen while the load runs.
func TestMishaps(t *testing.T) {
	m := newMemory()
	m.answer = func(_ *memory, s sentBy) {
		s.client.Interrupted()
		s.client.Closed("kicked")
	}
	m.refuse = errors.New("too large")
	r := runLoad(t, m, Config{Mode: Echo, Clients: 2, Rate: 1000})
	if r.Refused == 0 || r.FirstRefusal != "too large" || r.Sent == 0 || r.Interrupted == 0 || r.Closed == 0 || r.LastEnd != "kicked" {
		t.Errorf("%+v, want refusals, interruptions and an end", r)
	}
}

func TestStormAndIdleSendNothing(t *testing.T) {
	for _, mode := range []Mode{Storm, Idle} {
		r := runLoad(t, newMemory(), Config{Mode: mode, Clients: 50})
		if r.Connected != 50 || r.Sent != 0 || r.ConnectsPerSecond <= 0 {
			t.Errorf("%s: %+v, want 50 connected and nothing sent", mode, r)
		}
	}
}

func TestClientsThatDoNotConnect(t *testing.T) {
	refused := errors.New("no room")
	m := newMemory()
	m.fail = func(i int) error {
		if i%2 == 0 {
			return refused
		}
		return nil
	}
	r := runLoad(t, m, Config{Mode: Echo, Clients: 10, Rate: 100})
	if r.Connected != 5 || r.Failed != 5 || r.LastError != "no room" || r.Loss != 0 {
		t.Errorf("%+v, want 5 connected and 5 failed", r)
	}
	m = newMemory()
	m.fail = func(int) error { return refused }
	if _, err := Run(t.Context(), m, Config{Mode: Echo, Clients: 3}); !errors.Is(err, refused) {
		t.Errorf("Run: %v, want the refusal", err)
	}
}

func TestForeignMessages(t *testing.T) {
	m := newMemory()
	m.answer = func(_ *memory, s sentBy) { s.client.Receive(0, []byte("welcome")) }
	r := runLoad(t, m, Config{Mode: Echo, Clients: 1, Rate: 1000})
	if r.Foreign == 0 || r.Received != 0 || r.Loss != 1 {
		t.Errorf("%+v, want only foreign messages", r)
	}
	if ClientOf([]byte("welcome")) != -1 {
		t.Errorf("ClientOf of a short message = %d, want -1", ClientOf([]byte("welcome")))
	}
}

func TestPrint(t *testing.T) {
	r := Report{
		Clients: 10, Connected: 9, Failed: 1, LastError: "no room", Sent: 100, Received: 90, Loss: 0.1,
		Seconds: 1, Refused: 2, FirstRefusal: "full", Interrupted: 5, Closed: 6, LastEnd: "kicked",
		Channels: []ChannelReport{{Name: "every", Mode: "reliable-ordered", Loss: 0.01, Latency: Latency{P50: 3}}},
		Foreign:  3, LoadDrops: 4, Server: Server{PID: 7, CPUPerMessage: 1.5},
	}
	var b bytes.Buffer
	r.Print(&b)
	for _, want := range []string{"9 of 10", "no room", "loss 10.000 %", "1.50 µs per message", "2 messages could not be sent, the first because of: full", "5 times a client lost", "6 connections ended too early, the last with: kicked", "channel     every, reliable-ordered: loss 1.000 %, p50 3.000 ms", "3 messages were not", "4 datagrams by this machine"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report does not have %q:\n%s", want, b.String())
		}
	}
}
