package godwit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The server distinguishes the token of a session that is over from a token that another server
// may know.
func TestResumeOfWhatIsOver(t *testing.T) {
	s := serve(t, Config{})
	token := sessioncore.Token{1, 2, 3}
	c := &Conn{server: s, atServer: true}
	s.directory.add(c, 1, netip.Addr{}, 0)
	m := markOf(sha256.Sum256(token[:]))
	s.directory.entries[c].tokens = [2]mark{m, m}
	s.directory.byToken[m] = c
	text := "Godwit-Resume " + base64.RawURLEncoding.EncodeToString(token[:])
	s.directory.remove(c)
	wantPost(t, s, "v=1", text, 410, "resume", "ended")
	b := wantPost(t, s, "v=1", "Godwit-Resume AAAAAAAAAAAAAAAAAAAAAA", 410, "resume", "unknown")
	other := wantPost(t, serve(t, Config{}), "v=1", text, 410, "resume", "unknown")
	if b["instance"] != s.instance || other["instance"] == s.instance || len(s.instance) != 16 {
		t.Errorf("the instances are %v and %v, want two different ones of 16 bytes", b, other)
	}
}

// The number of stored tokens of ended sessions is bounded; the oldest are removed.
func TestEndedTokensAreBounded(t *testing.T) {
	var e ended
	token := func(i int) (m mark) { binary.BigEndian.PutUint64(m[:], uint64(i+1)); return m }
	for i := range 3 * maxEnded {
		e.add(token(i))
		e.add(token(i)) // both tokens of a session may be the same
	}
	if len(e.known) != maxEnded || len(e.order) != maxEnded {
		t.Errorf("%d and %d ended sessions are stored, want %d", len(e.known), len(e.order), maxEnded)
	}
	for i := range 3 * maxEnded {
		if want := i >= 2*maxEnded; e.has(token(i)) != want {
			t.Fatalf("token %d is stored: %v, want %v", i, !want, want)
		}
	}
}

// The tokens of ended sessions take no more memory than docs/security.md says.
func TestMemoryOfEndedTokens(t *testing.T) {
	before := testkit.HeapNow()
	e := new(ended)
	var most int
	for i := range 4 * maxEnded {
		var m mark
		binary.BigEndian.PutUint64(m[:], uint64(i+1)*0x9e3779b97f4a7c15)
		e.add(m)
		if i%1024 == 0 {
			most = max(most, testkit.HeapNow()-before)
		}
	}
	t.Logf("%d bytes of heap", most)
	if most > 614<<10 {
		t.Errorf("%d bytes of heap, want at most 0.6 MiB", most)
	}
	if len(e.known) != maxEnded {
		t.Errorf("%d ended sessions are stored, want %d", len(e.known), maxEnded)
	}
}
