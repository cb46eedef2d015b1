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
		t.Fatalf("the addresses of a /30 are %v, want 127.0.1.9 to 127.0.1.11", got)
	}
	s.release(got[1])
	if a, err := s.reserve(); a != got[1] || err != nil {
		t.Errorf("reserve = %v, %v; want the address that was released, %v", a, err, got[1])
	}
}

func TestOneSource(t *testing.T) {
	s := newSources(netip.MustParsePrefix("127.0.1.9/32"))
	if a, err := s.reserve(); a != netip.MustParseAddr("127.0.1.9") || err != nil {
		t.Errorf("reserve = %v, %v; want 127.0.1.9", a, err)
	}
	if _, err := s.reserve(); !errors.Is(err, ErrNoSource) {
		t.Errorf("reserve of the only address a second time: %v, want ErrNoSource", err)
	}
}

func TestNoSources(t *testing.T) {
	s := newSources(netip.Prefix{})
	for range 3 {
		if a, err := s.reserve(); a.IsValid() || err != nil {
			t.Errorf("reserve without a prefix = %v, %v; want no address, nil", a, err)
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
		t.Errorf("reserve returns the address %v, which was released just before", first)
	}
}
