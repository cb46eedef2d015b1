package godwit_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// wireServer serves the channels of the README's first program, and returns its URL.
func wireServer(t *testing.T) string {
	t.Helper()
	srv := testkit.Must(godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: godwit.Channels{
			{Name: "move", Mode: godwit.Sequenced},
			{Name: "chat", Mode: godwit.ReliableOrdered},
		},
		Handler: godwit.Handler{
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
		},
	}))
	mux := http.NewServeMux()
	mux.Handle("/godwit/", srv)
	web := httptest.NewServer(mux)
	t.Cleanup(func() {
		srv.Close()
		web.Close()
	})
	return web.URL + "/godwit/"
}

// The packets of docs/wire.md are those of a server: it opens a session after the first one, and sends what the
// page says.
func TestWirePackets(t *testing.T) {
	page := testkit.Must(os.ReadFile("docs/wire.md"))
	blocks := regexp.MustCompile("(?s)```\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/wire.md has %d blocks of packets, want 3", len(blocks))
	}
	first, ack := wireBytes(t, blocks[0][1]), wireBytes(t, blocks[2][1])
	lines := strings.Split(strings.TrimSpace(string(blocks[1][1])), "\n")
	if len(lines) != 5 {
		t.Fatalf("the packets of the server have %d lines, want 5", len(lines))
	}
	welcome, echo := wireBytes(t, []byte(lines[1])), wireBytes(t, []byte(lines[4]))

	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	url := wireServer(t)
	table := godwit.Channels{{Name: "move", Mode: godwit.Sequenced}, {Name: "chat", Mode: godwit.ReliableOrdered}}
	ws := wireSocket(ctx, t, url, table)
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageBinary, first); err != nil {
		t.Fatal(err)
	}
	var all []byte // what comes, packet after packet
	for !bytes.Contains(all, echo) {
		_, b, err := ws.Read(ctx)
		if err != nil {
			t.Fatalf("%v after %x", err, all)
		}
		all = append(all, b...)
	}
	i := bytes.Index(all, welcome)
	if i < 0 || len(all) < i+3+116 || !bytes.HasSuffix(all, echo) {
		t.Errorf("the server sends %x, want %x and 115 bytes more, and at the end %x", all, welcome, echo)
	}
	if err := ws.Write(ctx, websocket.MessageBinary, ack); err != nil {
		t.Error(err)
	}
}

// wireBytes returns the bytes of lines that begin with hexadecimal numbers.
func wireBytes(t *testing.T, lines []byte) (all []byte) {
	t.Helper()
	for line := range strings.Lines(string(lines)) {
		for word := range strings.FieldsSeq(line) {
			b, err := hex.DecodeString(word)
			if err != nil {
				break // what the line says in words, or "…"
			}
			all = append(all, b...)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no bytes in %q", lines)
	}
	return all
}

// wireSocket opens a WebSocket for a new session.
func wireSocket(ctx context.Context, t *testing.T, url string, cs godwit.Channels) *websocket.Conn {
	t.Helper()
	hash := (channel.Table{Channels: cs}).Hash()
	r := testkit.Must(http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s?v=1&channels=%016x", url, hash), nil))
	r.Header.Set("Content-Type", "application/json")
	resp := testkit.Must(http.DefaultClient.Do(r))
	defer resp.Body.Close()
	var answer struct {
		Links []struct{ Type, Ticket string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Links) != 1 {
		t.Fatalf("the answer has %d links", len(answer.Links))
	}
	ws, _, err := websocket.Dial(ctx, strings.Replace(url, "http", "ws", 1), &websocket.DialOptions{
		Subprotocols: []string{"godwit.1", "ticket." + answer.Links[0].Ticket},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

// The client of docs/wire.md connects, gets its echo, and ends.
func TestWireClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("NOT RUN: node is not installed")
	}
	page := testkit.Must(os.ReadFile("docs/wire.md"))
	code := regexp.MustCompile("(?s)```js\n(.*?)```").FindSubmatch(page)
	if code == nil {
		t.Fatal("docs/wire.md has no client")
	}
	file := filepath.Join(t.TempDir(), "client.mjs")
	if err := os.WriteFile(file, code[1], 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	has := func(flags ...string) bool {
		out, err := exec.CommandContext(ctx, node, append(flags, "-p", "typeof WebSocket")...).Output()
		return err == nil && strings.TrimSpace(string(out)) == "function"
	}
	args := []string{file, wireServer(t)}
	switch flag := "--experimental-websocket"; {
	case has():
	case has(flag): // Node 20 and 21
		args = append([]string{flag}, args...)
	default:
		t.Skip("NOT RUN: this node has no WebSocket; Node 22 has")
	}
	out, err := exec.CommandContext(ctx, node, args...).Output()
	if got, want := string(out), "WELCOME\nhello\n"; err != nil || got != want {
		t.Errorf("the client prints %q, %v; want %q", got, err, want)
	}
}
