package auth

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// What an invite may have at most, and at least, is in; what is one more, or one less, is not.
func TestLimitsOfAnInvite(t *testing.T) {
	addresses := make([]netip.AddrPort, MaxInviteAddresses)
	for n := range addresses {
		addresses[n] = testAddresses[0]
	}
	good := Invite{Addresses: addresses, Fingerprint: [32]byte{1}, Ufrag: strings.Repeat("u", 256), Pwd: strings.Repeat("p", 256)}
	for what, c := range map[string]struct {
		edit func(*Invite)
		ok   bool
	}{
		"the most":              {func(*Invite) {}, true},
		"the least":             {func(i *Invite) { i.Addresses, i.Ufrag, i.Pwd = addresses[:1], "uuuu", strings.Repeat("p", 22) }, true},
		"nine addresses":        {func(i *Invite) { i.Addresses = append(addresses, addresses[0]) }, false},
		"a ufrag of 3":          {func(i *Invite) { i.Ufrag = "uuu" }, false},
		"a ufrag of 257":        {func(i *Invite) { i.Ufrag += "u" }, false},
		"a pwd of 21":           {func(i *Invite) { i.Pwd = i.Pwd[:21] }, false},
		"a pwd of 257":          {func(i *Invite) { i.Pwd += "p" }, false},
		"a bracket in a ufrag":  {func(i *Invite) { i.Ufrag = "uuu[" }, false},
		"a brace in a ufrag":    {func(i *Invite) { i.Ufrag = "uuu{" }, false},
		"channels of no digits": {func(i *Invite) { i.Channels = "0123456789abcdefg" }, false},
	} {
		i := good
		c.edit(&i)
		b, err := json.Marshal(i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseInvite(string(b)); (err == nil) != c.ok {
			t.Errorf("%s: %v, want an invite: %v", what, err, c.ok)
		}
	}
	b, _ := json.Marshal(good)
	if _, err := ParseInvite(strings.Repeat(" ", 9000) + string(b)); err != nil {
		t.Errorf("spaces before an invite: %v", err)
	}
	long := func(n int) string {
		return string(b[:len(b)-1]) + `,"more":"` + strings.Repeat("x", n-len(b)-len(`,"more":""`)) + `"}`
	}
	for n, ok := range map[int]bool{maxInviteText: true, maxInviteText + 1: false} {
		if text := long(n); len(text) != n {
			t.Fatalf("%d bytes, want %d", len(text), n)
		} else if _, err := ParseInvite(text); (err == nil) != ok {
			t.Errorf("%d bytes: %v, want an invite: %v", n, err, ok)
		}
	}
	for _, sum := range []string{"sha-256 ", "SHA-256 ", "sha-25x ", ""} {
		text := strings.Replace(string(b), "sha-256 ", sum, 1)
		if _, err := ParseInvite(text); (err == nil) != strings.EqualFold(sum, "sha-256 ") {
			t.Errorf("a fingerprint with %q: %v", sum, err)
		}
	}
}

// An inviter makes invites up to the end of its limits, and none beyond them.
func TestLimitsOfAnInviter(t *testing.T) {
	last := time.Unix(1<<32-1, 0)
	for what, c := range map[string]struct {
		edit func(v *Inviter)
		now  time.Time
		ok   bool
	}{
		"eight addresses":   {func(v *Inviter) { v.Addresses = make([]netip.AddrPort, MaxInviteAddresses) }, time.Unix(0, 0), true},
		"nine addresses":    {func(v *Inviter) { v.Addresses = make([]netip.AddrPort, MaxInviteAddresses+1) }, time.Unix(0, 0), false},
		"the last node":     {func(v *Inviter) { v.Node = ufrag.MaxNode }, time.Unix(0, 0), true},
		"a node more":       {func(v *Inviter) { v.Node = ufrag.MaxNode + 1 }, time.Unix(0, 0), false},
		"the last second":   {func(*Inviter) {}, last.Add(-time.Second), true},
		"a second too late": {func(*Inviter) {}, last, false},
	} {
		v := testInviter(t)
		c.edit(v)
		i, err := v.Invite(c.now, strings.NewReader("12345678"), InviteClaims{For: time.Second})
		if (err == nil) != c.ok || (i.Ufrag == "") == c.ok {
			t.Errorf("%s: %+v, %v; want an invite: %v", what, i, err, c.ok)
		}
		if node, ok := ufrag.Node([]byte(i.Ufrag)); c.ok && (!ok || node != v.Node) {
			t.Errorf("%s: the invite is for node %d, %v; want %d", what, node, ok, v.Node)
		}
	}
}

// A seat has 4 KiB at most, written and read.
func TestTheLongestSeat(t *testing.T) {
	s := Seat{URL: "https://game.example/"}
	empty, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for n, ok := range map[int]bool{MaxSeat: true, MaxSeat + 1: false} {
		s.Token = strings.Repeat("t", n-len(empty)-len(`,"token":""`))
		b, err := s.JSON()
		if len(b) != n || (err == nil) != ok {
			t.Errorf("%d bytes are written, want %d; %v, want a seat: %v", len(b), n, err, ok)
		}
		if _, err := ParseSeat(b); (err == nil) != ok {
			t.Errorf("%d bytes are read: %v, want a seat: %v", n, err, ok)
		}
	}
}
