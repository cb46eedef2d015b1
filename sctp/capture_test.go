package sctp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A capture is one association with a browser; testdata/README.md describes its format and the
// messages.
type capture struct {
	page, godwit [][]byte
}

// captures reads the files of all browsers.
func captures(t testing.TB) map[string]capture {
	t.Helper()
	all := make(map[string]capture)
	for name, lines := range testkit.Captures(t) {
		var c capture
		for _, f := range lines {
			b := testkit.Hex(t, f[1])
			if f[0] == "page" {
				c.page = append(c.page, b)
			} else {
				c.godwit = append(c.godwit, b)
			}
		}
		all[name] = c
	}
	return all
}

// again returns an association that sends the packets of the capture again. Only its cookie
// differs, because the key differs.
func (c *capture) again(t *testing.T) *testAssoc {
	a := newIdleAssoc(t, honest, func(config *Config) {
		for first := range chunks(c.godwit[0]) {
			config.LocalTag = binary.BigEndian.Uint32(first.value)
			config.InitialTSN = binary.BigEndian.Uint32(first.value[12:])
		}
	})
	a.Connect(a.now)
	a.drain()
	return a
}

// echo gives the association a packet of the page, and sends each message back that arrives, as
// godwit did in the capture. It returns the events.
func (a *testAssoc) echo(b []byte) []string {
	a.pass(5 * time.Millisecond)
	a.writePacket(b)
	var happened []string
	for _, e := range a.events {
		happened = append(happened, briefEvent(e))
		if e.Type == Message && len(e.Payload) <= MaxPayload {
			a.AppendMessage(a.now, nil, e.Stream, e.Kind, e.Payload)
		}
	}
	a.events = a.events[:0]
	return happened
}

// briefEvent is debugEvent, but short for the page's larger messages.
func briefEvent(e Event) string {
	if e.Type != Message || len(e.Payload) < 100 {
		return debugEvent(e)
	}
	for i, v := range e.Payload {
		if v != byte(i*7) {
			return fmt.Sprintf("message with a wrong byte at %d", i)
		}
	}
	return fmt.Sprintf("message stream=%d %s of %d", e.Stream, e.Kind, len(e.Payload))
}

// replayed has the events of a replay, in order.
var replayed = []string{
	`established`,
	`channel open stream=1 "data" "" negotiated=false ordered=false retransmits 0 `,
	`message stream=1 text "text"`,
	`message stream=1 binary "\x00\x01\xfe\xff"`,
	`message stream=1 text ""`,
	`message stream=1 binary ""`,
	`message stream=1 binary of 1160`,
	`message stream=1 binary of 3000`,
	`message stream=1 text "after"`, // the message before it was lost
	`message stream=1 text "the"`,
	`message stream=1 text "loss"`,
	`message stream=1 text "lost"`, // its echo was lost
	`message stream=1 text "after"`,
	`message stream=1 text "the"`,
	`message stream=1 text "loss"`,
	`channel open stream=3 "second" "" negotiated=false ordered=false lifetime 100 `,
	`message stream=3 text "on the second"`,
	`channel closed stream=3`,
}

// A replay of the page's packets gives the events of the capture.
func TestConversationsOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		want := replayed
		if name == "firefox.hex" { // closes its channels before it aborts
			want = append(slices.Clip(replayed), `channel closed stream=1`)
		}
		t.Run(name, func(t *testing.T) {
			a := c.again(t)
			var got []string
			for _, b := range c.page {
				got = append(got, a.echo(b)...)
				a.drain()
			}
			if n := len(got); n == 0 || !strings.HasPrefix(got[n-1], "closed: aborted by peer") {
				t.Fatalf("the last event is %q, want an ABORT of the peer", got[max(0, n-1):])
			}
			if got = got[:len(got)-1]; !slices.Equal(got, want) {
				t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for r, n := range a.Stats().Drops {
				// The cookie was made with another key, and each INIT of the burst was
				// answered.
				if r := DropReason(r); n > 0 && r != dropCookie && r != dropState {
					t.Errorf("%d drops as %q, want none", n, r)
				}
			}
		})
	}
}

// FuzzConversation replaces one packet in the conversation of a browser.
func FuzzConversation(f *testing.F) {
	all := captures(f)
	for _, c := range all {
		for i, b := range c.page {
			f.Add(b, uint8(i))
			f.Add(b, uint8(i+7))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, at uint8) {
		if len(b) >= headerLen {
			b = finishPacket(bytes.Clone(b), 0)
		}
		for _, c := range all {
			a := c.again(t)
			for i, p := range c.page {
				if i == int(at) {
					p = b
				}
				a.echo(p)
				checkInvariants(t, a)
			}
		}
	})
}
