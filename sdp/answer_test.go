package sdp

import (
	"bytes"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, name string) *Offer {
	t.Helper()
	o, err := ParseOffer(read(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return o
}

// answerTo returns the answer of a server with two IPv4 ports and an IPv6 address.
func answerTo(o *Offer) *Answer {
	return &Answer{
		Offer:       o,
		Ufrag:       "hJ3+/kf09Qaz",
		Pwd:         "p0Zt6cX9L/4sB+uQe1YvWn2K",
		Fingerprint: Fingerprint{"sha-256", bytes.Repeat([]byte{0x0a, 0xbc}, 16)},
		Setup:       o.Setup.Answer(SetupActive),
		Candidates: []netip.AddrPort{
			netip.MustParseAddrPort("192.0.2.1:7777"),
			netip.MustParseAddrPort("[2001:db8::1]:7777"),
			netip.MustParseAddrPort("[::ffff:192.0.2.1]:8888"),
		},
		MaxMessageSize: 16384,
		SessionID:      1,
	}
}

func TestGoldenAnswers(t *testing.T) {
	for offer, golden := range map[string]string{
		"chromium.sdp":       "answer.sdp",
		"chromium-audio.sdp": "answer-audio.sdp",
	} {
		got := answerTo(parse(t, offer)).Append(nil)
		if want := read(t, golden); !bytes.Equal(got, want) {
			t.Errorf("answer to %s:\n%s\nwant:\n%s", offer, got, want)
		}
	}
}

func TestAnswerIsAppended(t *testing.T) {
	a := answerTo(parse(t, "firefox.sdp"))
	b := a.Append([]byte("before"))
	if !bytes.Equal(b, append([]byte("before"), a.Append(nil)...)) {
		t.Errorf("Append gives %q, want the caller's bytes and then the answer", b)
	}
}

// A further answer has the same session and a higher version.
func TestVersionsOfAnAnswer(t *testing.T) {
	a := answerTo(parse(t, "chromium.sdp"))
	a.SessionID, a.SessionVersion = 77, 4
	if got := string(a.Append(nil)); !strings.HasPrefix(got, "v=0\r\no=- 77 5 IN IP4 0.0.0.0\r\ns=-\r\n") {
		t.Errorf("the answer begins with %q, want session 77 and version 5", got[:60])
	}
}

func TestAnswerParsesBack(t *testing.T) {
	for _, name := range []string{"chromium.sdp", "firefox.sdp", "chromium-gathered.sdp", "chromium-audio.sdp", "firefox-max-bundle.sdp"} {
		o := parse(t, name)
		a := answerTo(o)
		back, err := ParseOffer(a.Append(nil))
		if err != nil {
			t.Errorf("%s: the answer does not parse: %v", name, err)
			continue
		}
		if back.Ufrag != a.Ufrag || back.Pwd != a.Pwd || back.Setup != SetupActive || back.MaxMessageSize != a.MaxMessageSize {
			t.Errorf("%s: the answer is parsed as %+v", name, back)
		}
		if back.Mid != o.Mid || back.bundle != o.bundle || back.Index != o.Index || len(back.media) != len(o.media) {
			t.Errorf("%s: the m= lines of the answer are %+v, those of the offer %+v", name, back.media, o.media)
		}
		if len(back.Fingerprints) != 1 || back.Fingerprints[0].String() != a.Fingerprint.String() {
			t.Errorf("%s: the fingerprints are %v, want %v", name, back.Fingerprints, a.Fingerprint)
		}
	}
}

func TestCandidatesDifferInPriority(t *testing.T) {
	a := answerTo(parse(t, "chromium.sdp"))
	for i, want := range []string{
		"candidate:1 1 udp 2130706431 192.0.2.1 7777 typ host",
		"candidate:2 1 udp 2130706175 2001:db8::1 7777 typ host",
		"candidate:1 1 udp 2130705919 192.0.2.1 8888 typ host", // the same base, so the same foundation
	} {
		if got := a.Candidate(i); got != want {
			t.Errorf("candidate %d: %q, want %q", i, got, want)
		}
	}
	if p := priority(1 << 20); p != 126<<24|255 {
		t.Errorf("the priority after the last local preference is %d, want %d", p, 126<<24|255)
	}
}

// RFC 9143: what is rejected is in no group, and neither is what has no mid.
func TestBundleIsMirroredForTheDataChannelOnly(t *testing.T) {
	chromium := string(read(t, "chromium.sdp"))
	for _, tt := range []struct {
		name, offer, want string
	}{
		{"alone", chromium, "a=group:BUNDLE 0\r\n"},
		{"with audio", string(read(t, "chromium-audio.sdp")), "a=group:BUNDLE 0 1\r\n"},
		{"audio that is switched off", strings.Replace(string(read(t, "chromium-audio.sdp")), "m=audio 9", "m=audio 0", 1), "a=group:BUNDLE 1\r\n"},
		{"audio behind", strings.Replace(string(read(t, "chromium-audio.sdp")), "BUNDLE 0 1", "BUNDLE 1 0", 1), "a=group:BUNDLE 1\r\n"},
		{"no group", strings.Replace(chromium, "a=group:BUNDLE 0\r\n", "", 1), ""},
		{"a group of others", strings.Replace(chromium, "BUNDLE 0", "BUNDLE 7", 1), ""},
		{"no mid", strings.Replace(chromium, "a=mid:0\r\n", "", 1), ""},
		{"a second group", strings.Replace(chromium, "BUNDLE 0", "BUNDLE 7\r\na=group:BUNDLE 0", 1), ""},
		{"a group of the section", strings.Replace(strings.Replace(chromium, "a=group:BUNDLE 0\r\n", "", 1), "a=mid:0", "a=group:BUNDLE 0\r\na=mid:0", 1), ""},
		{"video", strings.Replace(string(read(t, "chromium-audio.sdp")), "m=audio", "m=video", 1), "a=group:BUNDLE 0 1\r\n"},
		{"what is no media", strings.Replace(string(read(t, "chromium-audio.sdp")), "m=audio", "m=text", 1), "a=group:BUNDLE 1\r\n"},
	} {
		o, err := ParseOffer([]byte(tt.offer))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		answer := string(answerTo(o).Append(nil))
		if tt.want != "" && !strings.Contains(answer, tt.want) || tt.want == "" && strings.Contains(answer, "BUNDLE") {
			t.Errorf("%s: the answer has a wrong BUNDLE group:\n%s", tt.name, answer)
		}
		if (o.Mid != "") != strings.Contains(answer, "a=mid:"+o.Mid) {
			t.Errorf("%s: the mid is %q, the answer\n%s", tt.name, o.Mid, answer)
		}
	}
}

// The connection of a bundle goes with its first section, whose attributes count.
func TestFirstSectionOfABundleCarriesIt(t *testing.T) {
	offer := string(read(t, "chromium-audio.sdp"))
	first, rest, _ := strings.Cut(offer, "m=application")
	mine := strings.NewReplacer("Kx7e", "mine", "actpass", "passive").Replace(rest)
	o, err := ParseOffer([]byte(first + "m=application" + mine))
	if err != nil {
		t.Fatal(err)
	}
	if o.Ufrag != "Kx7e" || o.Setup != SetupActpass || o.tag != 0 || o.Index != 1 {
		t.Errorf("the offer is parsed as %+v", o)
	}
	answer := string(answerTo(o).Append(nil))
	audio, data, _ := strings.Cut(answer, "m=application")
	for _, want := range []string{"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "a=rtpmap:111 opus/48000/2\r\n", "a=rtcp-mux\r\n", "a=inactive\r\n", "a=mid:0\r\n", "a=candidate:", "a=ice-pwd:"} {
		if !strings.Contains(audio, want) {
			t.Errorf("%q is not in\n%s", want, audio)
		}
	}
	if !strings.Contains(data, "a=mid:1\r\n") || !strings.Contains(data, "a=ice-pwd:") {
		t.Errorf("the section of the data channel is\n%s", data)
	}
	// Media behind the data channel carries nothing, and is refused.
	o, err = ParseOffer([]byte(strings.Replace(offer, "a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0", 1)))
	if err != nil || o.tag != 1 {
		t.Fatalf("%+v, %v; want the tag 1", o, err)
	}
	const refused = "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=inactive\r\nm=application"
	if answer := string(answerTo(o).Append(nil)); !strings.Contains(answer, refused) {
		t.Errorf("the answer does not refuse the section:\n%s", answer)
	}
}

// A section that carries a bundle, and says nothing, is not worth a refusal: what the data
// channel's says is as good. Its codec is the one of its first format.
func TestACarrierThatLeavesThingsOut(t *testing.T) {
	offer := string(read(t, "chromium-audio.sdp"))
	for _, name := range []string{"a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"} {
		o, err := ParseOffer([]byte(strings.Replace(offer, name, "a=x:", 1)))
		if err != nil || o.tag != 0 || o.Ufrag != "Kx7e" || o.Setup != SetupActpass || len(o.Fingerprints) != 1 {
			t.Errorf("without %s: %+v, %v", name, o, err)
		}
	}
	o, err := ParseOffer([]byte(strings.Replace(offer, "a=rtpmap:111", "a=rtpmap:63 red/48000/2\r\na=rtpmap:111", 1)))
	if err != nil || o.media[0].codec != "opus/48000/2" {
		t.Errorf("%+v, %v; want the codec opus/48000/2", o, err)
	}
}

func TestRefusedMediaWithoutAMid(t *testing.T) {
	o, err := ParseOffer(edited(t, edit{mediaLine, "m=audio 9 RTP/AVP 0\r\n" + mediaLine}))
	if err != nil {
		t.Fatal(err)
	}
	const refused = "m=audio 0 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\nm=application"
	if answer := string(answerTo(o).Append(nil)); !strings.Contains(answer, refused) {
		t.Errorf("the answer does not refuse the section:\n%s", answer)
	}
}

// Drafts before RFC 8841 named the SCTP port in the m= line. They get the answer in
// their own words.
func TestOldFormOfTheDataChannel(t *testing.T) {
	for _, protocol := range []string{"DTLS/SCTP", "UDP/DTLS/SCTP"} {
		b := edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", protocol + " 5001"}, edit{"a=sctp-port:5000", "a=sctpmap:5001 webrtc-datachannel 1024"})
		o, err := ParseOffer(b)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		if o.SCTPPort != 5001 || o.MaxMessageSize != 262144 || o.Mid != "0" || !o.bundle {
			t.Errorf("%s: %+v, want port 5001, messages of 262144, mid 0 in a bundle", protocol, o)
		}
		answer := answerTo(o).Append(nil)
		for _, want := range []string{"m=application 9 " + protocol + " 5000\r\n", "a=sctpmap:5000 webrtc-datachannel 65535\r\n", "a=max-message-size:16384\r\n"} {
			if !bytes.Contains(answer, []byte(want)) {
				t.Errorf("%q is not in\n%s", want, answer)
			}
		}
		if bytes.Contains(answer, []byte("sctp-port")) {
			t.Errorf("the answer has both forms of the port:\n%s", answer)
		}
		if s, err := ParseAnswer(answer); err != nil || s.SCTPPort != 5000 {
			t.Errorf("%s: the answer is parsed as %+v, %v; want port 5000", protocol, s, err)
		}
	}
	o, err := ParseOffer(edited(t, edit{"UDP/DTLS/SCTP", "DTLS/SCTP"})) // in between
	if err != nil || !bytes.Contains(answerTo(o).Append(nil), []byte("m=application 9 DTLS/SCTP webrtc-datachannel\r\n")) {
		t.Errorf("the form of a draft is not accepted, or its answer has another m= line: %v", err)
	}
}

func TestSetupIsAnswered(t *testing.T) {
	for _, tt := range []struct{ offer, preferred, want Setup }{
		{SetupActpass, SetupActive, SetupActive},
		{SetupActpass, SetupPassive, SetupPassive},
		{SetupActive, SetupActive, SetupPassive},
		{SetupPassive, SetupPassive, SetupActive},
	} {
		if got := tt.offer.Answer(tt.preferred); got != tt.want {
			t.Errorf("the answer to %v is %v, want %v", tt.offer, got, tt.want)
		}
	}
	if s := Setup(0).String(); s != "" {
		t.Errorf("no setup has the name %q, want none", s)
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	a := answerTo(parse(t, "chromium-audio.sdp"))
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { a.Append(b) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
