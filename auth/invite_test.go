package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/ufrag"
)

var testAddresses = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:7777"), netip.MustParseAddrPort("[2001:db8::1]:7777")}

func testInviter(t *testing.T) *Inviter {
	t.Helper()
	k, err := NewInviteKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return &Inviter{Key: k, Addresses: testAddresses, Fingerprint: [32]byte{0xab, 0xcd}, Channels: "91f7c0a1be23d455"}
}

func TestInvites(t *testing.T) {
	v := testInviter(t)
	now := time.Unix(1_800_000_000, 999)
	i, err := v.Invite(now, strings.NewReader("12345678"), InviteClaims{Subject: "ada", Data: []byte{1, 2}, For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var f ufrag.Fragment
	r := ufrag.NewReader(&v.Key.key)
	if !r.Read([]byte(i.Ufrag), &f) || f.Expires != 1_800_000_060 || string(f.ID[:]) != "12345678" || string(f.Subject) != "ada" || !bytes.Equal(f.Data, []byte{1, 2}) {
		t.Errorf("the fragment says %+v", f)
	}
	if string(r.Pwd([]byte(i.Ufrag))) != i.Pwd {
		t.Error("the password is not that of the fragment")
	}
	encoded, err := json.Marshal(i)
	if err != nil || !strings.HasPrefix(string(encoded), `{"v":1,"addresses":["203.0.113.7:7777","[2001:db8::1]:7777"],"fingerprint":"sha-256 AB:CD:00:`) {
		t.Errorf("the JSON is %s, %v", encoded, err)
	}
	for _, text := range []string{i.Text(), string(encoded), "  " + i.Text() + "\n", strings.Replace(string(encoded), `"v":1`, `"v":1,"more":{"a":1}`, 1)} {
		if got, err := ParseInvite(text); err != nil || !reflect.DeepEqual(got, i) {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, i)
		}
	}
	if strings.ContainsAny(i.Text(), "+/=&#?") {
		t.Errorf("the text %s does not fit a URL", i.Text())
	}
}

func TestInvitesThatAreNotMade(t *testing.T) {
	v := testInviter(t)
	ok := InviteClaims{Subject: strings.Repeat("s", MaxInviteSubject), Data: make([]byte, MaxInviteData), For: time.Second}
	random := func() *strings.Reader { return strings.NewReader("12345678") }
	if i, err := v.Invite(time.Unix(0, 0), random(), ok); err != nil || len(i.Ufrag) != 193 {
		t.Errorf("the longest invite: %d characters, %v; want 193", len(i.Ufrag), err)
	}
	for want, edit := range map[string]func(*Inviter, *InviteClaims){
		"the subject has 65": func(_ *Inviter, c *InviteClaims) { c.Subject += "s" },
		"the data have 49":   func(_ *Inviter, c *InviteClaims) { c.Data = append(c.Data, 0) },
		"at least 1 s":       func(_ *Inviter, c *InviteClaims) { c.For-- },
		"before 2106":        func(_ *Inviter, c *InviteClaims) { c.For = 150 * 365 * 24 * time.Hour },
		"Key is nil":         func(v *Inviter, _ *InviteClaims) { v.Key = nil },
		"has 0 addresses":    func(v *Inviter, _ *InviteClaims) { v.Addresses = nil },
		"has 9 addresses":    func(v *Inviter, _ *InviteClaims) { v.Addresses = make([]netip.AddrPort, 9) },
	} {
		w, c := *v, ok
		edit(&w, &c)
		if _, err := w.Invite(time.Unix(0, 0), random(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
	if _, err := v.Invite(time.Unix(0, 0), strings.NewReader("short"), ok); err == nil {
		t.Error("an invite is made without random bytes")
	}
}

func TestTextsThatAreNoInvites(t *testing.T) {
	i, err := testInviter(t).Invite(time.Unix(0, 0), strings.NewReader("12345678"), InviteClaims{For: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	good, _ := json.Marshal(i)
	edit := func(from, to string) string {
		if !strings.Contains(string(good), from) {
			t.Fatalf("%s has no %s", good, from)
		}
		return strings.Replace(string(good), from, to, 1)
	}
	for text, want := range map[string]string{
		"":                        "not JSON",
		"%":                       "neither JSON nor base64url",
		"AAAA":                    "not JSON",
		"{":                       "not JSON",
		"[]":                      "neither JSON",
		strings.Repeat("A", 5000): "longer than 4 KiB",
		edit(`"v":1`, `"v":2`):    "the form 2",
		edit(`"v":1,`, ``):        "the form 0",
		edit(`"v":1`, `"v":"1"`):  "not JSON, or a member",
		edit(`["203.0.113.7:7777","[2001:db8::1]:7777"]`, `[]`):                     "no address",
		edit(`"203.0.113.7:7777"`, `"game.example:7777"`):                           "not JSON, or a member",
		edit(`"203.0.113.7:7777"`, `"203.0.113.7:0"`):                               "nobody can send",
		edit(`"203.0.113.7:7777"`, `"0.0.0.0:1"`):                                   "nobody can send",
		edit(`"203.0.113.7:7777"`, `"[::ffff:0.0.0.0]:1"`):                          "nobody can send",
		edit(`"203.0.113.7:7777"`, strings.Repeat(`"1.1.1.1:1",`, 8)+`"1.1.1.1:1"`): "more than 8",
		edit(`sha-256 AB`, `sha-1 AB`):                                              "fingerprint",
		edit(`sha-256 AB:`, `sha-256 `):                                             "fingerprint",
		edit(`sha-256 AB`, `sha-256 XY`):                                            "fingerprint",
		edit(`:00","ufrag"`, `:00:X","ufrag"`):                                      "fingerprint",
		edit(i.Ufrag, "abc"):                                                        "ufrag or pwd",
		edit(i.Ufrag, strings.Repeat("a", 257)):                                     "ufrag or pwd",
		edit(i.Ufrag, "a:b/c"):                                                      "ufrag or pwd",
		edit(i.Pwd, i.Pwd[:21]):                                                     "ufrag or pwd",
		edit(i.Pwd, i.Pwd[:21]+"\\n"):                                               "ufrag or pwd",
		edit("91f7c0a1be23d455", "91f7"):                                            "hash of a table",
		edit("91f7c0a1be23d455", "91f7c0a1be23d4xx"):                                "hash of a table",
	} {
		if _, err := ParseInvite(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.200q: %v, want an error with %q", text, err, want)
		}
	}
	if got, err := ParseInvite(edit("sha-256 AB:CD", "SHA-256 ab:cd")); err != nil || got.Fingerprint != i.Fingerprint {
		t.Errorf("a fingerprint in other letters: %v", err)
	}
	if got, err := ParseInvite(edit(`,"channels":"91f7c0a1be23d455"`, "")); err != nil || got.Channels != "" {
		t.Errorf("without channels: %v", err)
	}
}

func TestInviteKeys(t *testing.T) {
	random := bytes.Repeat([]byte{7}, 32)
	k, err := NewInviteKey(bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if b := k.Bytes(); !bytes.Equal(b[:], random) || len(k.Text()) != 43 || strings.Contains(k.String(), k.Text()[:8]) {
		t.Errorf("the key has the bytes %x and the text %s, and prints as %s", k.Bytes(), k.Text(), k)
	}
	other := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	for _, text := range []string{k.Text(), k.Text() + "\n", string(k.PEM()), other + string(k.PEM()), string(k.PEM()) + other} {
		if got, err := ParseInviteKey([]byte(text)); err != nil || got.Bytes() != k.Bytes() {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "AAAA", k.Text()[1:], k.Text() + "A", other, strings.Replace(string(k.PEM()), "BwcH", "", 1)} {
		if _, err := ParseInviteKey([]byte(text)); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	if _, err := NewInviteKey(bytes.NewReader(random[1:])); err == nil {
		t.Error("31 random bytes make a key")
	}
}

func TestInvitesAreSpentOnce(t *testing.T) {
	u := Used{Max: 2}
	now := time.Unix(100, 0)
	id, other := InviteID{1}, InviteID{2}
	if u.InviteSpent(id) {
		t.Error("a fresh invite is spent")
	}
	for i, want := range []error{nil, ErrReplayed} {
		if err := u.SpendInvite(now, id, now.Add(time.Second)); err != want {
			t.Errorf("%d: %v, want %v", i, err, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { u.InviteSpent(id) }); n != 0 || !u.InviteSpent(id) || u.InviteSpent(other) {
		t.Errorf("%v allocations, want 0; spent: %v and %v, want the first one", n, u.InviteSpent(id), u.InviteSpent(other))
	}
	if err := u.SpendInvite(now, other, now.Add(-1)); err != ErrExpired {
		t.Errorf("expired: %v", err)
	}
	if err := u.Spend(now, Claims{ID: "x", Expires: now.Add(time.Minute)}); err != nil {
		t.Error(err)
	}
	if err := u.SpendInvite(now, other, now.Add(time.Minute)); !errors.Is(err, ErrBusy) {
		t.Errorf("a third one: %v, want ErrBusy", err)
	}
	if err := u.SpendInvite(now.Add(2*time.Second), other, now.Add(time.Minute)); err != nil || u.InviteSpent(id) {
		t.Errorf("after the first has expired: %v; it is forgotten: %v", err, !u.InviteSpent(id))
	}
}
