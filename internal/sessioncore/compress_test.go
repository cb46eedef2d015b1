package sessioncore

import (
	"bytes"
	"compress/flate"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/deflate"
	"github.com/godwit-rtc/godwit/session"
)

// compressed makes chat and loot channels with Compress.
func compressed(client, server *Config) {
	cs := append(channel.Channels{}, table...)
	cs[chat-1].Compress, cs[loot-1].Compress = true, true
	cs[chat-1].MaxMessage, cs[chat-1].QueueLimit = 2<<20, 4<<20
	client.Channel.Channels, server.Channel.Channels = cs, cs
}

// sendPacked sends b as the program's end does.
func (w *world) sendPacked(s *side, ch channel.ID, b []byte) {
	w.t.Helper()
	p := deflate.TakePacker()
	defer p.Return()
	if _, err := s.SendPacked(w.now, ch, b, p.Pack(b), channel.Options{Receipt: true}); err != nil {
		w.t.Fatal(err)
	}
}

// A message that cannot be inflated ends the session, at the end that gets it, with a reason. The
// messages before it have arrived, and those behind it do not arrive.
func TestWhatCannotBeInflatedEndsTheSession(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := flate.NewWriter(&bomb, flate.BestCompression)
	z.Write(make([]byte, 1<<20))
	z.Flush()
	gigabyte := append([]byte{deflate.Deflated}, bytes.Repeat(bomb.Bytes(), 1<<10)...)
	for name, message := range map[string][]byte{
		"malformed": []byte("\x01hello"),
		"1 GB":      gigabyte,
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, compressed)
			// As many bytes as it takes: the length of the message that it stands for is allowed.
			for _, b := range [][]byte{[]byte("\x00before"), message, []byte("\x00behind")} {
				if _, err := w.client.SendPacked(w.now, chat, make([]byte, len(b)), b, channel.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			w.run(30 * time.Second)
			w.want(w.server, "chat: before", `closed 3 "a compressed message cannot be inflated" remote=false`)
		})
	}
}

// Limits.Bytes counts what a message has inflated to: inflating takes time.
func TestLimitsCountInflatedBytes(t *testing.T) {
	w := open(t, compressed, func(_, server *Config) { server.Limits.Bytes = 100_000 })
	for range 4 {
		w.sendPacked(w.client, chat, make([]byte, 150_000))
	}
	w.run(time.Second)
	if n := w.server.Mux().Stats().BytesIn; n > 10_000 {
		t.Errorf("%d bytes have arrived, want few: they are zeroes", n)
	}
	if r := w.server.Reason(); r.Code != session.CloseLimitBytes {
		t.Errorf("the session has ended with %v, want %v", r, session.CloseLimitBytes)
	}
}

// holdBack makes chat messages that inflate to a MiB each wait at the server for the first, which is lost.
func (w *world) holdBack(n int) {
	w.loss = 1
	for i := range n {
		var small bytes.Buffer
		small.WriteByte(deflate.Deflated)
		z, _ := flate.NewWriter(&small, flate.BestCompression)
		z.Write(make([]byte, 1<<20-i))
		z.Close()
		if _, err := w.client.SendPacked(w.now, chat, make([]byte, 1<<20-i), small.Bytes(), channel.Options{}); err != nil {
			w.t.Fatal(err)
		}
		w.flush(w.client, w.server)
		w.loss = 0
	}
}

// The limit counts while messages are inflated that have waited for a missing one: not all of them are.
func TestLimitsEndTheInflationOfWhatHasWaited(t *testing.T) {
	w := open(t, compressed)
	w.holdBack(30)
	w.run(2 * time.Second)
	if n := w.server.Mux().ChannelStats(chat).BytesIn; n > 5<<20 {
		t.Errorf("%d bytes were inflated, want at most those that end the session", n)
	}
	if r := w.server.Reason(); r.Code != session.CloseLimitBytes {
		t.Errorf("the session has ended with %v, want %v", r, session.CloseLimitBytes)
	}
}

// Without a limit all of them arrive, a few at a time, in order and before the end of the session.
func TestWhatHasWaitedIsInflatedBitByBit(t *testing.T) {
	w := open(t, compressed, func(_, server *Config) { server.Limits.Bytes = -1 })
	arrived, most := 0, 0
	w.server.on = func(ev Event) {
		if ev.Type == EventMessage {
			if len(ev.Data) != 1<<20-arrived {
				t.Errorf("message %d has %d bytes", arrived, len(ev.Data))
			}
			arrived++
		}
		most = max(most, len(w.server.evs))
	}
	w.holdBack(30)
	w.client.Close(w.now, session.CloseProgram, "enough", false)
	w.run(20 * time.Second)
	if last := w.server.events[len(w.server.events)-1]; arrived != 30 || most > 3 || last != `closed 256 "enough" remote=true` {
		t.Errorf("%d messages arrive, at most %d events at once, and the last is %s, want 30, few and the end", arrived, most, last)
	}
}

// What has arrived is inflated also if the link closes meanwhile.
func TestWhatHasWaitedIsInflatedWithoutALink(t *testing.T) {
	w := open(t, compressed, func(_, server *Config) { server.Limits.Bytes = -1 })
	arrived := 0
	w.server.on = func(ev Event) {
		if ev.Type == EventMessage {
			if arrived++; arrived == 1 {
				w.server.Unlink(w.now)
			}
		}
	}
	w.holdBack(30)
	w.run(2 * time.Second)
	if st := w.server.Mux().ChannelStats(chat); arrived < 4 || st.MessagesIn != uint64(arrived) || w.server.Mux().More() {
		t.Errorf("%d messages arrive, of %d in order, and more is %v", arrived, st.MessagesIn, w.server.Mux().More())
	}
}

// Messages of all kinds arrive once and in order, with their receipts, though the link changes and
// is interrupted, and those that wait when the session is closed arrive before its end.
func TestCompressedMessagesOverResumes(t *testing.T) {
	w := open(t, compressed)
	w.loss, w.jitter, w.double = 0.1, 40*time.Millisecond, 0.1
	var want, receipts []string
	text := func(n int) []byte {
		return append(fmt.Appendf(nil, "%03d ", n), bytes.Repeat([]byte("again and "), n*37%400)...)
	}
	next := 0
	more := func(n int) {
		for range n {
			b := text(next)
			next++
			w.sendPacked(w.server, chat, b)
			want, receipts = append(want, "chat: "+string(b)), append(receipts, "chat delivered")
		}
	}
	more(20)
	w.run(300 * time.Millisecond)
	w.cut()
	more(20)
	w.run(time.Second)
	w.link()
	more(20)
	w.run(100 * time.Millisecond)
	w.server.Close(w.now, session.CloseProgram, "enough", false)
	w.run(20 * time.Second)
	var got, other []string
	for _, ev := range w.client.events {
		if bytes.HasPrefix([]byte(ev), []byte("chat: ")) {
			got = append(got, ev)
		} else {
			other = append(other, ev)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d messages arrive, want the %d that were sent, in order", len(got), len(want))
	}
	if fmt.Sprint(other) != fmt.Sprint([]string{"interrupted", "token 2", "resumed", `closed 256 "enough" remote=true`}) && fmt.Sprint(other) != fmt.Sprint([]string{"interrupted", "resumed", "token 2", `closed 256 "enough" remote=true`}) {
		t.Errorf("the client's other events are %q", other)
	}
	delivered := 0
	for _, ev := range w.server.events {
		if ev == "chat delivered" {
			delivered++
		}
	}
	if delivered != len(receipts) {
		t.Errorf("%d receipts say delivered, want %d", delivered, len(receipts))
	}
}
