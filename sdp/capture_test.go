package sdp

import (
	"strings"
	"testing"
)

// What the browsers of today offer. The golden tests have files of their own,
// written by hand in this shape, so that a new browser changes no expectation but
// these.
func TestCapturedOffers(t *testing.T) {
	for name, max := range map[string]int{
		"captured-chromium.sdp":       256 << 10,
		"captured-chromium-audio.sdp": 256 << 10,
		"captured-firefox.sdp":        1<<30 - 1,
		"captured-firefox-audio.sdp":  1<<30 - 1,
		"captured-aiortc.sdp":         64 << 10,
	} {
		t.Run(name, func(t *testing.T) {
			o := parse(t, name)
			media, mid := 1, "0"
			if strings.Contains(name, "audio") {
				media, mid = 2, "1"
			}
			switch {
			case len(o.Ufrag) < 4 || len(o.Pwd) < 22:
				t.Errorf("the credentials %q and %q are too short", o.Ufrag, o.Pwd)
			case len(o.Fingerprints) != 1 || o.Fingerprints[0].Algorithm != "sha-256" || len(o.Fingerprints[0].Sum) != 32:
				t.Errorf("the fingerprints are %v, want one of sha-256", o.Fingerprints)
			case o.Setup != SetupActpass || o.SCTPPort != 5000 || o.MaxMessageSize != max:
				t.Errorf("setup %v, port %d, messages of %d bytes; want actpass, 5000, %d", o.Setup, o.SCTPPort, o.MaxMessageSize, max)
			case len(o.media) != media || o.Index != media-1 || o.Mid != mid || !o.bundle:
				t.Errorf("media %+v, index %d, mid %q, bundle %v", o.media, o.Index, o.Mid, o.bundle)
			}
			checkLines(t, answerTo(o).Append(nil))
		})
	}
}
