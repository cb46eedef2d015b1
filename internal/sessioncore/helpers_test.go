package sessioncore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// world is a client and a server, and a link between them that a script bends. Time
// is the script's.
type world struct {
	t      *testing.T
	now    time.Time
	client *side
	server *side
	delay  time.Duration
	loss   float64
	mtu    int           // datagrams of more bytes are lost; 0 means none are
	jitter time.Duration // at most so much more of delay
	double float64       // share of datagrams that come twice
	random *rand.Rand
	links  int
	token  Token // the newest the client has
	next   func(Token) (ufrag, pwd string)
}

type side struct {
	*Session
	name   string
	in     []datagram // on the way to it
	link   int        // the world's link that it listens to
	events []string   // what happened and was not asked for yet
	on     func(Event)
	evs    []Event
}

type datagram struct {
	at   time.Time
	link int
	b    []byte
}

const (
	moves = channel.ID(1 + iota)
	chat
	loot
)

var table = channel.Channels{
	{Name: "moves", Mode: channel.Sequenced},
	{Name: "chat", Mode: channel.ReliableOrdered},
	{Name: "loot", Mode: channel.ReliableUnordered},
}

func newWorld(t *testing.T, edit ...func(client, server *Config)) *world {
	w := &world{t: t, now: time.Unix(1_000_000, 0), delay: 25 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
	cc := Config{Channel: channel.Config{Channels: table}, Hello: []byte("I am red")}
	sc := Config{Channel: channel.Config{Channels: table, Server: true}, ID: 77, Token: token(0)}
	for _, f := range edit {
		f(&cc, &sc)
	}
	w.client, w.server = w.side("client", cc), w.side("server", sc)
	return w
}

func token(n int) (t Token) {
	copy(t[:], fmt.Sprintf("token %d", n))
	return t
}

func (w *world) side(name string, c Config) *side {
	s, err := New(w.now, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return &side{Session: s, name: name}
}

// link gives both ends a link, or a new one.
func (w *world) link() {
	w.links++
	for _, s := range []*side{w.client, w.server} {
		s.link = w.links
		s.Link(w.now, LinkInfo{Token: token(w.links), Next: w.next})
		w.collect(s)
	}
}

// cut ends the link for both.
func (w *world) cut() {
	for _, s := range []*side{w.client, w.server} {
		s.in = nil
		s.Unlink(w.now)
		w.collect(s)
	}
}

// open is a world whose ends are open and have been asked for all events.
func open(t *testing.T, edit ...func(client, server *Config)) *world {
	w := newWorld(t, edit...)
	w.link()
	w.run(200 * time.Millisecond)
	w.want(w.server, "open I am red")
	w.want(w.client, "open", "token 0")
	return w
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 100_000 {
			w.t.Fatal("the ends still send packets after 100,000 steps")
		}
		w.flush(w.client, w.server)
		w.flush(w.server, w.client)
		next := end
		for _, s := range []*side{w.client, w.server} {
			if t := s.Deadline(); !t.IsZero() && t.Before(next) {
				next = t
			}
			if len(s.in) > 0 && s.in[0].at.Before(next) {
				next = s.in[0].at
			}
		}
		if next.After(w.now) {
			w.now = next
		}
		for _, s := range []*side{w.client, w.server} {
			w.turn(s)
		}
		if !w.now.Before(end) {
			return
		}
	}
}

func (w *world) turn(s *side) {
	for len(s.in) > 0 && !s.in[0].at.After(w.now) {
		d := s.in[0]
		s.in = s.in[1:]
		if d.link == s.link {
			s.Receive(w.now, d.b)
			w.collect(s)
		}
	}
	if t := s.Deadline(); !t.IsZero() && !w.now.Before(t) {
		s.Advance(w.now)
		w.collect(s)
	}
}

func (w *world) flush(from, to *side) {
	for {
		b := from.Append(w.now, nil, channel.MaxPacket)
		if len(b) == 0 {
			return
		}
		for {
			if w.random.Float64() >= w.loss && (w.mtu == 0 || len(b) <= w.mtu) {
				at := w.now.Add(w.delay)
				if w.jitter > 0 {
					at = at.Add(time.Duration(w.random.Int64N(int64(w.jitter))))
				}
				i := len(to.in)
				for i > 0 && to.in[i-1].at.After(at) {
					i--
				}
				to.in = slices.Insert(to.in, i, datagram{at, from.link, b})
			}
			if w.random.Float64() >= w.double {
				break
			}
		}
	}
}

// collect notes the events.
func (w *world) collect(s *side) {
	s.evs = s.Events(s.evs[:0])
	for _, ev := range s.evs {
		if s.on != nil {
			s.on(ev)
		}
		if s == w.client && ev.Type == EventToken {
			w.token = Token(ev.Data)
		}
		s.events = append(s.events, describe(ev))
		if ev.Type == EventChannelClosed {
			s.ChannelDelivered(ev.Channel)
		}
	}
	s.Release(s.evs)
}

func describe(ev Event) string {
	switch ev.Type {
	case EventOpen:
		if ev.Data == nil {
			return "open"
		}
		return "open " + string(ev.Data)
	case EventMessage:
		name := table.Name(ev.Channel)
		if name == "" {
			name = fmt.Sprint("channel ", ev.Channel)
		}
		return fmt.Sprintf("%s: %s", name, ev.Data)
	case EventRequest:
		return fmt.Sprintf("request %d %s: %s", ev.Request, ev.Name, ev.Data)
	case EventResult:
		return fmt.Sprintf("request %d %v: %s%s", ev.Request, ev.Status, ev.Data, ev.Reason.Text)
	case EventReceipt:
		return fmt.Sprintf("%s %v", table.Name(ev.Channel), ev.Fate)
	case EventChannel:
		return fmt.Sprint("channel ", ev.Channel)
	case EventChannelClosed:
		return fmt.Sprintf("channel %d closed", ev.Channel)
	case EventRoom:
		return fmt.Sprint("room ", ev.Channel)
	case EventNarrow:
		return "narrow"
	case EventInterrupted:
		return "interrupted"
	case EventResumed:
		return "resumed"
	case EventToken:
		if len(ev.Data) == 0 {
			return "token confirmed"
		}
		return string(ev.Data[:7])
	case EventMoved:
		return "moved " + string(ev.Data)
	}
	s := fmt.Sprintf("closed %d %q remote=%v", ev.Reason.Code, ev.Reason.Text, ev.Reason.Remote)
	if ev.Reason.LostOut+ev.Reason.LostIn > 0 {
		s += fmt.Sprintf(" lost %d and %d", ev.Reason.LostOut, ev.Reason.LostIn)
	}
	return s
}

// want compares the events since the last call with a list.
func (w *world) want(s *side, events ...string) {
	w.t.Helper()
	got := s.events
	s.events = nil
	if fmt.Sprint(got) != fmt.Sprint(events) {
		w.t.Errorf("%s:\n got %q\nwant %q", s.name, got, events)
	}
}

func (w *world) send(s *side, ch channel.ID, text string) {
	w.t.Helper()
	if _, err := s.Send(w.now, ch, []byte(text), channel.Options{}); err != nil {
		w.t.Fatalf("%s sends %q: %v", s.name, text, err)
	}
}
