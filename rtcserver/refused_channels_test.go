package rtcserver

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
)

// A lineLog is a Logger that keeps its lines, and notes whether a shard's lock is held while it
// gets a line.
type lineLog struct {
	mu     sync.Mutex
	lines  []string
	shard  *shard
	locked int
}

func (j *lineLog) Enabled(context.Context, slog.Level) bool { return true }
func (j *lineLog) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *lineLog) WithGroup(string) slog.Handler            { return j }

func (j *lineLog) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	j.lines = append(j.lines, line)
	if j.shard != nil {
		if !j.shard.loop.TryLock() {
			j.locked++
			return nil
		}
		j.shard.loop.Unlock()
	}
	return nil
}

// with returns the lines that contain all the words.
func (j *lineLog) with(words ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
lines:
	for _, l := range j.lines {
		for _, w := range words {
			if !strings.Contains(l, w) {
				continue lines
			}
		}
		found = append(found, l)
	}
	return found
}

func opening(kind byte) []byte {
	return append([]byte{3, kind, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0}, "chat"...)
}

// inControlledWorld runs a test with a page whose keys the test has.
func inControlledWorld(t *testing.T, c Config, test func(w *world, h *controlledPage, j *lineLog)) {
	t.Helper()
	j := new(lineLog)
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	c.KeyLog, c.Logger = tap, slog.New(j)
	told := &world{events: make(chan string, 10_000)}
	c.Handler = told.reporter()
	c.Handler.Message = func(_ *Conn, m Message) { told.happened("message: %d %s", m.Stream, m.Data) } // no echo
	inWorld(t, c, func(w *world) {
		w.events = told.events
		w.network.SetTap(tap.see)
		j.shard = w.server.shards[0]
		test(w, w.control(tap), j)
	})
}

// A page's refused channels are logged once for each reason, with what to do, and all
// of them are counted, by reason.
func TestRefusedChannelsAreLoggedOnce(t *testing.T) {
	inControlledWorld(t, Config{Settings: Settings{MaxChannels: 5}}, func(w *world, h *controlledPage, j *lineLog) {
		for range 200 {
			var chunks [][]byte
			for range 40 {
				chunks = append(chunks, data(3, h.tsn, uint16(1+2*(h.tsn%1000)), 0, 50, opening(0)))
				h.tsn++
			}
			h.packet(chunks...)
		}
		synctest.Wait()
		st := w.server.Stats()
		if n := st.ChannelsRefused[RefusedReliable]; n < 7900 || n > 8000 {
			t.Errorf("%d refusals are counted, want 7900 to 8000", n)
		}
		if lines := j.with("WARN", "refused"); len(lines) != 1 || !strings.Contains(lines[0], "maxRetransmits: 0") || !strings.Contains(lines[0], "label=chat") {
			t.Errorf("%d warnings, want 1 with the advice: %q", len(lines), lines[:min(len(lines), 3)])
		}
		h.packet(data(3, h.tsn, 2, 0, 50, opening(0x81)))
		synctest.Wait()
		if lines := j.with("WARN", "refused"); len(lines) != 2 {
			t.Errorf("after a refusal for another reason: %q, want 2 warnings", lines)
		}
		if st := w.server.Stats(); st.ChannelsRefused[RefusedMalformed] != 1 {
			t.Errorf("the counted refusals are %v, want 1 malformed", st.ChannelsRefused)
		}
	})
}

// The channel beyond MaxChannels is closed, in-band or negotiated. The log names the limit, and
// a separate counter counts it. The other channels work.
func TestChannelsBeyondTheLimit(t *testing.T) {
	for _, most := range []int{0, 3, 40} {
		inControlledWorld(t, Config{Settings: Settings{MaxChannels: most}}, func(w *world, h *controlledPage, j *lineLog) {
			want := most
			if most == 0 {
				want = 16
			}
			for i := range want + 1 { // one is open already
				h.packet(data(7, h.tsn, uint16(2+2*i), 0, 51, []byte("x")))
				h.tsn++
			}
			synctest.Wait()
			st := w.server.Stats()
			if n := st.ChannelsRefused[RefusedTooMany]; n != 2 {
				t.Errorf("MaxChannels %d: %d refused, want 2", most, n)
			}
			if lines := j.with("WARN", "MaxChannels"); len(lines) != 1 {
				t.Errorf("MaxChannels %d: %q, want 1 warning", most, lines)
			}
			peer, _ := h.offered.conn.peer.Stats()
			if peer.Channels != want {
				t.Errorf("%d are open, want %d", peer.Channels, want)
			}
		})
	}
	for _, n := range []int{-1, 257} {
		c := Config{Settings: Settings{MaxChannels: n}}
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config.MaxChannels") {
			t.Errorf("Config.MaxChannels = %d: %v, want an error", n, err)
		}
	}
}

// An ordered channel without retransmission is served without AllowReliable, and acknowledged
// like an unordered channel.
func TestOrderedUnreliableChannelIsServed(t *testing.T) {
	inControlledWorld(t, Config{}, func(w *world, h *controlledPage, j *lineLog) {
		h.packet(data(3, h.tsn, 1, 0, 50, opening(1)))
		h.tsn++
		for ssn := range uint16(3) {
			h.packet(data(3, h.tsn+uint32(2*ssn), 1, 1+2*ssn, 51, []byte{'1' + byte(2*ssn)}))
		}
		h.tsn += 5
		time.Sleep(time.Second)
		synctest.Wait()
		var got []string
		for len(w.events) > 0 {
			if e := <-w.events; strings.Contains(e, ": 1 ") {
				got = append(got, e[strings.LastIndexByte(e, ' ')+1:])
			}
		}
		if s := strings.Join(got, " "); s != "chat 1 3 5" {
			t.Errorf("handlers get %q, want chat 1 3 5", s)
		}
		if lines := j.with("WARN"); len(lines) > 0 {
			t.Errorf("unexpected warnings: %q", lines)
		}
	})
}

// A Logger gets its lines when the shard's lock is free.
func TestLinesAreWrittenUnderNoLock(t *testing.T) {
	inControlledWorld(t, Config{}, func(w *world, h *controlledPage, j *lineLog) {
		h.packet(data(3, h.tsn, 1, 0, 50, opening(0)))
		synctest.Wait()
		h.offered.conn.Close("enough")
		synctest.Wait()
		if j.locked > 0 || len(j.with("open")) == 0 || len(j.with("refused")) == 0 || len(j.with("close")) == 0 {
			t.Errorf("the lock was held at %d lines, want 0; want lines of open, refused and close: %q", j.locked, j.lines)
		}
	})
}

// Many connections, of one page or of many, do not fill the log either: there are few lines per
// minute for a reason, and all refusals are counted.
func TestRefusedChannelsOfManyConnectionsAreLoggedRarely(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		sh := w.server.shards[0]
		refuse := func(n int) (lines int) {
			sh.loop.Lock()
			defer sh.loop.Unlock()
			for range n {
				c := &Conn{shard: sh}
				c.refuse(&peer.Event{Refused: peer.RefusedReliable})
				c.refuse(&peer.Event{Refused: peer.RefusedTooMany})
			}
			lines, sh.lines = len(sh.lines), nil
			return lines
		}
		if n := refuse(1000); n != 2*linesAMinute {
			t.Errorf("%d lines in the first minute, want %d", n, 2*linesAMinute)
		}
		time.Sleep(59 * time.Second)
		if n := refuse(1000); n != 0 {
			t.Errorf("%d more lines, want 0", n)
		}
		time.Sleep(time.Second)
		if n := refuse(5); n != 10 {
			t.Errorf("%d lines for 5 connections a minute later, want 10", n)
		}
		if n := w.server.Stats().ChannelsRefused[RefusedReliable]; n != 2005 {
			t.Errorf("%d refusals are counted, want 2005", n)
		}
	})
}
