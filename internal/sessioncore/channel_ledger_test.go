package sessioncore

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A round is the life of one channel: one end opens it, both send, one of them or both
// close it.
type round struct {
	name   string
	mode   channel.Mode
	opener *side
	id     map[*side]channel.ID // while the channel is there
	closed map[*side]bool
	sent   map[*side]int
	got    map[*side][]int
	fates  map[*side]map[channel.MessageID]channel.Fate
	asked  map[*side]map[channel.MessageID]bool
}

// roundLedger checks what arrives on which channel.
type roundLedger struct {
	w      *world
	rounds []*round
	on     map[*side]map[channel.ID]*round // the channel that has a number, at an end
	byName map[string]*round
}

func (l *roundLedger) events(s *side) func(Event) {
	return func(ev Event) {
		t := l.w.t
		switch ev.Type {
		case EventChannel:
			r := l.byName[s.Mux().Channels().Name(ev.Channel)]
			if r == nil || l.on[s][ev.Channel] != nil {
				t.Fatalf("%s: number %d was opened with the name %q, of no round or a second time", s.name, ev.Channel, s.Mux().Channels().Name(ev.Channel))
			}
			l.on[s][ev.Channel], r.id[s] = r, ev.Channel
		case EventMessage:
			r := l.on[s][ev.Channel]
			var name, from string
			var n int
			if _, err := fmt.Sscanf(string(ev.Data), "%s %s %d", &name, &from, &n); err != nil || r == nil || r.name != name || from == s.name {
				t.Fatalf("%s: %.40q arrived on the channel of round %v", s.name, ev.Data, r)
			}
			r.got[s] = append(r.got[s], n)
		case EventReceipt:
			for _, r := range l.on[s] {
				if r.asked[s][ev.Message] {
					if _, twice := r.fates[s][ev.Message]; twice {
						t.Fatalf("%s: two fates of message %d", s.name, ev.Message)
					}
					r.fates[s][ev.Message] = ev.Fate
				}
			}
		case EventChannelClosed:
			r := l.on[s][ev.Channel]
			if r == nil || s.Mux().Channels().Name(ev.Channel) != r.name {
				t.Fatalf("%s: channel %d is closed and was not open", s.name, ev.Channel)
			}
			if len(r.fates[s]) != len(r.asked[s]) {
				t.Fatalf("%s: %s (%v) is closed; receipts of %v were requested, the fates are %v", s.name, r.name, r.mode, r.asked[s], r.fates[s])
			}
			r.closed[s] = true
			delete(l.on[s], ev.Channel)
			delete(r.id, s)
		case EventClosed:
			t.Fatalf("%s: the session has closed: %+v", s.name, ev.Reason)
		}
	}
}

func (l *roundLedger) begin(n int, opener *side) {
	r := &round{name: fmt.Sprint("round", n), mode: channel.Mode(n / 2 % 4), opener: opener,
		id: map[*side]channel.ID{}, closed: map[*side]bool{}, sent: map[*side]int{}, got: map[*side][]int{},
		fates: map[*side]map[channel.MessageID]channel.Fate{}, asked: map[*side]map[channel.MessageID]bool{}}
	for _, s := range []*side{l.w.client, l.w.server} {
		r.fates[s], r.asked[s] = map[channel.MessageID]channel.Fate{}, map[channel.MessageID]bool{}
	}
	l.byName[r.name] = r
	c := channel.Channel{Name: r.name, Mode: r.mode, MaxMessage: 3000, QueueLimit: 16 << 10}
	id := l.w.openAt(opener, c)
	l.on[opener][id], r.id[opener] = r, id
	l.rounds = append(l.rounds, r)
}

// send sends a message of a round, now and then one of several packets.
func (l *roundLedger) send(s *side, r *round) {
	id, ok := r.id[s]
	if !ok {
		return
	}
	text := fmt.Sprintf("%s %s %d ", r.name, s.name, r.sent[s])
	if r.sent[s]%4 == 3 {
		text = fmt.Sprintf("%-2500s", text)
	}
	m, err := s.Send(l.w.now, id, []byte(text), channel.Options{Receipt: r.sent[s]%2 == 0, Key: uint64(r.sent[s] + 1)})
	switch {
	case err == channel.ErrUnknown || err == session.ErrInterrupted || err == channel.ErrBudget:
		return // it is being closed, or there is no link
	case err != nil:
		l.w.t.Fatalf("%s: %v", r.name, err)
	}
	if r.sent[s]%2 == 0 {
		r.asked[s][m] = true
	}
	r.sent[s]++
}

func (l *roundLedger) close(s *side, r *round) {
	if id, ok := r.id[s]; ok {
		if err := s.CloseChannel(l.w.now, id); err != nil && err != channel.ErrUnknown {
			l.w.t.Fatalf("%s closes %s: %v", s.name, r.name, err)
		}
	}
}

// check compares what was sent in a round with what has arrived.
func (l *roundLedger) check(r *round) {
	t := l.w.t
	for _, s := range []*side{l.w.client, l.w.server} {
		peer := l.w.client
		if s == peer {
			peer = l.w.server
		}
		if !r.closed[s] {
			t.Fatalf("%s: %s is not closed", s.name, r.name)
		}
		seen := map[int]bool{}
		for i, n := range r.got[s] {
			if seen[n] || n >= r.sent[peer] {
				t.Fatalf("%s: message %d of %s arrived twice, or was not sent", s.name, n, r.name)
			}
			seen[n] = true
			if i > 0 && n < r.got[s][i-1] && (r.mode == channel.ReliableOrdered || r.mode == channel.Sequenced) {
				t.Fatalf("%s: message %d of %s came after %d", s.name, n, r.name, r.got[s][i-1])
			}
		}
		if r.mode >= channel.ReliableUnordered && len(seen) != r.sent[peer] {
			t.Fatalf("%s: %d of %d messages of %s arrived", s.name, len(seen), r.sent[peer], r.name)
		}
	}
}

// turnover is a script: how many channels live and end, on which link.
type turnover struct {
	rounds int
	seed   uint64
	loss   float64
	jitter time.Duration
	double float64 // share of datagrams that come twice
	cuts   int     // the session moves to another link about once in so many steps
}

// play opens, uses and closes channels, and checks the messages that arrive. It returns how many
// frames of closed channels arrived late at both ends.
func (c turnover) play(t *testing.T) (late uint64) {
	w := open(t, func(client, server *Config) {
		client.Silence, server.Silence = time.Minute, time.Minute
		server.ClientChannels, server.ClientQueue = 4, 16<<10
		server.Limits = session.Limits{Messages: -1, Bytes: -1}
	})
	w.loss, w.jitter, w.double = c.loss, c.jitter, c.double
	rng := rand.New(rand.NewPCG(c.seed, 6))
	l := &roundLedger{w: w, on: map[*side]map[channel.ID]*round{w.client: {}, w.server: {}}, byName: map[string]*round{}}
	w.client.on, w.server.on = l.events(w.client), l.events(w.server)
	ends := []*side{w.client, w.server}
	const together = 4
	live := []*round{}
	for n, steps := 0, 0; n < c.rounds || len(live) > 0; steps++ {
		if steps > 100*c.rounds+10_000 {
			t.Fatalf("%d channels are not closed, want 0", len(live))
		}
		if n < c.rounds && len(live) < together {
			l.begin(n, ends[n%2])
			live = append(live, l.rounds[n])
			n++
		}
		for _, r := range live {
			for _, s := range ends {
				for range rng.IntN(3) {
					l.send(s, r)
				}
			}
			if r.sent[w.client]+r.sent[w.server] > 8 || rng.IntN(10) == 0 {
				l.close(ends[rng.IntN(2)], r)
			}
		}
		w.run(time.Duration(rng.IntN(60)) * time.Millisecond)
		if c.cuts > 0 && rng.IntN(c.cuts) == 0 {
			w.cut()
			w.run(time.Duration(rng.IntN(100)) * time.Millisecond)
			w.link()
		}
		left := live[:0]
		for _, r := range live {
			if !r.closed[w.client] || !r.closed[w.server] {
				left = append(left, r)
				continue
			}
			l.check(r)
		}
		live = left
		w.client.events, w.server.events = nil, nil
		w.client.checkChannels(t)
		w.server.checkChannels(t)
	}
	w.loss = 0
	w.run(2 * time.Second)
	for _, s := range ends {
		if st := s.lives; st.state != (lives{}.state) || len(s.Mux().Channels()) != len(table) {
			t.Errorf("%s: state of channels is left: %v", s.name, st)
		}
		st := s.Mux().Stats()
		if st.Held != 0 || st.Queued != 0 || st.Drops[channel.DropRefused] > 0 {
			t.Errorf("%s: %d bytes are held and %d queued, want 0; drops %v", s.name, st.Held, st.Queued, st.Drops)
		}
		late += st.Drops[channel.DropStale]
		t.Logf("%s: %d links, %d retransmits, %d late frames of closed channels", s.name, s.Stats(w.now).Resumed, st.Retransmits, st.Drops[channel.DropStale])
	}
	return late
}

// 1,000 channels live and end on a link that loses a tenth of the datagrams, delivers them
// in another order and twice, while the session moves to other links. Each message arrives
// on its own channel as the mode of the channel promises, and each receipt has its fate
// before the channel is closed.
func TestLedgerOfChannelsThatOpenAndClose(t *testing.T) {
	if (turnover{rounds: 1000, seed: 5, loss: 0.1, jitter: 60 * time.Millisecond, double: 0.1, cuts: 40}).play(t) < 100 {
		t.Error("fewer than 100 frames of closed channels came late: the test tests nothing")
	}
}

// FuzzChannels lets the fuzzer choose the link.
func FuzzChannels(f *testing.F) {
	f.Add(uint64(1), uint8(0), uint8(0), uint8(0), uint8(0))
	f.Add(uint64(2), uint8(30), uint8(200), uint8(30), uint8(2))
	f.Add(uint64(3), uint8(0), uint8(255), uint8(50), uint8(0))
	f.Add(uint64(4), uint8(50), uint8(0), uint8(0), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, loss, jitter, double, cuts uint8) {
		turnover{
			rounds: 40, seed: seed, loss: float64(loss%50) / 100, jitter: time.Duration(jitter) * time.Millisecond,
			double: float64(double%60) / 100, cuts: 10 * int(cuts%5),
		}.play(t)
	})
}
