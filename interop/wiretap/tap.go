package wiretap

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A Datagram is a datagram that was sent through the relay.
type Datagram struct {
	At     time.Time // when the relay got it
	Client netip.AddrPort
	Up     bool // to the server
	Lost   bool // the relay has dropped it
	B      []byte
}

// A Tap keeps the datagrams of a relay. Its methods may be called from any goroutine.
type Tap struct {
	target netip.AddrPort
	fates  bytes.Buffer // owned by the recorder
	record *netsim.Recorder

	mu        sync.Mutex
	datagrams []Datagram
	masters   map[string][]byte // by client random
}

// Attach puts a new tap into the configuration of a relay.
func Attach(c *netsim.RelayConfig) *Tap {
	t := &Tap{target: c.Target, masters: make(map[string][]byte)}
	t.record = netsim.NewRecorder(&t.fates)
	c.Tap, c.Record = t.hear, t.record
	return t
}

// hear is the relay's tap, which looks before the link decides.
func (t *Tap) hear(p *netsim.Packet) bool {
	d := Datagram{At: time.Now(), Client: p.From, Up: p.To == t.target, B: bytes.Clone(p.Payload)}
	if !d.Up {
		d.Client = p.To
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.datagrams = append(t.datagrams, d)
	return true
}

// Write takes the key log of the server, line by line.
func (t *Tap) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(b) {
		var random, master string
		if _, err := fmt.Sscanf(string(line), "CLIENT_RANDOM %s %s", &random, &master); err != nil {
			continue
		}
		key, _ := hex.DecodeString(random)
		value, _ := hex.DecodeString(master)
		t.masters[string(key)] = value
	}
	return len(b), nil
}

// Datagrams returns the datagrams in order. Call it when the relay is closed.
func (t *Tap) Datagrams() ([]Datagram, error) {
	if err := t.record.Flush(); err != nil {
		return nil, err
	}
	fates, err := netsim.ReadTrace(bytes.NewReader(t.fates.Bytes()))
	if err != nil {
		return nil, err
	}
	// The datagrams of a path have the same order in the tap and in the trace.
	lost := make(map[string][]bool)
	for _, f := range fates {
		lost[f.Path] = append(lost[f.Path], f.Drop != netsim.DropNone)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	clients := make(map[netip.AddrPort]int)
	for i := range t.datagrams {
		d := &t.datagrams[i]
		if clients[d.Client] == 0 {
			clients[d.Client] = len(clients) + 1
		}
		path := fmt.Sprintf("down-%d", clients[d.Client])
		if d.Up {
			path = fmt.Sprintf("up-%d", clients[d.Client])
		}
		if n := lost[path]; len(n) > 0 {
			d.Lost, lost[path] = n[0], n[1:]
		}
	}
	return t.datagrams, nil
}

// WriteTo writes a line for each datagram, one client after the other. Times are those of the relay, counted from the client's first datagram.
func (t *Tap) WriteTo(w io.Writer) (int64, error) {
	ds, err := t.Datagrams()
	if err != nil {
		return 0, err
	}
	var b bytes.Buffer
	for _, session := range Sessions(ds) {
		records := t.Open(session)
		fmt.Fprintf(&b, "%v\n", session[0].Client)
		for i, d := range session {
			way := "<--"
			switch {
			case d.Up && d.Lost:
				way = "-x "
			case d.Up:
				way = "-->"
			case d.Lost:
				way = " x-"
			}
			ms := float64(d.At.Sub(session[0].At).Microseconds()) / 1000
			fmt.Fprintf(&b, "%8.1f %s %4d  %s\n", ms, way, len(d.B), Describe(d, records[i]))
		}
	}
	return b.WriteTo(w)
}

// Sessions returns the datagrams of each client, in the order of their first datagrams.
func Sessions(ds []Datagram) [][]Datagram {
	var sessions [][]Datagram
	at := make(map[netip.AddrPort]int)
	for _, d := range ds {
		i, ok := at[d.Client]
		if !ok {
			i = len(sessions)
			at[d.Client] = i
			sessions = append(sessions, nil)
		}
		sessions[i] = append(sessions[i], d)
	}
	return sessions
}
