package sdp

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParseOffer: no input panics, and the answer to an offer that is accepted
// is SDP of its own, with the m= lines of the offer, in bounded lines, with
// nothing in them that SDP, JSON or a terminal would read as more than text.
func FuzzParseOffer(f *testing.F) {
	names, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(names) == 0 {
		f.Fatalf("there are no seeds: %v", err)
	}
	for _, name := range names {
		b := read(f, filepath.Base(name))
		f.Add(b)
		f.Add(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))
	}
	f.Add([]byte("v=0\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOffer(b)
		if (o == nil) == (err == nil) {
			t.Fatalf("%v, %v; want an offer or an error", o, err)
		}
		if err != nil {
			return
		}
		answer := answerTo(o).Append(nil)
		checkLines(t, answer)
		back, err := ParseOffer(answer)
		switch {
		case err != nil:
			t.Fatalf("the answer does not parse: %v\n%s", err, answer)
		case len(back.media) != len(o.media) || back.Index != o.Index || back.Mid != o.Mid || back.bundle != o.bundle || back.tag != o.tag:
			t.Fatalf("the offer is %+v, its answer %+v", o, back)
		}
	})
}

func checkLines(t *testing.T, answer []byte) {
	t.Helper()
	body, ok := strings.CutSuffix(string(answer), "\r\n")
	if !ok {
		t.Fatal("the last line of the answer does not end")
	}
	for line := range strings.SplitSeq(body, "\r\n") {
		if len(line) < 3 || line[1] != '=' || len(line) > 512 {
			t.Fatalf("a line of the answer is %q", line)
		}
		for _, c := range []byte(line) {
			if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' {
				t.Fatalf("a line of the answer has a byte that is not allowed: %q", line)
			}
		}
	}
}
