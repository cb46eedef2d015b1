package load

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a Transport whose server is a goroutine.
type memory struct {
	fail    func(index int) error
	answer  func(m *memory, from *Client, b []byte) // nil echoes
	queue   chan sentBy
	closed  chan struct{}
	ended   sync.WaitGroup
	mu      sync.Mutex
	clients []*Client
}

type sentBy struct {
	client *Client
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
		m.answer(m, s.client, s.b)
	} else {
		s.client.Receive(s.b)
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

func (l *memoryLink) Send(b []byte) error {
	l.memory.queue <- sentBy{l.client, slices.Clone(b)}
	return nil
}

func runLoad(t *testing.T, m *memory, c Config) *Report {
	t.Helper()
	c.Duration, c.Warmup = 50*time.Millisecond, 5*time.Millisecond
	r, err := Run(t.Context(), m, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEcho(t *testing.T) {
	r := runLoad(t, newMemory(), Config{Mode: Echo, Clients: 10, Rate: 100})
	if r.Connected != 10 || r.Failed != 0 || r.Sent == 0 || r.Received != r.Sent || r.Loss != 0 {
		t.Errorf("%+v", r)
	}
	if r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P999 || r.Size != headerLen || r.Rate != 1000 || r.LoadDrops != 7 {
		t.Errorf("%+v", r)
	}
}

func TestLossIsCounted(t *testing.T) {
	m := newMemory()
	n := 0
	m.answer = func(_ *memory, c *Client, b []byte) {
		if n++; n%2 == 0 {
			c.Receive(b)
		}
	}
	r := runLoad(t, m, Config{Mode: Echo, Clients: 1, Rate: 2000})
	if r.Loss < 0.4 || r.Loss > 0.6 {
		t.Errorf("loss %v", r.Loss)
	}
}

func TestFlood(t *testing.T) {
	r := runLoad(t, newMemory(), Config{Mode: Flood, Clients: 3, Window: 2, Size: 100})
	if r.Sent < 100 || r.Received < r.Sent-6 {
		t.Errorf("%+v", r)
	}
}

func TestFanout(t *testing.T) {
	m := newMemory()
	m.answer = func(m *memory, from *Client, b []byte) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if from.Index() != 0 {
			t.Errorf("client %d has sent", from.Index())
		}
		for _, c := range m.clients {
			c.Receive(b)
		}
	}
	r := runLoad(t, m, Config{Mode: Fanout, Clients: 20, Rate: 1000})
	if r.Sent == 0 || r.Received != 20*r.Sent || r.Loss != 0 {
		t.Errorf("%+v", r)
	}
}

func TestStormAndIdleSendNothing(t *testing.T) {
	for _, mode := range []Mode{Storm, Idle} {
		r := runLoad(t, newMemory(), Config{Mode: mode, Clients: 50})
		if r.Connected != 50 || r.Sent != 0 || r.ConnectsPerSecond <= 0 {
			t.Errorf("%s: %+v", mode, r)
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
		t.Errorf("%+v", r)
	}
	m = newMemory()
	m.fail = func(int) error { return refused }
	if _, err := Run(t.Context(), m, Config{Mode: Echo, Clients: 3}); !errors.Is(err, refused) {
		t.Errorf("error %v", err)
	}
}

func TestForeignMessages(t *testing.T) {
	m := newMemory()
	m.answer = func(_ *memory, c *Client, b []byte) { c.Receive([]byte("welcome")) }
	r := runLoad(t, m, Config{Mode: Echo, Clients: 1, Rate: 1000})
	if r.Foreign == 0 || r.Received != 0 || r.Loss != 1 {
		t.Errorf("%+v", r)
	}
	if ClientOf([]byte("welcome")) != -1 {
		t.Error("a short message has a client")
	}
}

func TestPrint(t *testing.T) {
	r := Report{
		Clients: 10, Connected: 9, Failed: 1, LastError: "no room", Sent: 100, Received: 90, Loss: 0.1,
		Seconds: 1, Refused: 2, Foreign: 3, LoadDrops: 4, Server: Server{PID: 7, CPUPerMessage: 1.5},
	}
	var b bytes.Buffer
	r.Print(&b)
	for _, want := range []string{"9 of 10", "no room", "loss 10.000 %", "1.50 µs per message", "2 messages could not", "3 messages were not", "4 datagrams by this machine"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
