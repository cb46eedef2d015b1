package interop

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestBrowser tests a connection in each browser, from its beginning to its end:
//
//	go test -run 'TestBrowser/godwit/firefox/reload'
//
// A new version of pion must pass it.
func TestBrowser(t *testing.T) {
	t.Parallel()
	scripts := []struct {
		name string
		run  func(t *testing.T, w *world)
	}{
		{"connect", testConnect},
		{"page shakes hands first", testPageIsClient},
		{"messages", testMessages},
		{"fragments", testFragments},
		{"too large", testTooLarge},
		{"three channels", testThreeChannels},
		{"negotiated", testNegotiated},
		{"close by page", testCloseByPage},
		{"kick", testKick},
		{"shutdown", testShutdown},
		{"two tabs", testTwoTabs},
		{"reload", testReload},
	}
	for _, srv := range implementations {
		for _, kind := range browser.Kinds {
			t.Run(srv.name+"/"+string(kind), func(t *testing.T) {
				if srv.name != "godwit" {
					slow(t)
				}
				t.Parallel()
				b := browser.Start(t, kind)
				for _, s := range scripts {
					t.Run(s.name, func(t *testing.T) { s.run(t, newWorld(t, b, srv)) })
				}
			})
		}
	}
}

func testConnect(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	receive(t, w.opened, "the server hears of the connection")
	p.wantEcho("the channel works")
	got := receive(t, w.messages, "the message at the server")
	if got.label != "data" || !got.text || string(got.data) != "the channel works" {
		t.Errorf("the server got %q, text %v, on channel %q; want the text on data", got.data, got.text, got.label)
	}
}

// A page may demand to be the DTLS client. Its ClientHello does not fit one
// datagram, and its channels have even streams.
func testPageIsClient(t *testing.T, w *world) {
	p := w.tab()
	p.connectAs("active", dcepChannel, channelInit{"label": "agreed", "negotiated": true, "id": negotiatedStream})
	p.wantEcho("the other way round")
	got := receive(t, w.messages, "the message at the server")
	if got.stream%2 != 0 || got.label != "data" {
		t.Errorf("server got it on stream %d, label %q, want an even one with label data", got.stream, got.label)
	}
	var echo string
	p.do(`return await c.channels[1].echo("agreed");`, nil, &echo)
	if echo != "agreed" {
		t.Errorf("the echo on the negotiated channel is %q, want agreed", echo)
	}
}

// described is a message as describe of page.js returns it.
type described struct {
	Kind  string
	Size  int
	Text  string
	Bytes []int
}

func testMessages(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	for _, tt := range []struct {
		name string
		js   string // the message
		want described
	}{
		{"text", `"grüße, 世界"`, described{Kind: "text", Size: 9, Text: "grüße, 世界"}},
		{"binary", `Uint8Array.of(0, 1, 254, 255)`, described{Kind: "binary", Size: 4, Bytes: []int{0, 1, 254, 255}}},
		{"empty text", `""`, described{Kind: "text"}},
		{"empty binary", `new Uint8Array(0)`, described{Kind: "binary"}},
		{"a whole packet", `pattern(1160)`, described{Kind: "binary", Size: 1160, Bytes: pattern(1160)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got described
			p.do(`return describe(await ch.echo(`+tt.js+`));`, nil, &got)
			if got.Kind != tt.want.Kind || got.Size != tt.want.Size || got.Text != tt.want.Text {
				t.Errorf("echo is %d bytes of %s %q, want %d of %s %q",
					got.Size, got.Kind, got.Text, tt.want.Size, tt.want.Kind, tt.want.Text)
			}
			if !slices.Equal(got.Bytes, tt.want.Bytes) {
				t.Errorf("echo has bytes %v, want %v", got.Bytes, tt.want.Bytes)
			}
		})
	}
}

// pattern returns the same bytes as pattern of page.js.
func pattern(n int) []int {
	b := make([]int, n)
	for i := range b {
		b[i] = i * 7 % 256
	}
	return b
}

// A message that the browser splits over several packets arrives whole.
func testFragments(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	p.do(`ch.send(pattern(arg));`, 8000, nil)
	got := receive(t, w.messages, "the message at the server")
	want := make([]byte, 8000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	if !bytes.Equal(got.data, want) {
		t.Errorf("server got %d bytes, want 8000 of the pattern", len(got.data))
	}
	p.do(`ch.inbox.length = 0;`, nil, nil) // the echo, of a server that sends fragments
}

func testTooLarge(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	c := receive(t, w.opened, "the connection")

	// An answer of pion/webrtc names no limit. Firefox then allows 1 GiB, and an array of so many bytes
	// can take longer than the test.
	const most = 1 << 24
	var threw string
	p.do(`
		const limit = c.pc.sctp.maxMessageSize;
		if (limit > arg) return "no limit";
		try {
			ch.send(new Uint8Array(limit + 1));
			return "";
		} catch (e) {
			return e.name;
		}`, most, &threw)
	if threw != "TypeError" && !(threw == "no limit" && w.kind.tooLarge == nil) {
		t.Errorf("the page's send of more than the answer allows threw %q, want TypeError", threw)
	}
	p.wantEcho("the page may go on")

	if w.kind.tooLarge == nil {
		return
	}
	m := receive(t, w.messages, "the message at the server")
	err := c.Send(m.stream, false, make([]byte, 1300))
	if !errors.Is(err, w.kind.tooLarge) {
		t.Errorf("the server's send of 1300 bytes: %v, want %v", err, w.kind.tooLarge)
	}
	p.wantEcho("the server may go on")
}

func testThreeChannels(t *testing.T, w *world) {
	p := w.tab()
	labels := []string{"input", "chat", "state"}
	p.connect(channelInit{"label": labels[0]}, channelInit{"label": labels[1]}, channelInit{"label": labels[2]})

	var echoes []string
	p.do(`return await Promise.all(c.channels.map((ch) => ch.echo("on " + ch.dc.label)));`, nil, &echoes)
	if want := []string{"on input", "on chat", "on state"}; !slices.Equal(echoes, want) {
		t.Errorf("echoes %q, want %q", echoes, want)
	}
	for range labels {
		got := receive(t, w.messages, "a message at the server")
		if string(got.data) != "on "+got.label {
			t.Errorf("the server got %q on channel %q, want another text", got.data, got.label)
		}
	}
}

func testNegotiated(t *testing.T, w *world) {
	p := w.tab()
	p.connect(channelInit{"label": "agreed", "negotiated": true, "id": negotiatedStream})
	p.wantEcho("no one announced this channel")
	got := receive(t, w.messages, "the message at the server")
	if got.stream != negotiatedStream || got.label != "" {
		t.Errorf("server got it on stream %d, label %q, want %d without label", got.stream, got.label, negotiatedStream)
	}
}

func testCloseByPage(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	p.wantEcho("hello")
	p.do(`c.close();`, nil, nil)
	t.Log("reason:", receive(t, w.closed, "the server hears of the close"))
}

func testKick(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	p.wantEcho("hello")
	receive(t, w.opened, "the connection").Close()
	wantClosed(t, p)
	t.Log("reason:", receive(t, w.closed, "the server's own close event"))
}

func testShutdown(t *testing.T, w *world) {
	first, second := w.tab(), w.tab()
	first.connect()
	second.connect()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	wantClosed(t, first)
	wantClosed(t, second)
}

// wantClosed waits until an event tells the page that its connection is closed.
func wantClosed(t *testing.T, p *tab) {
	t.Helper()
	var how string
	p.do(`return await within(patience, c.closed, "the page hears of the close");`, nil, &how)
	if !strings.Contains(how, "closed") {
		t.Errorf("the page heard %q, want closed", how)
	}
}

func testTwoTabs(t *testing.T, w *world) {
	first, second := w.tab(), w.tab()
	first.connect()
	second.connect()
	first.wantEcho("one")
	second.wantEcho("two")
	first.Close()
	second.wantEcho("two again")
}

func testReload(t *testing.T, w *world) {
	p := w.tab()
	p.connect()
	p.wantEcho("before")
	p.Reload()
	p.connect()
	p.wantEcho("after")
	receive(t, w.opened, "the first connection")
	receive(t, w.opened, "the second connection")
}
