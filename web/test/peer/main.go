// Peer is the Go engine, driven by the tests of the TypeScript one over two pipes:
//
//	peer <requests> <answers>
//
// A request is a type, a length (4 bytes) and as many bytes; so is an answer, without
// the type. Numbers are big endian, times are milliseconds as float64, and infinity
// is never.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/deflate"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
)

// Requests. Each names a Mux by a byte, then come its arguments.
const (
	requestNew     = 0 // server (1), the table's text; the answer is empty
	requestReceive = 1 // time, datagram; the answer is events
	requestAppend  = 2 // time, limit (4); the answer is a packet, or empty
	requestSend    = 3 // time, channel (1), message; the answer is a byte: 0, or 1 if it was refused
	requestAdvance = 4 // time; the answer is events
	requestWait    = 5 // nothing; the answer is the time of the next deadline
	requestRelink  = 6 // time, and of a Mux whether the link is reliable (1)
	requestStats   = 7 // nothing; the answer is JSON
	requestClose   = 8 // time, code (4), text
)

// Requests of a session at the server. A name that is of one is of no Mux. The requests above
// from requestReceive to requestRelink are for sessions, too.
const (
	requestSession   = 9  // channels that the client may open (1), the table's text
	requestOpen      = 10 // time, a line of the table's text; the answer is the channel (1), 0 if it was refused
	requestShut      = 11 // time, channel (1); the answer is a byte: 0, or 1 if it was refused
	requestCollected = 12 // time; the answer is events
)

// Events in an answer, one after the other.
const (
	eventMessage = 0 // channel (1), length (4), message
	eventClosed  = 1 // code (4), length (4), text
	eventOpened  = 2 // channel (1), length (4), its name; only of a session
	eventShut    = 3 // channel (1), length (4), nothing; only of a session
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type peer struct {
	muxes    map[byte]*channel.Mux
	sessions map[byte]*sessioncore.Session
	events   []channel.Event
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return fmt.Errorf("usage: peer <requests> <answers>")
	}
	in, err := os.Open(os.Args[1])
	if err != nil {
		return err
	}
	out, err := os.OpenFile(os.Args[2], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	p := &peer{muxes: make(map[byte]*channel.Mux), sessions: make(map[byte]*sessioncore.Session)}
	r := bufio.NewReaderSize(in, 1<<20)
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(r, head); err != nil {
			return nil // the tests are done
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		answer, err := p.answer(head[0], body)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return err
		}
	}
}

func (p *peer) answer(kind byte, b []byte) ([]byte, error) {
	name, b := b[0], b[1:]
	if kind == requestNew {
		return nil, p.make(name, b)
	}
	if kind == requestSession {
		return nil, p.makeSession(name, b)
	}
	if s := p.sessions[name]; s != nil {
		return ask(s, kind, b)
	}
	m := p.muxes[name]
	var now time.Time
	switch kind {
	case requestWait:
		return binary.BigEndian.AppendUint64(nil, math.Float64bits(millis(m.Deadline()))), nil
	case requestStats:
		return json.Marshal(stats(m))
	default:
		now, b = at(b), b[8:]
	}
	switch kind {
	case requestReceive:
		m.Receive(now, b)
	case requestAppend:
		return m.Append(now, nil, int(binary.BigEndian.Uint32(b))), nil
	case requestSend:
		return []byte{refused(send(m, now, channel.ID(b[0]), b[1:]))}, nil
	case requestAdvance:
		m.Advance(now)
	case requestRelink:
		m.Relink(now, b[0] == 1, 0)
	case requestClose:
		m.Close(now, uint64(binary.BigEndian.Uint32(b)), string(b[4:]))
	default:
		return nil, fmt.Errorf("no request %d", kind)
	}
	return p.happened(m), nil
}

// send sends a message as a session does.
func send(m *channel.Mux, now time.Time, ch channel.ID, b []byte) (err error) {
	if m.Packs(ch, len(b)) {
		p := deflate.TakePacker()
		defer p.Return()
		_, err = m.SendPacked(now, ch, b, p.Pack(b), channel.Options{})
	} else {
		_, err = m.Send(now, ch, b, channel.Options{})
	}
	return err
}

func (p *peer) make(name byte, b []byte) error {
	table, err := channel.ParseTable(string(b[1:]))
	if err != nil {
		return err
	}
	m, err := channel.New(start, channel.Config{Channels: table.Channels, Server: b[0] == 1, Ceiling: 1 << 20})
	p.muxes[name] = m
	return err
}

// happened is what a Mux tells since it was last asked.
func (p *peer) happened(m *channel.Mux) (b []byte) {
	p.events = m.Events(p.events[:0])
	for _, ev := range p.events {
		switch ev.Type {
		case channel.EventMessage:
			b = append(b, eventMessage, byte(ev.Channel))
		case channel.EventClosed:
			b = binary.BigEndian.AppendUint32(append(b, eventClosed), uint32(ev.Code))
		default:
			continue
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(ev.Payload)))
		b = append(b, ev.Payload...)
	}
	return b
}

// stats are those that the tests compare.
func stats(m *channel.Mux) map[string]any {
	drops := make(map[string]uint64)
	s := m.Stats()
	for d, n := range s.Drops {
		if n > 0 {
			drops[channel.DropReason(d).String()] = n
		}
	}
	return map[string]any{"drops": drops, "packetsIn": s.PacketsIn, "held": s.Held, "queued": s.Queued, "rate": s.Rate, "again": s.Retransmits + s.Copies}
}

func refused(err error) byte {
	if err != nil {
		return 1
	}
	return 0
}

func at(b []byte) time.Time {
	ms := math.Float64frombits(binary.BigEndian.Uint64(b))
	return start.Add(time.Duration(math.Round(ms * 1e6)))
}

func millis(t time.Time) float64 {
	if t.IsZero() {
		return math.Inf(1)
	}
	return float64(t.Sub(start)) / 1e6
}
