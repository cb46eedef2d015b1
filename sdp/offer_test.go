package sdp

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func sum(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOffersOfBrowsers(t *testing.T) {
	chromiumSum := sum(t, "8a1f3c5e90b2d4f60718293a4b5c6d7e8fa0b1c2d3e4f5061728394a5b6c7d8e")
	firefoxSum := sum(t, "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeeff")
	data := mediaSection{kind: "application", protocol: "UDP/DTLS/SCTP", format: "webrtc-datachannel", mid: "0"}
	secondData := data
	secondData.mid = "1"
	audio := mediaSection{kind: "audio", protocol: "UDP/TLS/RTP/SAVPF", format: "111", mid: "0"}
	firefoxAudio := audio
	firefoxAudio.format = "109"
	audio.codec, firefoxAudio.codec = "opus/48000/2", "opus/48000/2"

	chromium := Offer{
		Ufrag: "Kx7e", Pwd: "4sXk0dJw8tVb1nQz7mLc5rHf",
		Fingerprints: []Fingerprint{{"sha-256", chromiumSum}},
		Setup:        SetupActpass, MaxMessageSize: 262144, SCTPPort: 5000,
		Mid: "0", bundle: true, media: []mediaSection{data}, Index: 0,
		Session: "- 4611731400430051336 IN IP4 127.0.0.1", Version: 2,
	}
	gathered := chromium
	gathered.Session = "- 7019283746501928374 IN IP4 127.0.0.1"
	gathered.Ufrag, gathered.Pwd = "Zb+/", "Q1w2E3r4T5y6U7i8O9p0+/aB"
	withAudio := chromium
	withAudio.Session = "- 1203984750192837465 IN IP4 127.0.0.1"
	withAudio.Mid, withAudio.media, withAudio.Index, withAudio.tag = "1", []mediaSection{audio, secondData}, 1, 0
	firefox := chromium
	firefox.Session, firefox.Version = "mozilla...THIS_IS_SDPARTA-99.0 3471928374650192837 IN IP4 0.0.0.0", 0
	firefox.Ufrag, firefox.Pwd = "5d1c07ab", "9f2c4e6a8b0d1f3e5a7c9b8d6e4f2a01"
	firefox.Fingerprints = []Fingerprint{{"sha-256", firefoxSum}}
	firefox.MaxMessageSize = 1073741823
	maxBundle := firefox
	maxBundle.Session = "mozilla...THIS_IS_SDPARTA-99.0 5647382910564738291 IN IP4 0.0.0.0"
	maxBundle.Mid, maxBundle.media, maxBundle.Index = "1", []mediaSection{firefoxAudio, secondData}, 1

	for name, want := range map[string]Offer{
		"chromium.sdp":           chromium,
		"chromium-gathered.sdp":  gathered,
		"chromium-audio.sdp":     withAudio,
		"firefox.sdp":            firefox,
		"firefox-max-bundle.sdp": maxBundle,
	} {
		if got := parse(t, name); !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, *got, want)
		}
	}
}

// edit is one replacement in Chromium's offer.
type edit struct{ from, to string }

func edited(t testing.TB, edits ...edit) []byte {
	t.Helper()
	s := string(read(t, "chromium.sdp"))
	for _, e := range edits {
		if !strings.Contains(s, e.from) {
			t.Fatalf("the offer does not have %q", e.from)
		}
		s = strings.ReplaceAll(s, e.from, e.to)
	}
	return []byte(s)
}

const (
	ufragLine       = "a=ice-ufrag:Kx7e\r\n"
	pwdLine         = "a=ice-pwd:4sXk0dJw8tVb1nQz7mLc5rHf\r\n"
	fingerprintLine = "a=fingerprint:sha-256 8A:1F:3C:5E:90:B2:D4:F6:07:18:29:3A:4B:5C:6D:7E:8F:A0:B1:C2:D3:E4:F5:06:17:28:39:4A:5B:6C:7D:8E\r\n"
	setupLine       = "a=setup:actpass\r\n"
	mediaLine       = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
	sizeLine        = "a=max-message-size:262144\r\n"
)

func TestBadOffers(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrNotSDP},
		{"JSON", []byte(`{"type":"offer","sdp":"v=0\r\n"}`), ErrNotSDP},
		{"HTML", []byte("<html>\n"), ErrNotSDP},
		{"another version", edited(t, edit{"v=0", "v=1"}), ErrNotSDP},
		{"one megabyte", make([]byte, 1<<20), ErrTooLarge},
		{"32 KiB and a byte", append([]byte("v=0\r\n"), make([]byte, 32<<10-4)...), ErrTooLarge},
		{"1025 lines", []byte("v=0\n" + strings.Repeat("x\n", 1024)), errTooManyLines},
		{"33 m= lines", edited(t, edit{mediaLine, strings.Repeat("m=audio 0 X 1\r\n", 32) + mediaLine}), errTooManyMedia},
		{"a line of 2049 bytes", []byte("v=0\n" + strings.Repeat("x", 2049)), errLineTooLong},
		{"one line only", []byte("v=0"), ErrNoDataChannel},

		{"audio only", edited(t, edit{mediaLine, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"}), ErrNoDataChannel},
		{"another application", edited(t, edit{"webrtc-datachannel", "bfcp"}), ErrNoDataChannel},
		{"SCTP over TCP", edited(t, edit{"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"}), ErrNoDataChannel},
		{"a port that nothing is said of", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}), ErrNoDataChannel},
		{"switched off", edited(t, edit{"m=application 9", "m=application 0"}), ErrNoDataChannel},
		{"a data channel of audio", edited(t, edit{"m=application", "m=audio"}), ErrNoDataChannel},
		{"an m= line without anything", edited(t, edit{mediaLine, mediaLine + "m=\r\n"}), errMediaLine},
		{"a protocol of 65 bytes", edited(t, edit{mediaLine, mediaLine + "m=audio 9 X/" + strings.Repeat("x", 63) + " 1\r\n"}), errMediaLine},
		{"half an m= line", edited(t, edit{mediaLine, mediaLine + "m=audio 9\r\n"}), errMediaLine},
		{"a hostile codec", edited(t, edit{mediaLine, "m=audio 9 X 1\r\na=rtpmap:1 <b>/8000\r\n" + mediaLine}), errMediaLine},
		{"sctpmap of another port", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}, edit{"a=sctp-port:5000", "a=sctpmap:5001 webrtc-datachannel 1024"}), ErrNoDataChannel},
		{"sctpmap of something else", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}, edit{"a=sctp-port:5000", "a=sctpmap:5000 bfcp 1"}), ErrNoDataChannel},
		{"sctpmap of nothing", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}, edit{"a=sctp-port:5000", "a=sctpmap:5000"}), ErrNoDataChannel},
		{"an empty sctpmap", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}, edit{"a=sctp-port:5000", "a=sctpmap:"}), ErrNoDataChannel},
		{"sctpmap of port 0", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 0"}, edit{"a=sctp-port:5000", "a=sctpmap:0 webrtc-datachannel 1024"}), ErrNoDataChannel},
		{"sctpmap of no port", edited(t, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 70000"}, edit{"a=sctp-port:5000", "a=sctpmap:70000 webrtc-datachannel 1024"}), ErrNoDataChannel},
		{"a hostile media", edited(t, edit{mediaLine, mediaLine + "m=\"><script> 9 X 1\r\n"}), errMediaLine},
		{"a hostile protocol", edited(t, edit{mediaLine, mediaLine + "m=audio 9 X//\\ 1\r\n"}), errMediaLine},
		{"a hostile format", edited(t, edit{mediaLine, mediaLine + "m=audio 9 X \"\r\n"}), errMediaLine},
		{"a long format", edited(t, edit{mediaLine, mediaLine + "m=audio 9 X " + strings.Repeat("1", 65) + "\r\n"}), errMediaLine},
		{"a hostile mid", edited(t, edit{"a=mid:0", `a=mid:","x":"`}), errMid},
		{"a mid with a carriage return", edited(t, edit{"a=mid:0", "a=mid:0\ra=x"}), errMid},
		{"a mid with a space", edited(t, edit{"a=mid:0", "a=mid:0 1"}), errMid},
		{"a mid with a zero byte", edited(t, edit{"a=mid:0", "a=mid:\x00"}), errMid},
		{"a mid beyond ASCII", edited(t, edit{"a=mid:0", "a=mid:\u2028"}), errMid},
		{"a long mid", edited(t, edit{"a=mid:0", "a=mid:" + strings.Repeat("0", 65)}), errMid},
		{"a hostile mid of refused media", edited(t, edit{mediaLine, "m=audio 9 X 1\r\na=mid:<\r\n" + mediaLine}), errMid},

		{"no ufrag", edited(t, edit{ufragLine, ""}), errNoUfrag},
		{"an empty ufrag", edited(t, edit{ufragLine, "a=ice-ufrag:\r\n"}), errNoUfrag},
		{"a ufrag without a value", edited(t, edit{ufragLine, "a=ice-ufrag\r\n"}), errNoUfrag},
		{"a ufrag of 3", edited(t, edit{":Kx7e", ":Kx7"}), errUfrag},
		{"a ufrag of 257", edited(t, edit{":Kx7e", ":" + strings.Repeat("x", 257)}), errUfrag},
		{"a ufrag with a colon", edited(t, edit{":Kx7e", ":Kx:7e"}), errUfrag},
		{"a ufrag with a space", edited(t, edit{":Kx7e", ":Kx7e "}), errUfrag},
		{"no pwd", edited(t, edit{pwdLine, ""}), errNoPwd},
		{"a pwd of 21", edited(t, edit{"4sXk0dJw8tVb1nQz7mLc5rHf", strings.Repeat("p", 21)}), errPwd},
		{"a pwd of 257", edited(t, edit{"4sXk0dJw8tVb1nQz7mLc5rHf", strings.Repeat("p", 257)}), errPwd},
		{"a pwd with a dash", edited(t, edit{"4sXk0d", "4sXk-d"}), errPwd},

		{"no fingerprint", edited(t, edit{fingerprintLine, ""}), errNoFingerprint},
		{"a fingerprint without a hash", edited(t, edit{fingerprintLine, "a=fingerprint:sha-256\r\n"}), errFingerprint},
		{"a short fingerprint", edited(t, edit{":7D:8E", ":7D"}), errFingerprint},
		{"a long fingerprint", edited(t, edit{":7D:8E", ":7D:8E:00"}), errFingerprint},
		{"a fingerprint of other digits", edited(t, edit{":7D:8E", ":7D:8G"}), errFingerprint},
		{"a fingerprint with other separators", edited(t, edit{":7D:8E", ":7D-8E"}), errFingerprint},
		{"sha-512 of the wrong length", edited(t, edit{"sha-256", "sha-512"}), errFingerprint},
		{"sha-1", edited(t, edit{"sha-256", "sha-1"}), errUnsupportedFingerprint},
		{"md5", edited(t, edit{"sha-256", "md5"}), errUnsupportedFingerprint},

		{"no setup", edited(t, edit{setupLine, ""}), errSetup},
		{"holdconn", edited(t, edit{"actpass", "holdconn"}), errSetup},
		{"another setup", edited(t, edit{"actpass", "ACTPASS"}), errSetup},

		{"SCTP port 0", edited(t, edit{"sctp-port:5000", "sctp-port:0"}), errSCTPPort},
		{"SCTP port 65536", edited(t, edit{"sctp-port:5000", "sctp-port:65536"}), errSCTPPort},
		{"an SCTP port that is no number", edited(t, edit{"sctp-port:5000", "sctp-port:+1"}), errSCTPPort},
		{"a negative size", edited(t, edit{"262144", "-1"}), errMaxMessageSize},
		{"a size that is no number", edited(t, edit{"262144", "1e6"}), errMaxMessageSize},
	} {
		o, err := ParseOffer(tt.b)
		if !errors.Is(err, tt.want) || o != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// padded returns an offer of n bytes, by lines that nobody knows.
func padded(b []byte, n int) []byte {
	for len(b) < n {
		line := min(n-len(b), maxLine)
		b = append(append(b, strings.Repeat("x", line-1)...), '\n')
	}
	return b
}

func TestOffersAtTheEdge(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"LF", edited(t, edit{"\r\n", "\n"})},
		{"no end of the last line", edited(t, edit{sizeLine, "a=max-message-size:262144"})},
		{"lines nobody knows", edited(t, edit{mediaLine, "\r\n=\r\nx\r\nzz=\r\nmxaudio 9\r\na\r\na=\r\nk=clear:1\r\n" + mediaLine + "a=\r\na=:\r\ni=x\r\n"})},
		{"ufrag of 256", edited(t, edit{":Kx7e", ":" + strings.Repeat("x", 256)})},
		{"pwd of 22", edited(t, edit{"4sXk0dJw8tVb1nQz7mLc5rHf", strings.Repeat("p", 22)})},
		{"pwd of 256", edited(t, edit{"4sXk0dJw8tVb1nQz7mLc5rHf", strings.Repeat("p", 256)})},
		{"a port", edited(t, edit{"m=application 9", "m=application 51472"})},
		{"more formats", edited(t, edit{"webrtc-datachannel", "webrtc-datachannel x y"})},
		{"a line of 2048 bytes", edited(t, edit{sizeLine, sizeLine + "a=" + strings.Repeat("x", 2046) + "\r\n"})},
		{"every token character", edited(t, edit{"a=mid:0", "a=mid:!#$%&'*+-.^_`{|}~09azAZ"}, edit{"BUNDLE 0", "BUNDLE !#$%&'*+-.^_`{|}~09azAZ"})},
		{"32 KiB", padded(edited(t), 32<<10)},
		{"32 m= lines", edited(t, edit{mediaLine, strings.Repeat("m=audio 0 X 1\r\n", 31) + mediaLine})},
		{"a mid of 64 bytes", edited(t, edit{"a=mid:0", "a=mid:" + strings.Repeat("0", 64)})},
		{"a protocol of 64 bytes", edited(t, edit{mediaLine, "m=audio 9 X/" + strings.Repeat("x", 62) + " 1\r\n" + mediaLine})},
		{"no mid", edited(t, edit{"a=mid:0\r\n", ""})},
		{"SHA-256", edited(t, edit{"sha-256", "SHA-256"})},
		{"a lower-case fingerprint", edited(t, edit{"8A:1F:3C", "8a:1f:3c"})},
		{"a weak fingerprint beside a strong one", edited(t, edit{fingerprintLine, "a=fingerprint:sha-1 00\r\n" + fingerprintLine})},
	} {
		if _, err := ParseOffer(tt.b); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Attributes may be at session level; those of the m= section win.
func TestMediaLevelWins(t *testing.T) {
	session := "a=ice-ufrag:session0\r\na=ice-pwd:" + strings.Repeat("s", 22) + "\r\n" +
		strings.Replace(fingerprintLine, "8A:1F", "00:00", 1) + "a=setup:passive\r\n"
	above := edit{mediaLine, session + mediaLine}

	o, err := ParseOffer(edited(t, above))
	if err != nil {
		t.Fatal(err)
	}
	if o.Ufrag != "Kx7e" || o.Pwd != "4sXk0dJw8tVb1nQz7mLc5rHf" || o.Setup != SetupActpass ||
		len(o.Fingerprints) != 1 || o.Fingerprints[0].Sum[0] != 0x8a {
		t.Errorf("the attributes of the section must have precedence: %+v", o)
	}

	o, err = ParseOffer(edited(t, edit{ufragLine, ""}, edit{pwdLine, ""}, edit{fingerprintLine, ""}, edit{setupLine, ""}, above))
	if err != nil {
		t.Fatal(err)
	}
	if o.Ufrag != "session0" || o.Pwd != strings.Repeat("s", 22) || o.Setup != SetupPassive || o.Fingerprints[0].Sum[0] != 0 {
		t.Errorf("the attributes of the session are not used: %+v", o)
	}
}

// Attributes of media that is refused are nothing to the data channel.
func TestOtherMediaDoesNotLeak(t *testing.T) {
	other := "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + ufragLine + pwdLine + fingerprintLine + setupLine
	if _, err := ParseOffer(edited(t, edit{ufragLine, ""}, edit{mediaLine, other + mediaLine})); !errors.Is(err, errNoUfrag) {
		t.Errorf("a ufrag in a section before: %v, want errNoUfrag", err)
	}
	if _, err := ParseOffer(edited(t, edit{ufragLine, ""}, edit{sizeLine, sizeLine + other})); !errors.Is(err, errNoUfrag) {
		t.Errorf("a ufrag in a section after: %v, want errNoUfrag", err)
	}
}

func TestFirstDataChannelIsTaken(t *testing.T) {
	o, err := ParseOffer(edited(t, edit{mediaLine, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n" + mediaLine},
		edit{sizeLine, sizeLine + mediaLine + "a=mid:9\r\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if o.Index != 1 || o.Mid != "0" || len(o.media) != 3 {
		t.Errorf("m= line %d of %d is used, mid %q; want 1 of 3, mid 0", o.Index, len(o.media), o.Mid)
	}
	if n := strings.Count(string(answerTo(o).Append(nil)), "m=application 0 "); n != 2 {
		t.Errorf("%d m= lines are refused, want 2", n)
	}
}

// RFC 8841: absent is 64 KiB, zero is no limit.
func TestMaxMessageSize(t *testing.T) {
	for line, want := range map[string]int{
		"":                          65536,
		"a=max-message-size:0\r\n":  0,
		"a=max-message-size:1\r\n":  1,
		"a=max-message-size:07\r\n": 7,
		"a=max-message-size:18446744073709551615\r\n": 1<<31 - 1,
	} {
		o, err := ParseOffer(edited(t, edit{sizeLine, line}))
		if err != nil {
			t.Errorf("%q: %v", line, err)
		} else if o.MaxMessageSize != want {
			t.Errorf("%q: %d, want %d", line, o.MaxMessageSize, want)
		}
	}
}

// If the port is there in both forms, the newer one counts.
func TestSCTPPortInBothForms(t *testing.T) {
	o, err := ParseOffer(edited(t, edit{"webrtc-datachannel", "5001"}, edit{"a=sctp-port:5000", "a=sctpmap:5001 webrtc-datachannel 1024\r\na=sctp-port:5002"}))
	if err != nil || o.SCTPPort != 5002 {
		t.Errorf("%+v, %v; want port 5002", o, err)
	}
}

func TestSCTPPort(t *testing.T) {
	for line, want := range map[string]int{"": 5000, "a=sctp-port:1\r\n": 1, "a=sctp-port:65535\r\n": 65535} {
		o, err := ParseOffer(edited(t, edit{"a=sctp-port:5000\r\n", line}))
		if err != nil {
			t.Errorf("%q: %v", line, err)
		} else if o.SCTPPort != want {
			t.Errorf("%q: %d, want %d", line, o.SCTPPort, want)
		}
	}
}

func TestFingerprintsOfEveryStrength(t *testing.T) {
	octets := func(n int) string { return strings.TrimSuffix(strings.Repeat("aB:", n), ":") }
	lines := "a=fingerprint:sha-512 " + octets(64) + "\r\na=fingerprint:SHA-384 " + octets(48) + "\r\n" + fingerprintLine
	o, err := ParseOffer(edited(t, edit{fingerprintLine, lines}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range o.Fingerprints {
		got = append(got, f.Algorithm)
	}
	if !reflect.DeepEqual(got, []string{"sha-512", "sha-384", "sha-256"}) {
		t.Errorf("the algorithms are %q, want sha-512, sha-384, sha-256", got)
	}
	if o, err = ParseOffer(edited(t, edit{fingerprintLine, strings.Repeat(fingerprintLine, 40)})); err != nil || len(o.Fingerprints) != maxFingerprints {
		t.Errorf("%v; fingerprints are not bounded", err)
	}
}

func TestTruncatedOffers(t *testing.T) {
	whole := read(t, "chromium-audio.sdp")
	for n := range whole {
		o, err := ParseOffer(whole[:n:n])
		if (o == nil) == (err == nil) {
			t.Fatalf("%d bytes: %v, %v; want an offer or an error", n, o, err)
		}
	}
}

// The texts are for people who write pages: each says "sdp:" and something
// different.
func TestErrorsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, err := range []error{
		ErrTooLarge, errTooManyLines, errTooManyMedia, errLineTooLong, ErrNotSDP, errMediaLine, errMid, ErrNoDataChannel,
		errNoUfrag, errUfrag, errNoPwd, errPwd, errNoFingerprint, errFingerprint, errUnsupportedFingerprint,
		errSetup, errSCTPPort, errMaxMessageSize,
	} {
		if s := err.Error(); seen[s] || !strings.HasPrefix(s, "sdp: ") || strings.ContainsAny(s, "\"\n\\") {
			t.Errorf("the error %q is used twice, or is not one plain line that begins with sdp:", s)
		}
		seen[err.Error()] = true
	}
}

// The o= line without its version identifies the session of an offer.
func TestSessionOfAnOffer(t *testing.T) {
	base := "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n"
	text := string(read(t, "chromium.sdp"))
	if !strings.HasPrefix(text, base) {
		t.Fatalf("the offer begins with %q", text[:80])
	}
	for origin, want := range map[string]Offer{
		"- 4611731400430051336 2 IN IP4 127.0.0.1":                    {Session: "- 4611731400430051336 IN IP4 127.0.0.1", Version: 2},
		"- 4611731400430051336 18446744073709551615 IN IP4 127.0.0.1": {Session: "- 4611731400430051336 IN IP4 127.0.0.1", Version: 1<<64 - 1},
		"mozilla...THIS_IS_SDPARTA-99.0 1234567890 0 IN IP4 0.0.0.0":  {Session: "mozilla...THIS_IS_SDPARTA-99.0 1234567890 IN IP4 0.0.0.0"},
		"- 123456789 2 IN IP4 127.0.0.1":                              {}, // others may have the same id
		"- 46117314004x0051336 2 IN IP4 127.0.0.1":                    {},
		"- 4611731400430051336 18446744073709551616 IN IP4 127.0.0.1": {},
		"- 4611731400430051336 -1 IN IP4 127.0.0.1":                   {},
		"- 4611731400430051336 2 IN IP4":                              {},
		"- 4611731400430051336 2 IN IP4 127.0.0.1 more":               {},
		strings.Repeat("a", maxSession-39) + " 4611731400430051336 2 IN IP4 127.0.0.1": {
			Session: strings.Repeat("a", maxSession-39) + " 4611731400430051336 IN IP4 127.0.0.1", Version: 2,
		},
		strings.Repeat("a", maxSession-38) + " 4611731400430051336 2 IN IP4 127.0.0.1": {},
		"": {},
	} {
		o, err := ParseOffer([]byte("v=0\r\no=" + origin + "\r\n" + text[len(base):]))
		if err != nil {
			t.Fatal(err)
		}
		if o.Session != want.Session || o.Version != want.Version {
			t.Errorf("o=%s: session %q, version %d; want %q, %d", origin, o.Session, o.Version, want.Session, want.Version)
		}
	}
	late := strings.Replace(text[len(base):], "a=mid:", "o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\na=mid:", 1)
	if o, err := ParseOffer([]byte("v=0\r\n" + late)); err != nil || o.Session != "" {
		t.Errorf("an o= line of a section: %v, %v, want no session", o, err)
	}
}
