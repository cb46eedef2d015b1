package sessioncore

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// vectors returns the lines of the files in testdata: what they are, and the bytes.
func vectors(t testing.TB) (lines [][2]string) {
	return append(vectorsOf(t, "testdata/frames.txt"), vectorsOf(t, "testdata/open.txt")...)
}

func vectorsOf(t testing.TB, file string) (lines [][2]string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		text, _, _ := strings.Cut(sc.Text(), "#")
		name, digits, ok := strings.Cut(strings.TrimSpace(text), ":")
		if !ok {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines = append(lines, [2]string{name, string(b)})
	}
	return lines
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		name, b := v[0], []byte(v[1])
		var f frame
		if ok := f.parse(b); ok == strings.HasPrefix(name, "bad") {
			t.Errorf("%s: parse returns %v", name, ok)
			continue
		}
		if strings.HasPrefix(name, "good") {
			if got := f.append(nil); string(got) != v[1] {
				t.Errorf("%s: written again it is %x, want %x", name, got, v[1])
			}
		}
	}
}

// append writes what parse has read.
func (f *frame) append(b []byte) []byte {
	switch f.kind {
	case typeHello:
		return appendHello(b, f.payload, f.takes)
	case typeWelcome:
		b = appendWelcome(b, f.session, f.token, f.grace, f.silence)
		if f.channels < 0 {
			return b
		}
		return append(appendMayOpen(b, f.channels, f.queue), f.next...)
	case typeRequest:
		return appendRequest(b, f.id, string(f.name), f.payload)
	case typeOpen, typeMove:
		return append(append(b, f.kind), f.payload...)
	case typeOpened, typeShut:
		return append(b, f.kind, f.channel)
	}
	return append(appendNumbered(b, f.kind, f.id), f.payload...)
}

func FuzzFrame(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v[1]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var fr, again frame
		if !fr.parse(b) || fr.kind >= typeExtension {
			return
		}
		c := fr.append(nil)
		if len(c) > len(b) {
			t.Fatalf("%x becomes the longer frame %x", b, c)
		}
		if !again.parse(c) || string(again.append(nil)) != string(c) {
			t.Fatalf("%x is not the same when it is parsed and written again", c)
		}
	})
}

// FuzzHostilePeer opens a session with a peer that knows the table and sends any
// control messages and packets.
func FuzzHostilePeer(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v[1]), true, uint8(0))
		f.Add([]byte(v[1]), false, uint8(1))
	}
	f.Add(appendWelcome(nil, 1, Token([]byte("open is my token")), 1, 1), true, uint8(0)) // no event is known by its text
	f.Fuzz(func(t *testing.T, b []byte, server bool, pieces uint8) {
		w := newWorld(t, mayOpen(2))
		from, to := w.client, w.server
		if server {
			from, to = to, from
		}
		var types []EventType
		to.on = func(ev Event) { types = append(types, ev.Type) }
		w.link()
		w.run(100 * time.Millisecond)
		w.open(small) // 6
		n := max(1, len(b)/(int(pieces)+1))
		for len(b) > 0 {
			m := b[:min(n, len(b))]
			b = b[len(m):]
			from.sendControl(w.now, m, channel.Options{})
			to.Receive(w.now, m)
			w.collect(to)
			to.checkChannels(t)
		}
		w.run(12 * time.Second)
		to.checkChannels(t)
		for i, typ := range types {
			if (typ == EventOpen) != (i == 0) || typ == EventClosed && i != len(types)-1 {
				t.Fatalf("the events are not in order: %q", to.events)
			}
		}
	})
}
