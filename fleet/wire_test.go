package fleet

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestEnvelope(t *testing.T) {
	from := instance{1, 2, 3, 4, 5, 6, 7, 8}
	h := groupHeader{table: 0xfeedbeef, stream: 7, number: 1 << 40, name: "état"}
	for _, h.ch = range []uint64{0, 1, 63} {
		b := append(h.append(appendHeader(nil, kindGroup, from)), "payload"...)
		m := message{body: b}
		if !m.parseHeader() || m.kind != kindGroup || m.from != from {
			t.Fatalf("the envelope is %v of %v", m.kind, m.from)
		}
		r := reader{b: m.body}
		var got groupHeader
		got.read(&r)
		want := h
		if h.ch != 0 {
			want.name = ""
		}
		if r.bad || got != want || string(r.b) != "payload" {
			t.Errorf("got %+v and %q, want %+v", got, r.b, want)
		}
		for n := range len(b) - len("payload") {
			m := message{body: b[:n]}
			if !m.parseHeader() {
				continue
			}
			r := reader{b: m.body}
			if got.read(&r); !r.bad {
				t.Errorf("%d of %d bytes are accepted", n, len(b))
			}
		}
	}
	if m := (message{body: append([]byte{version + 1}, make([]byte, 40)...)}); m.parseHeader() {
		t.Error("an envelope of another version is accepted")
	}
}

// A name that cannot be part of a subject is replaced by a hash, which no other name is equal to.
func TestTokens(t *testing.T) {
	for name, plain := range map[string]bool{
		"lobby": true, "Room_7-a": true, "": false, "a b": false, "a.b": false, "*": false, ">": false, "=x": false, "é": false,
		string(bytes.Repeat([]byte("x"), 64)): true, string(bytes.Repeat([]byte("x"), 65)): false,
	} {
		got := token(name)
		if plain && got != name || !plain && (len(got) != 23 || got[0] != '=') {
			t.Errorf("token(%q) = %q", name, got)
		}
	}
	if token("a.b") == token("a b") {
		t.Error("two names have one token")
	}
}

func TestArrivals(t *testing.T) {
	for _, tt := range []struct {
		numbers string
		want    string
	}{
		{"567", "ok ok ok"},
		{"579", "ok ok-1 ok-1"},
		{"55", "ok drop"},
		{"5766", "ok ok-1 late drop"},
		{"54", "ok late"}, // sent before this node had members, or after
	} {
		var a arrivals
		var got []string
		for _, c := range tt.numbers {
			ok, lost, late := a.note(uint64(c - '0'))
			s := "drop"
			switch {
			case ok && lost > 0:
				s = fmt.Sprintf("ok-%d", lost)
			case ok:
				s = "ok"
			case late:
				s = "late"
			}
			got = append(got, s)
		}
		if s := fmt.Sprint(got); s != "["+tt.want+"]" {
			t.Errorf("%s: %s, want [%s]", tt.numbers, s, tt.want)
		}
	}
	var a arrivals
	a.note(0)
	if ok, lost, _ := a.note(1000); !ok || lost != 999 {
		t.Errorf("a gap of 999: %v, %d", ok, lost)
	}
	if ok, _, late := a.note(3); ok || !late {
		t.Errorf("one of the gap, far back: %v, %v", ok, late)
	}
}

// Nothing that arrives makes a node panic, with a server or without.
func FuzzReceive(f *testing.F) {
	for k := range kindElse + 1 {
		f.Add("godwit.g.lobby.m", "godwit.n.0102030405060708.r.1", append(appendHeader(nil, k, instance{1}), "\x03ada\x01\x02payload of some length"...))
	}
	f.Add("godwit.p.ada", "", []byte(nil))
	n := newNode(f, Config{}, testConfig)
	n.join("ada")
	f.Fuzz(func(t *testing.T, subject, reply string, b []byte) {
		n.receive(&nats.Msg{Subject: subject, Reply: reply, Data: b})
	})
}
