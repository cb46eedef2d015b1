package rtcserver

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
)

type drained struct{}

func (drained) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// drain takes the source of random bytes away until the function it returns is called.
func drain() (restore func()) {
	before := rand.Reader
	rand.Reader = drained{}
	return func() { rand.Reader = before }
}

// Without random bytes no server and no connection is made: their secrets could be guessed.
func TestNothingIsMadeWithoutRandomBytes(t *testing.T) {
	restore := drain()
	s, err := Listen("127.0.0.1:0", Config{})
	restore()
	if s != nil || err == nil || !strings.Contains(err.Error(), "no entropy") {
		t.Errorf("a server without a certificate: %v", err)
	}
	s = listen(t, Config{})
	offer := browserOffer(t)
	defer drain()()
	wantRefusal(t, signal(t, s, offer, nil), 500, "no random bytes")
	wantNothing(t, s)
}
