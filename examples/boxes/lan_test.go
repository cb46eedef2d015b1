package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// TestOnePage checks that the page that is a file needs no other file and no server.
func TestOnePage(t *testing.T) {
	page, err := onePage()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(page), "<script"); n != 2 || strings.Count(string(page), "</script>") != 2 {
		t.Errorf("the page has %d scripts, want 2, each with its end", n)
	}
	for _, other := range []string{"\nimport ", "src=", "sourceMappingURL", "\nexport "} {
		if bytes.Contains(page, []byte(other)) {
			t.Errorf("the page has %q", other)
		}
	}
	names := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^(?:const|let|var|class|(?:async )?function)\*? (\w+)`).FindAllSubmatch(page, -1) {
		if name := string(m[1]); names[name] {
			t.Errorf("two parts of the page declare %s", name)
		} else {
			names[name] = true
		}
	}
	if len(names) < 50 {
		t.Errorf("the page declares %d names, want those of all its parts", len(names))
	}
	for _, part := range []string{"const { sessions } = godwit.types;", "\nconst table = {", "location.hash"} {
		if !bytes.Contains(page, []byte(part)) {
			t.Errorf("the page has no %q", part)
		}
	}
}

// lines has what newLAN prints.
type lines struct {
	mu   sync.Mutex
	text string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(b)
	return len(b), nil
}

// invites returns the invites of the links so far.
func (l *lines) invites() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range regexp.MustCompile(`(?m)^file:///\S+/boxes.html#(\S+)$`).FindAllStringSubmatch(l.text, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestLinksAreForOnePlayerEach plays without a web server: each link lets one player in, and there is a new
// link when one is used.
func TestLinksAreForOnePlayerEach(t *testing.T) {
	file := filepath.Join(t.TempDir(), "boxes.html")
	synctest.Test(t, func(t *testing.T) {
		network := netsim.New(1)
		defer network.Close()
		socket, err := network.Listen(serverAddr)
		must(t, err)
		game, err := newGame(func(c godwit.Config) (*godwit.Server, error) {
			c.RTC.Public = []netip.AddrPort{serverAddr}
			if c.Invites, err = auth.NewInviteKey(rand.Reader); err != nil {
				return nil, err
			}
			return godwit.Serve(socket, c)
		})
		must(t, err)
		out := new(lines)
		l, err := newLAN(game.server, file, out)
		must(t, err)
		game.opened, game.again = l.opened, l.again
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- game.run(ctx) }()

		// enter joins the game with an invite, and returns the player's end and seat.
		enter := func(name, invite string, host byte) (end typed.ClientEnd, seat Seat, err error) {
			socket, err := network.Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, host}), 0))
			must(t, err)
			e, err := client.Serve(socket, client.Config{})
			must(t, err)
			t.Cleanup(func() { e.Close() })
			c, err := typed.Client(table, client.SessionConfig{
				Invite: func(context.Context) (auth.Invite, error) { return auth.ParseInvite(invite) },
			})
			must(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			s, err := e.Join(ctx, "", c)
			if err != nil {
				return end, seat, err
			}
			end = typed.Over(s)
			seat, err = table.Join.Request(ctx, end, Name{name})
			return end, seat, err
		}
		var bob typed.ClientEnd
		var seat Seat
		for i, name := range []string{"ada", "bob"} {
			links := out.invites()
			if len(links) != i+1 {
				t.Fatalf("%d links for %d players so far, want one more:\n%s", len(links), i, out.text)
			}
			bob, seat, err = enter(name, links[i], byte(i+1))
			must(t, err)
			synctest.Wait()
		}
		if _, _, err := enter("eve", out.invites()[0], 9); err == nil {
			t.Error("a link lets two players in")
		}
		for i := range byte(3) { // bob leaves and plays again
			bob.Close(session.CloseNormal, "")
			bob, seat, err = enter("bob", seat.Again, 20+i)
			must(t, err)
		}
		synctest.Wait()
		if n := len(out.invites()); n != 3 {
			t.Errorf("%d links after two players, want 3", n)
		}
		stop()
		must(t, <-over)
	})
	if page, err := os.ReadFile(file); err != nil || !bytes.Contains(page, []byte("godwit boxes")) {
		t.Errorf("the page is not in its file: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNobodyCouldPlay(t *testing.T) {
	if err := serve(t.Context(), "127.0.0.1:0", "", "", "", ""); err == nil || !strings.Contains(err.Error(), "-lan") {
		t.Errorf("without a web server and links the error is %v, want one that names -lan", err)
	}
}
