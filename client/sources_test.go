package client

import (
	"errors"
	"net/netip"
	"testing"
)

func TestSources(t *testing.T) {
	s := newSources(netip.MustParsePrefix("127.0.1.9/30"))
	var got []netip.Addr
	for {
		a, err := s.reserve()
		if errors.Is(err, ErrNoSource) {
			break
		}
		got = append(got, a)
	}
	if len(got) != 3 || got[0] != netip.MustParseAddr("127.0.1.9") || got[2] != netip.MustParseAddr("127.0.1.11") {
		t.Fatalf("a /30 has %v", got)
	}
	s.release(got[1])
	if a, err := s.reserve(); a != got[1] || err != nil {
		t.Errorf("the address that was given back is not given out: %v, %v", a, err)
	}
}

func TestOneSource(t *testing.T) {
	s := newSources(netip.MustParsePrefix("127.0.1.9/32"))
	if a, err := s.reserve(); a != netip.MustParseAddr("127.0.1.9") || err != nil {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := s.reserve(); !errors.Is(err, ErrNoSource) {
		t.Errorf("it is given out twice: %v", err)
	}
}

func TestNoSources(t *testing.T) {
	s := newSources(netip.Prefix{})
	for range 3 {
		if a, err := s.reserve(); a.IsValid() || err != nil {
			t.Errorf("%v, %v", a, err)
		}
	}
}

// A freed address is not reused before the others: datagrams for the connection
// that had it may still be on their way.
func TestSourcesAreTakenInTurn(t *testing.T) {
	s := newSources(netip.MustParsePrefix("127.0.1.0/24"))
	first, _ := s.reserve()
	s.release(first)
	if second, _ := s.reserve(); second == first {
		t.Error("the address just freed is given out")
	}
}
