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

// A capture is one association with a browser; testdata/README.md tells its
// format and what was said.
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

// again returns an association that says what it said in the capture, except
// for the cookie: it knows only its own key.
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

// echo plays a packet of the page and returns every message that came, as
// godwit did in the capture. It returns what happened.
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

// briefEvent is debugEvent, which is long for the page's larger messages.
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

// said is what happens when the conversation is played again.
var said = []string{
	`established`,
	`channel open stream=1 "data" "" negotiated=false ordered=false retransmits 0 `,
	`message stream=1 text "text"`,
	`message stream=1 binary "\x00\x01\xfe\xff"`,
	`message stream=1 text ""`,
	`message stream=1 binary ""`,
	`message stream=1 binary of 1160`,
	`message stream=1 binary of 3000`,
	`message stream=1 text "after"`, // one was lost before it
	`message stream=1 text "the"`,
	`message stream=1 text "loss"`,
	`message stream=1 text "lost"`, // its echo was
	`message stream=1 text "after"`,
	`message stream=1 text "the"`,
	`message stream=1 text "loss"`,
	`channel open stream=3 "second" "" negotiated=false ordered=false lifetime 100 `,
	`message stream=3 text "on the second"`,
	`channel closed stream=3`,
}

// The conversation of a browser, played again.
func TestConversationsOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		want := said
		if name == "firefox.hex" { // closes its channels before it aborts
			want = append(slices.Clip(said), `channel closed stream=1`)
		}
		t.Run(name, func(t *testing.T) {
			a := c.again(t)
			var got []string
			for _, b := range c.page {
				got = append(got, a.echo(b)...)
				a.drain()
			}
			if n := len(got); n == 0 || !strings.HasPrefix(got[n-1], "closed: aborted by peer") {
				t.Fatalf("it ends with %q", got[max(0, n-1):])
			}
			if got = got[:len(got)-1]; !slices.Equal(got, want) {
				t.Errorf("happened:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for r, n := range a.Stats().Drops {
				// The cookie is another's, and each INIT of the burst was answered.
				if r := DropReason(r); n > 0 && r != dropCookie && r != dropState {
					t.Errorf("%d drops as %q", n, r)
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
