package channel

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The vectors of testdata are the protocol's; the TypeScript client runs the same
// files. docs/PROTOCOL.md says what their fields mean.

type vectorVarint struct {
	Name  string `json:"name"`
	Hex   string `json:"hex"`
	Value uint64 `json:"value"`
}

type vectorNumber struct {
	Truncated uint64 `json:"truncated"`
	Length    int    `json:"length"`
	Expected  uint64 `json:"expected"`
	Number    uint64 `json:"number"`
}

type vectorFrame struct {
	Kind    string `json:"kind"`
	Channel int    `json:"channel,omitempty"`
	ID      uint64 `json:"id,omitempty"`
	Index   int    `json:"index,omitempty"`
	Total   int    `json:"total,omitempty"`
	Code    uint64 `json:"code,omitempty"`
	Payload string `json:"payload,omitempty"` // hex; of a CLOSE its text
}

type vectorAck struct {
	Largest uint16      `json:"largest"`
	Delay   uint64      `json:"delay"`
	First   uint64      `json:"first"`
	Rest    [][2]uint64 `json:"rest,omitempty"` // gap, length
}

type vectorPacket struct {
	Name         string        `json:"name"`
	Hex          string        `json:"hex"`
	Number       uint64        `json:"number"` // as in the packet
	NumberLength int           `json:"numberLength"`
	Ack          *vectorAck    `json:"ack,omitempty"`
	Frames       []vectorFrame `json:"frames"`
}

type vectorInvalid struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
}

type vectorChannel struct {
	Name       string `json:"name"`
	Mode       string `json:"mode"`
	Direction  string `json:"direction,omitempty"`
	MaxMessage int    `json:"maxMessage,omitempty"`
	QueueLimit int    `json:"queueLimit,omitempty"`
	Compress   bool   `json:"compress,omitempty"`
	Schema     string `json:"schema,omitempty"`
}

type vectorTable struct {
	Name     string          `json:"name"`
	Channels []vectorChannel `json:"channels"`
	Schema   string          `json:"schema,omitempty"` // of requests
	Text     string          `json:"text"`
	Hash     string          `json:"hash"`            // hex
	Error    string          `json:"error,omitempty"` // the field that is wrong
}

type vectorStep struct {
	At     int           `json:"at"`           // ms from the beginning
	In     string        `json:"in,omitempty"` // a datagram; without it time only passes
	Events []vectorEvent `json:"events,omitempty"`
	Out    []string      `json:"out,omitempty"` // packets that leave then
}

type vectorEvent struct {
	Channel int    `json:"channel"`
	Payload string `json:"payload"`
	Closed  bool   `json:"closed,omitempty"`
	Code    uint64 `json:"code,omitempty"`
	GivenUp uint64 `json:"givenUp,omitempty"`
}

type vectorReceive struct {
	Name     string          `json:"name"`
	Channels []vectorChannel `json:"channels"`
	Steps    []vectorStep    `json:"steps"`
}

func loadVectors(t testing.TB, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (v vectorChannel) channel() Channel {
	return Channel{Name: v.Name, Mode: Mode(slices.Index(modeNames[:], v.Mode)),
		Direction:  Direction(max(0, slices.Index(directionNames[:], v.Direction))),
		MaxMessage: v.MaxMessage, QueueLimit: v.QueueLimit, Compress: v.Compress, Schema: v.Schema}
}

func vectorChannels(vs []vectorChannel) (cs Channels) {
	for _, v := range vs {
		cs = append(cs, v.channel())
	}
	return cs
}

func TestVectorsOfVarints(t *testing.T) {
	var v struct {
		Valid   []vectorVarint
		Invalid []vectorInvalid
	}
	loadVectors(t, "varint.json", &v)
	for _, tt := range v.Valid {
		b := testkit.Hex(t, tt.Hex)
		if got, n := varint(append(b, 0xff)); got != tt.Value || n != len(b) || n != varintLen(tt.Value) {
			t.Errorf("%s: read as %d of %d bytes, want %d of %d", tt.Hex, got, n, tt.Value, len(b))
		}
		if got := appendVarint(nil, tt.Value); hex.EncodeToString(got) != tt.Hex {
			t.Errorf("%d is written as %x, want %s", tt.Value, got, tt.Hex)
		}
	}
	for _, tt := range v.Invalid {
		if got, n := varint(testkit.Hex(t, tt.Hex)); n != 0 {
			t.Errorf("%s: read as %d of %d bytes, want an error", tt.Name, got, n)
		}
	}
}

func TestVectorsOfNumbers(t *testing.T) {
	var vs []vectorNumber
	loadVectors(t, "numbers.json", &vs)
	for _, v := range vs {
		if got := expand(v.Truncated, v.Length, v.Expected); got != v.Number {
			t.Errorf("%x in %d bytes near %d is %d, want %d", v.Truncated, v.Length, v.Expected, got, v.Number)
		}
	}
}

var frameKinds = map[byte]string{frameMessage: "message", frameFragment: "fragment", frameBare: "bare"}

// describe converts a packet into its description in the vectors.
func describe(b []byte) (v vectorPacket, ok bool) {
	var p packet
	if ok = p.parse(b); ok {
		ok, _ = wellFormed(p.frames)
	}
	if !ok {
		return v, false
	}
	v = vectorPacket{Hex: hex.EncodeToString(b), Number: p.number, NumberLength: p.numberLen, Frames: []vectorFrame{}}
	if p.hasAck {
		v.Ack = &vectorAck{Largest: p.ack.largest, Delay: p.ack.delay, First: p.ack.first}
		for _, r := range p.ack.rest[:p.ack.ranges] {
			v.Ack.Rest = append(v.Ack.Rest, [2]uint64{r.gap, r.length})
		}
	}
	for b := p.frames; len(b) > 0; {
		var f frame
		b = b[f.parse(b):]
		w := vectorFrame{Kind: frameKinds[f.kind], Channel: int(f.channel), ID: f.id, Index: f.index, Total: f.total,
			Code: f.code, Payload: hex.EncodeToString(f.payload)}
		if f.kind == frameControl {
			switch w.Channel = 0; {
			case f.channel == controlPadding:
				w.Kind = "padding"
			case f.channel == controlPing:
				w.Kind = "ping"
			case f.channel == controlClose:
				w.Kind = "close"
			default:
				w.Kind, w.Channel = "extension", int(f.channel)
			}
		}
		v.Frames = append(v.Frames, w)
	}
	return v, true
}

func TestVectorsOfPackets(t *testing.T) {
	var v struct {
		Valid   []vectorPacket
		Invalid []vectorInvalid
	}
	loadVectors(t, "packets.json", &v)
	for _, want := range v.Valid {
		got, ok := describe(testkit.Hex(t, want.Hex))
		got.Name = want.Name
		if !ok || fmt.Sprint(toJSON(got)) != fmt.Sprint(toJSON(want)) {
			t.Errorf("%s:\n got %s\nwant %s", want.Name, toJSON(got), toJSON(want))
		}
	}
	for _, tt := range v.Invalid {
		if got, ok := describe(testkit.Hex(t, tt.Hex)); ok {
			t.Errorf("%s: read as %s, want an error", tt.Name, toJSON(got))
		}
		m, err := New(time.Unix(0, 0), Config{Channels: testTable})
		if err != nil {
			t.Fatal(err)
		}
		m.Receive(time.Unix(1, 0), testkit.Hex(t, tt.Hex))
		if s := m.Stats(); s.Drops[DropMalformed] != 1 || s.PacketsIn != 0 {
			t.Errorf("%s: the packet is not dropped as malformed: %+v", tt.Name, s)
		}
	}
}

func toJSON(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestVectorsOfTables(t *testing.T) {
	var vs []vectorTable
	loadVectors(t, "tables.json", &vs)
	for _, v := range vs {
		table := Table{Channels: vectorChannels(v.Channels), Schema: v.Schema}
		err := table.Validate()
		if v.Error != "" {
			if bad := (*TableError)(nil); !errors.As(err, &bad) || bad.Field != v.Error {
				t.Errorf("%s: %v, want an error of field %s", v.Name, err, v.Error)
			}
			continue
		}
		if err != nil || string(table.AppendText(nil)) != v.Text || fmt.Sprintf("%016x", table.Hash()) != v.Hash {
			t.Errorf("%s: %v, text %q, want %q; hash %016x, want %s", v.Name, err, table.AppendText(nil), v.Text, table.Hash(), v.Hash)
		}
		back, err := ParseTable(v.Text)
		if err != nil || table.Compare(back) != nil {
			t.Errorf("%s: parsed again: %v; compared: %v", v.Name, err, table.Compare(back))
		}
	}
}

func TestVectorsOfReceiving(t *testing.T) {
	var vs []vectorReceive
	loadVectors(t, "receive.json", &vs)
	for _, v := range vs {
		t.Run(v.Name, func(t *testing.T) {
			got := runReceive(t, v)
			for i := range v.Steps {
				if toJSON(got.Steps[i]) != toJSON(v.Steps[i]) {
					t.Errorf("step %d:\n got %s\nwant %s", i, toJSON(got.Steps[i]), toJSON(v.Steps[i]))
				}
			}
		})
	}
}

// runReceive plays a script to a server that sends nothing of its own, and returns
// the script with what happened.
func runReceive(t *testing.T, v vectorReceive) vectorReceive {
	start := time.Unix(0, 0)
	m, err := New(start, Config{Channels: vectorChannels(v.Channels), Server: true, KeepAlive: -1})
	if err != nil {
		t.Fatal(err)
	}
	out := vectorReceive{Name: v.Name, Channels: v.Channels}
	for _, s := range v.Steps {
		now := start.Add(time.Duration(s.At) * time.Millisecond)
		m.Advance(now)
		step := vectorStep{At: s.At, In: s.In}
		if s.In != "" {
			m.Receive(now, testkit.Hex(t, s.In))
		}
		for _, ev := range m.Events(nil) {
			step.Events = append(step.Events, vectorEvent{Channel: int(ev.Channel), Payload: hex.EncodeToString(ev.Payload),
				Closed: ev.Type == EventClosed, Code: ev.Code, GivenUp: ev.GivenUp})
		}
		for {
			b := m.Append(now, nil, MaxPacket)
			if len(b) == 0 {
				break
			}
			step.Out = append(step.Out, hex.EncodeToString(b))
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// A vectorLife is a script in which channels are opened and end while datagrams arrive.
type vectorLife struct {
	Name     string           `json:"name"`
	Channels []vectorChannel  `json:"channels"`
	Steps    []vectorLifeStep `json:"steps"`
}

type vectorLifeStep struct {
	Open    *vectorOpen   `json:"open,omitempty"` // the layer above opens a channel
	Shut    int           `json:"shut,omitempty"` // the peer's SHUT of this channel is processed
	Relink  bool          `json:"relink,omitempty"`
	In      string        `json:"in,omitempty"`
	Events  []vectorEvent `json:"events,omitempty"`
	Dropped string        `json:"dropped,omitempty"` // why a frame of In was not used
	Acked   bool          `json:"acked,omitempty"`   // In is acknowledged
}

type vectorOpen struct {
	Number  int           `json:"number"`
	Channel vectorChannel `json:"channel"`
}

func TestVectorsOfChannelsThatEnd(t *testing.T) {
	var vs []vectorLife
	loadVectors(t, "lives.json", &vs)
	for _, v := range vs {
		t.Run(v.Name, func(t *testing.T) {
			now := time.Unix(0, 0)
			m, err := New(now, Config{Channels: vectorChannels(v.Channels), Server: true, KeepAlive: -1})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range v.Steps {
				now = now.Add(time.Second)
				got := want
				got.Events, got.Dropped, got.Acked = nil, "", false
				before := m.Stats()
				switch {
				case want.Open != nil:
					if err := m.Open(ID(want.Open.Number), want.Open.Channel.channel(), true); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				case want.Shut != 0:
					m.StopSending(ID(want.Shut))
					m.StopReceiving(ID(want.Shut))
					m.Remove(ID(want.Shut))
				case want.Relink:
					m.Relink(now, false, 0)
				default:
					b := testkit.Hex(t, want.In)
					m.Receive(now, b)
					var p packet
					p.parse(b)
					got.Acked = m.received.has(p.number)
				}
				for d, n := range m.Stats().Drops {
					if DropReason(d) != DropRefused && n > before.Drops[d] {
						got.Dropped = DropReason(d).String()
					}
				}
				for _, ev := range m.Events(nil) {
					got.Events = append(got.Events, vectorEvent{Channel: int(ev.Channel), Payload: hex.EncodeToString(ev.Payload)})
				}
				if toJSON(got) != toJSON(want) {
					t.Errorf("step %d:\n got %s\nwant %s", i, toJSON(got), toJSON(want))
				}
			}
		})
	}
}
