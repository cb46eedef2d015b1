package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// offerOfClient returns the offer of a client that is no browser.
func offerOfClient() *Offer {
	return &Offer{
		Ufrag: "Kx7e", Pwd: "4sXk0dJw8tVb1nQz7mLc5rHf",
		Fingerprints:   []Fingerprint{{"sha-256", bytes.Repeat([]byte{0x0a, 0xbc}, 16)}},
		Setup:          SetupActpass,
		MaxMessageSize: 16384,
	}
}

func TestGoldenOffer(t *testing.T) {
	got := offerOfClient().Append(nil)
	if want := read(t, "offer.sdp"); !bytes.Equal(got, want) {
		t.Errorf("offer:\n%s\nwant:\n%s", got, want)
	}
}

func TestOfferParsesBack(t *testing.T) {
	o := offerOfClient()
	o.SCTPPort, o.Mid = 5001, "data"
	back, err := ParseOffer(o.Append([]byte(nil)))
	if err != nil {
		t.Fatal(err)
	}
	o.bundle = true
	o.media = []mediaSection{{kind: "application", protocol: "UDP/DTLS/SCTP", format: "webrtc-datachannel", mid: "data"}}
	if !reflect.DeepEqual(back, o) {
		t.Errorf("got %+v\nwant %+v", back, o)
	}
}

func TestAnswersAreRead(t *testing.T) {
	for _, offer := range []string{"chromium.sdp", "chromium-audio.sdp", "firefox.sdp"} {
		a := answerTo(parse(t, offer))
		got, err := ParseAnswer(a.Append(nil))
		if err != nil {
			t.Fatalf("answer to %s: %v", offer, err)
		}
		want := &Server{
			Ufrag: a.Ufrag, Pwd: a.Pwd, Fingerprints: []Fingerprint{a.Fingerprint},
			Setup: SetupActive, MaxMessageSize: 16384, SCTPPort: 5000,
			Candidates: []netip.AddrPort{
				netip.MustParseAddrPort("192.0.2.1:7777"),
				netip.MustParseAddrPort("[2001:db8::1]:7777"),
				netip.MustParseAddrPort("192.0.2.1:8888"),
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("answer to %s:\n got %+v\nwant %+v", offer, got, want)
		}
	}
}

// editedAnswer is answer.sdp with replacements.
func editedAnswer(t testing.TB, edits ...edit) []byte {
	t.Helper()
	s := string(read(t, "answer.sdp"))
	for _, e := range edits {
		if !strings.Contains(s, e.from) {
			t.Fatalf("the answer does not have %q", e.from)
		}
		s = strings.ReplaceAll(s, e.from, e.to)
	}
	return []byte(s)
}

func TestAnswersThatAreOfNoUse(t *testing.T) {
	const lite = "a=ice-lite\r\n"
	for _, tt := range []struct {
		name string
		edit edit
		want error
	}{
		{"not SDP", edit{"v=0", "{"}, ErrNotSDP},
		{"rejected", edit{"m=application 9", "m=application 0"}, errRejected},
		{"a full agent", edit{lite, ""}, errNotLite},
		{"no user name", edit{"a=ice-ufrag:hJ3+/kf09Qaz\r\n", ""}, errNoUfrag},
		{"a short password", edit{"a=ice-pwd:p0Zt6cX9L/4sB+uQe1YvWn2K", "a=ice-pwd:p0Zt6cX9L"}, errPwd},
		{"the choice left open", edit{"a=setup:active", "a=setup:actpass"}, errSetup},
		{"no choice", edit{"a=setup:active\r\n", ""}, errSetup},
		{"no fingerprint", edit{"a=fingerprint:sha-256", "a=x:sha-256"}, errNoFingerprint},
		{"a bad port", edit{"a=sctp-port:5000", "a=sctp-port:0"}, errSCTPPort},
	} {
		if _, err := ParseAnswer(editedAnswer(t, tt.edit)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Some servers say of the whole session what others say of its one section.
func TestTransportOfTheSessionOfAnAnswer(t *testing.T) {
	whole := string(editedAnswer(t))
	var moved, rest string
	for line := range strings.Lines(whole) {
		name, _, _ := strings.Cut(line, ":")
		switch name {
		case "a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup":
			moved += line
		default:
			rest += line
		}
	}
	got, err := ParseAnswer([]byte(strings.Replace(rest, "m=", moved+"m=", 1)))
	want, _ := ParseAnswer([]byte(whole))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// Some servers say in the m= section that they are lite.
func TestLiteInTheMediaSection(t *testing.T) {
	b := editedAnswer(t, edit{"a=ice-lite\r\n", ""}, edit{"a=mid:0\r\n", "a=mid:0\r\na=ice-lite\r\n"})
	if _, err := ParseAnswer(b); err != nil {
		t.Error(err)
	}
}

func TestCandidates(t *testing.T) {
	for line, want := range map[string]string{
		"candidate:1 1 udp 2130706431 192.0.2.1 7777 typ host":                          "192.0.2.1:7777",
		"1 1 UDP 1 2001:db8::1 1 typ srflx raddr 10.0.0.1 rport 9":                      "[2001:db8::1]:1",
		"candidate:1 1 udp 1 ::ffff:192.0.2.1 7777 typ host generation 0":               "192.0.2.1:7777",
		"candidate:1 2 udp 2130706431 192.0.2.1 7777 typ host":                          "", // RTCP
		"candidate:1 1 tcp 2130706431 192.0.2.1 7777 typ host tcptype passive":          "",
		"candidate:1 1 udp 1 3f2a8b1c-0d4e-4f6a-8b7c-9d0e1f2a3b4c.local 50000 typ host": "",
		"candidate:1 1 udp 99999999999 192.0.2.1 7777 typ host":                         "",
		"candidate:1 1 udp 1 0.0.0.0 7777 typ host":                                     "",
		"candidate:1 1 udp 1 ::ffff:0.0.0.0 7777 typ host":                              "",
		"candidate:1 1 udp 1 224.0.0.1 7777 typ host":                                   "",
		"candidate:1 1 udp 1 fe80::1%eth0 7777 typ host":                                "",
		"candidate:1 1 udp 1 192.0.2.1 0 typ host":                                      "",
		"candidate:1 1 udp 1 192.0.2.1 65536 typ host":                                  "",
		"candidate:1 1 udp 1 192.0.2.1 7777 host":                                       "",
		"candidate:1 1 udp 1 192.0.2.1 7777 kind host":                                  "",
		"": "",
	} {
		addr, ok := ParseCandidate(line)
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("%q: %v, %v; want %q", line, addr, ok, want)
		}
	}
}

func TestCandidatesAreSortedAndNamedOnce(t *testing.T) {
	got := readCandidates([]string{
		"1 1 udp 5 192.0.2.1 1 typ host",
		"1 1 udp 9 192.0.2.1 2 typ host",
		"1 1 udp 5 192.0.2.1 3 typ host",
		"1 1 udp 9 192.0.2.1 2 typ srflx",
		"1 1 udp 9 server.local 2 typ host",
	})
	want := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:2"), netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:3"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the candidates are %v, want %v", got, want)
	}
	many := strings.Split(strings.Repeat("1 1 udp 5 192.0.2.1 1 typ host\n", 200), "\n")
	if got := readCandidates(many); len(got) != 1 {
		t.Errorf("the candidates are %v, want one", got)
	}
	for i := range many {
		many[i] = fmt.Sprintf("1 1 udp 5 192.0.2.1 %d typ host", 1+i)
	}
	if got := readCandidates(many); len(got) != 16 || got[15].Port() != 16 {
		t.Errorf("of 200 candidates %v are kept, want the first 16", got)
	}
}

// FuzzParseAnswer: no input panics, and what is accepted is usable.
func FuzzParseAnswer(f *testing.F) {
	names, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(names) == 0 {
		f.Fatalf("there are no seeds: %v", err)
	}
	for _, name := range names {
		f.Add(read(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseAnswer(b)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v; want a session or an error", s, err)
		}
		if err != nil {
			return
		}
		if s.Setup != SetupActive && s.Setup != SetupPassive || len(s.Fingerprints) == 0 ||
			len(s.Candidates) > maxCandidates || len(s.Pwd) < 22 || len(s.Ufrag) < 4 {
			t.Fatalf("the parsed answer is %+v", s)
		}
		for _, a := range s.Candidates {
			if !a.IsValid() || a.Port() == 0 || a.Addr().Is4In6() || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
				t.Fatalf("a candidate is %v", a)
			}
		}
	})
}
