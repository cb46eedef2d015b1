package dashboard

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

const (
	maxSessions = 200 // in one answer
	maxText     = 128 // bytes of a name; the rest is cut off
)

// A question has the parameters of one poll.
type question struct {
	search  string // text to find in number, identity or address; empty means all
	order   string // the column to sort by
	down    bool   // the largest first
	session string // the number of the chosen session
}

// figures are the response to a poll. Counters are totals: the page computes differences.
type figures struct {
	At       int64   `json:"at"` // ms
	Server   server  `json:"server"`
	Sessions []row   `json:"sessions"` // at most maxSessions
	Matching int     `json:"matching"` // sessions that the search found
	Chosen   *chosen `json:"chosen"`   // nil if there is no such session
}

type server struct {
	Open       int     `json:"open"`
	Pending    int     `json:"pending"`
	Begun      uint64  `json:"begun"`
	PacketsIn  uint64  `json:"packetsIn"` // of the sessions, over all links
	PacketsOut uint64  `json:"packetsOut"`
	BytesIn    uint64  `json:"bytesIn"`
	BytesOut   uint64  `json:"bytesOut"`
	GoodIn     uint64  `json:"goodIn"` // bytes of messages
	GoodOut    uint64  `json:"goodOut"`
	Causes     []count `json:"causes"` // of drops and refusals
	Ends       []count `json:"ends"`   // of sessions
}

// A count is the number of times that an event has happened.
type count struct {
	What string `json:"what"`
	N    uint64 `json:"n"`
}

// A row is one session in the table.
type row struct {
	ID       string  `json:"id"`
	Identity string  `json:"identity"`
	Link     string  `json:"link"` // see godwit.Conn.Link
	Age      float64 `json:"age"`  // s
	RTT      float64 `json:"rtt"`  // ms
	MinRTT   float64 `json:"minRTT"`
	LossOut  float64 `json:"lossOut"` // share
	LossIn   float64 `json:"lossIn"`
	BytesIn  uint64  `json:"bytesIn"`
	BytesOut uint64  `json:"bytesOut"`
	Queued   int     `json:"queued"` // bytes
	Heard    float64 `json:"heard"`  // s ago
	Away     bool    `json:"away"`   // interrupted
}

// chosen has all figures of the chosen session.
type chosen struct {
	row
	Kind     string        `json:"kind"`
	Addr     string        `json:"addr"`
	RTTVar   float64       `json:"rttVar"`   // ms
	Rate     float64       `json:"rate"`     // bytes per second that may be sent
	Packet   int           `json:"packet"`   // bytes of a packet at most
	InFlight int           `json:"inFlight"` // bytes
	Held     int           `json:"held"`     // bytes
	Asking   int           `json:"asking"`
	Asked    int           `json:"asked"`
	Causes   []count       `json:"causes"`
	Channels []channelLine `json:"channels"`
}

type channelLine struct {
	Name        string  `json:"name"`
	Mode        string  `json:"mode"`
	MessagesIn  uint64  `json:"messagesIn"`
	MessagesOut uint64  `json:"messagesOut"`
	BytesIn     uint64  `json:"bytesIn"`
	BytesOut    uint64  `json:"bytesOut"`
	Again       uint64  `json:"again"`     // pieces sent again
	Dropped     uint64  `json:"dropped"`   // from the queue
	Refused     uint64  `json:"refused"`   // by Send
	Stale       uint64  `json:"stale"`     // came too late
	Queued      int     `json:"queued"`    // bytes
	QueueTime   float64 `json:"queueTime"` // ms
}

func figuresOf(s *godwit.Server, q question) figures {
	conns := slices.Collect(s.Conns())
	f := figures{At: time.Now().UnixMilli(), Server: serverOf(s.Stats(), s.Totals())}
	f.Sessions, f.Matching = sessionsOf(conns, q)
	if id, err := strconv.ParseUint(q.session, 16, 64); err == nil {
		if i := slices.IndexFunc(conns, func(c *godwit.Conn) bool { return uint64(c.ID()) == id }); i >= 0 {
			f.Chosen = chosenOf(conns[i], conns[i].Stats())
		}
	}
	return f
}

func serverOf(st godwit.Stats, all godwit.Totals) server {
	v := server{
		Open: st.Open, Pending: st.Pending, Begun: st.Begun,
		PacketsIn: all.PacketsIn, PacketsOut: all.PacketsOut,
		BytesIn: all.BytesIn, BytesOut: all.BytesOut,
		Causes: causesOf(st, all), Ends: endsOf(st),
	}
	for _, ch := range all.Channels[1:] { // the first is control
		v.GoodIn += ch.WireIn
		v.GoodOut += ch.WireOut
	}
	return v
}

// sessionsOf returns the first sessions that the question asks for, and the number of all
// that it asks for.
func sessionsOf(conns []*godwit.Conn, q question) ([]row, int) {
	found := []row{} // not null
	search := strings.ToLower(q.search)
	for _, c := range conns {
		if search == "" || matches(c, search) {
			found = append(found, sessionOf(c, c.Stats()))
		}
	}
	key := keyOf(q.order)
	slices.SortFunc(found, func(a, b row) int {
		n := key(a, b)
		if q.down {
			n = -n
		}
		return cmp.Or(n, strings.Compare(a.ID, b.ID))
	})
	return found[:min(len(found), maxSessions)], len(found)
}

// matches reports whether a session's number, identity or address has search in it.
func matches(c *godwit.Conn, search string) bool {
	return strings.Contains(c.ID().String(), search) ||
		strings.Contains(strings.ToLower(c.Identity().Name), search) ||
		strings.Contains(addrOf(c), search)
}

// addrOf returns the address of a session, or nothing if it is in this process.
func addrOf(c *godwit.Conn) string {
	if a := c.RemoteAddr(); a.IsValid() {
		return a.String()
	}
	return ""
}

// keyOf returns how a column compares. The rates are those since the session began: no
// other is known here. The page knows better, of those that it got.
func keyOf(order string) func(a, b row) int {
	by := func(f func(row) float64) func(a, b row) int {
		return func(a, b row) int { return cmp.Compare(f(a), f(b)) }
	}
	switch order {
	case "id":
		return func(a, b row) int { return strings.Compare(a.ID, b.ID) }
	case "identity":
		return func(a, b row) int { return strings.Compare(a.Identity, b.Identity) }
	case "link":
		return func(a, b row) int { return strings.Compare(a.Link, b.Link) }
	case "rtt":
		return by(func(s row) float64 { return s.RTT })
	case "lossOut":
		return by(func(s row) float64 { return s.LossOut })
	case "lossIn":
		return by(func(s row) float64 { return s.LossIn })
	case "in":
		return by(func(s row) float64 { return float64(s.BytesIn) / max(1, s.Age) })
	case "out":
		return by(func(s row) float64 { return float64(s.BytesOut) / max(1, s.Age) })
	case "queued":
		return by(func(s row) float64 { return float64(s.Queued) })
	case "heard":
		return by(func(s row) float64 { return s.Heard })
	}
	return by(func(s row) float64 { return s.Age })
}

func sessionOf(c *godwit.Conn, st session.Stats) row {
	return row{
		ID: c.ID().String(), Identity: short(c.Identity().Name), Link: short(c.Link()), Age: st.Age.Seconds(),
		RTT: ms(st.RTT), MinRTT: ms(st.MinRTT), LossOut: st.LossOut, LossIn: st.LossIn,
		BytesIn: st.BytesIn, BytesOut: st.BytesOut, Queued: st.Queued,
		Heard: st.LastHeard.Seconds(), Away: st.Interrupted,
	}
}

func chosenOf(c *godwit.Conn, st session.Stats) *chosen {
	l := &chosen{
		row: sessionOf(c, st), Kind: c.Kind().String(), Addr: addrOf(c), RTTVar: ms(st.RTTVar), Rate: st.Rate,
		Packet: st.PacketLimit, InFlight: st.InFlight, Held: st.Held, Asking: st.Asking, Asked: st.Asked,
		Causes: causesOfConn(st),
	}
	for i, ch := range c.Channels() {
		if ch.Name == "" {
			continue // no channel has this number
		}
		l.Channels = append(l.Channels, channelLineOf(ch, c.ChannelStats(godwit.ChannelID(i+1))))
	}
	return l
}

func channelLineOf(ch channel.Channel, st channel.ChannelStats) channelLine {
	return channelLine{
		Name: short(ch.Name), Mode: ch.Mode.String(),
		MessagesIn: st.MessagesIn, MessagesOut: st.MessagesOut, BytesIn: st.BytesIn, BytesOut: st.BytesOut,
		Again: st.Retransmits, Dropped: st.Expired + st.Overflowed + st.Replaced, Refused: st.OverBudget,
		Stale: st.Stale, Queued: st.QueueBytes, QueueTime: ms(st.QueueTime),
	}
}

// short cuts a text to maxText bytes, at a letter's end.
func short(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
