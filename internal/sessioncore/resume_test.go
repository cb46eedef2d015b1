package sessioncore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// ledger counts what arrives at one end of what the other sent with note.
type ledger struct {
	next    uint32 // of chat
	loot    map[uint32]int
	wrong   []string
	replies int
}

func note(n uint32) []byte {
	b := make([]byte, 20+n%300)
	binary.BigEndian.PutUint32(b, n)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func (l *ledger) take(ev Event) {
	switch ev.Type {
	case EventResult:
		if ev.Status == session.StatusResponded {
			l.replies++
		}
	case EventMessage:
		n, sum := binary.BigEndian.Uint32(ev.Data), len(ev.Data)-4
		if crc32.ChecksumIEEE(ev.Data[:sum]) != binary.BigEndian.Uint32(ev.Data[sum:]) {
			l.wrong = append(l.wrong, fmt.Sprintf("message %d is corrupt", n))
		}
		if ev.Channel == loot {
			l.loot[n]++
		}
		if ev.Channel == chat {
			if n != l.next {
				l.wrong = append(l.wrong, fmt.Sprintf("chat %d came when %d was due", n, l.next))
			}
			l.next = n + 1
		}
	}
}

// TestLedgerOverACutLink sends 1,000 messages on each reliable channel each way, and
// requests, over a link that loses a fifth and is cut for 10 s in the middle of them.
func TestLedgerOverACutLink(t *testing.T) {
	w := open(t)
	w.loss = 0.2
	var books [2]ledger
	sides := []*side{w.client, w.server}
	for i, s := range sides {
		books[i].loot = make(map[uint32]int)
		s.on = func(ev Event) {
			books[i].take(ev)
			if ev.Type == EventRequest {
				s.Reply(w.now, ev.Request, ev.Data)
			}
		}
	}
	const total = 1000
	for n := range uint32(total) {
		for _, s := range sides {
			w.must(s, chat, note(n))
			w.must(s, loot, note(n))
			if n%20 == 0 {
				if _, err := s.Request(w.now, "echo", note(n)); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.run(5 * time.Millisecond)
		if n == total/2 {
			w.cut()
			w.run(10 * time.Second)
			w.link()
		}
	}
	w.run(30 * time.Second)
	for i, s := range sides {
		b := &books[i]
		if b.next != total || len(b.loot) != total || b.replies != total/20 || len(b.wrong) > 0 {
			t.Errorf("%s: %d of %d messages of chat, %d of loot, %d replies of %d; %v", s.name, b.next, total, len(b.loot), b.replies, total/20, b.wrong)
		}
		for n, times := range b.loot {
			if times != 1 {
				t.Errorf("%s: message %d of loot came %d times, want once", s.name, n, times)
			}
		}
	}
}

func (w *world) must(s *side, ch channel.ID, b []byte) {
	w.t.Helper()
	if _, err := s.Send(w.now, ch, b, channel.Options{}); err != nil {
		w.t.Fatalf("%s, channel %d: %v", s.name, ch, err)
	}
}

func TestPacketsOfTheOldLinkDoNotCount(t *testing.T) {
	w := open(t)
	w.send(w.client, chat, "over the old link")
	late := w.client.Append(w.now, nil, channel.MaxPacket)
	w.cut()
	w.server.Receive(w.now, late) // the shell should not, but no harm comes of it
	w.link()
	w.run(300 * time.Millisecond)
	w.want(w.server, "interrupted", "resumed", "chat: over the old link", "token confirmed")
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	w := open(t)
	body := make([]byte, 200)
	var b []byte
	var evs []Event
	exchange := func(from, to *side, ch channel.ID) {
		from.Send(w.now, ch, body, channel.Options{})
		for {
			b = from.Append(w.now, b[:0], channel.MaxPacket)
			if len(b) == 0 {
				break
			}
			to.Receive(w.now, b)
			evs = to.Events(evs[:0])
			to.Release(evs)
		}
		w.now = w.now.Add(10 * time.Millisecond)
		from.Advance(w.now)
	}
	step := func() {
		for _, ch := range []channel.ID{moves, chat, loot} {
			exchange(w.client, w.server, ch)
			exchange(w.server, w.client, ch)
		}
	}
	for range 2000 {
		step()
	}
	if n := testing.AllocsPerRun(500, step); n != 0 {
		t.Errorf("%v allocations for six messages, want 0", n)
	}
}

// WELCOME has the credentials of the next link, made of the resume token in it.
func TestWelcomeHasTheCredentialsOfTheNextLink(t *testing.T) {
	w := newWorld(t)
	w.next = func(t Token) (ufrag, pwd string) { return "R" + string(t[:7]), "pwd of " + string(t[:7]) }
	var tokens []string
	w.client.on = func(ev Event) {
		if ev.Type == EventToken {
			token, ufrag, pwd := Next(ev.Data)
			tokens = append(tokens, fmt.Sprintf("%.7s, %s, %s", token[:], ufrag, pwd))
		}
	}
	w.link()
	w.run(time.Second)
	w.link()
	w.run(time.Second)
	w.next = nil
	w.link()
	w.run(time.Second)
	want := []string{"token 0, Rtoken 0, pwd of token 0", "token 2, Rtoken 2, pwd of token 2", "token 3, , "}
	if !slices.Equal(tokens, want) {
		t.Errorf("the client gets %q, want %q", tokens, want)
	}
}
