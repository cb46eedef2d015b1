package sdp

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

// someInit is an INIT chunk; this package knows only its length.
var someInit = bytes.Repeat([]byte{1, 0xfe, 0x3e}, 11)

// sctpInit is an edit of an offer that adds a=sctp-init with a value.
func sctpInit(value string) edit {
	return edit{sizeLine, "a=sctp-init:" + value + "\r\n" + sizeLine}
}

// The INIT of an offer is read, whole and unchanged.
func TestInitOfAnOffer(t *testing.T) {
	for name, chunk := range map[string][]byte{
		"with padding": someInit[:32], "without padding": someInit, "of one byte": {1},
		"of the largest size": bytes.Repeat([]byte{7}, 512),
	} {
		o, err := ParseOffer(edited(t, sctpInit(base64.StdEncoding.EncodeToString(chunk))))
		if err != nil || !bytes.Equal(o.SCTPInit, chunk) {
			t.Errorf("%s: %x, %v; want %x", name, o.SCTPInit, err, chunk)
		}
	}
}

// A line that cannot be read is as if it was missing. It is no error.
func TestInitsThatCannotBeRead(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(someInit[:32])
	for name, line := range map[string]string{
		"no line":              "",
		"no value":             "a=sctp-init\r\n",
		"an empty value":       "a=sctp-init:\r\n",
		"no base64":            "a=sctp-init:CookieMonster!\r\n",
		"without its padding":  "a=sctp-init:" + strings.TrimRight(good, "=") + "\r\n",
		"base64 for URLs":      "a=sctp-init:" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 33)) + "\r\n",
		"another version":      "a=sctp-init:2 " + good + "\r\n",
		"a parameter behind":   "a=sctp-init:" + good + ";v=2\r\n",
		"a byte too long":      "a=sctp-init:" + base64.StdEncoding.EncodeToString(make([]byte, 513)) + "\r\n",
		"far too long":         "a=sctp-init:" + base64.StdEncoding.EncodeToString(make([]byte, 1500)) + "\r\n",
		"another attribute":    "a=sctp-inits:" + good + "\r\n",
		"of the other section": mediaLine + "a=mid:1\r\na=sctp-init:" + good + "\r\n",
	} {
		o, err := ParseOffer(edited(t, edit{sizeLine, sizeLine + line}))
		if err != nil || o.SCTPInit != nil {
			t.Errorf("%s: %+v, %v; want an offer without an INIT", name, o, err)
		}
	}
	// Of two lines the first one counts, as with every attribute.
	o, err := ParseOffer(edited(t, edit{sizeLine, "a=sctp-init:?\r\na=sctp-init:" + good + "\r\n" + sizeLine}))
	if err != nil || o.SCTPInit != nil {
		t.Errorf("a bad line before a good one: %+v, %v; want an offer without an INIT", o, err)
	}
}

// The answer has the INIT of the server if there is one, in the section of the data channel, and
// never that of the offer.
func TestInitOfAnAnswer(t *testing.T) {
	for _, old := range []bool{false, true} {
		edits := []edit{sctpInit(base64.StdEncoding.EncodeToString(someInit))}
		if old {
			edits = append(edits, edit{"UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"}, edit{"a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel 1024"})
		}
		o, err := ParseOffer(edited(t, edits...))
		if err != nil {
			t.Fatal(err)
		}
		a := answerTo(o)
		if s := string(a.Append(nil)); strings.Contains(s, "sctp-init") {
			t.Errorf("an answer without an INIT has the attribute:\n%s", s)
		}
		a.SCTPInit = []byte{1, 2, 3, 4}
		b := a.Append(nil)
		checkLines(t, b)
		if s := string(b); strings.Count(s, "a=sctp-init:AQIDBA==\r\n") != 1 || strings.Count(s, "sctp-init") != 1 {
			t.Errorf("the answer has no INIT, or not only its own:\n%s", s)
		}
		server, err := ParseAnswer(b)
		if err != nil || !bytes.Equal(server.SCTPInit, a.SCTPInit) {
			t.Errorf("the answer is read as %+v, %v", server, err)
		}
	}
}

// A client's offer has its INIT.
func TestInitOfAClient(t *testing.T) {
	o := offerOfClient()
	o.SCTPInit = someInit
	b := o.Append(nil)
	if back, err := ParseOffer(b); err != nil || !bytes.Equal(back.SCTPInit, someInit) {
		t.Errorf("%+v, %v; want the INIT %x", back, err, someInit)
	}
	o.SCTPInit = nil
	if without := o.Append(nil); !bytes.Equal(without, read(t, "offer.sdp")) {
		t.Errorf("without an INIT the offer is\n%s", without)
	}
}
