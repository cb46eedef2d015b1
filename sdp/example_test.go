package sdp_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/godwit-rtc/godwit/sdp"
)

// A server reads the offer of a browser and writes its answer. This offer is the one of a
// client that is not a browser, which has only the lines that a server needs.
func Example() {
	fingerprint := sdp.Fingerprint{Algorithm: "sha-256", Sum: bytes.Repeat([]byte{0xAB}, 32)}
	text := (&sdp.Offer{
		Ufrag: "page", Pwd: "a-password-of-22-chars", Setup: sdp.SetupActpass,
		Fingerprints: []sdp.Fingerprint{fingerprint},
	}).Append(nil)
	if _, err := sdp.ParseOffer(text); err != nil {
		fmt.Println(err) // says what is wrong, for the author of the page
	}

	text = bytes.ReplaceAll(text, []byte("a-password-of-22-chars"), []byte("aPasswordOf22LettersOK"))
	offer, err := sdp.ParseOffer(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer := sdp.Answer{
		Offer: offer, Ufrag: "server", Pwd: "anotherPasswordOfTheServer", Fingerprint: fingerprint,
		Setup: sdp.SetupPassive, MaxMessageSize: 1 << 16,
		Candidates: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:42424")},
	}
	for line := range strings.Lines(string(answer.Append(nil))) {
		if strings.HasPrefix(line, "a=candidate") || strings.HasPrefix(line, "a=setup") {
			fmt.Println(strings.TrimSpace(line))
		}
	}
	// Output:
	// sdp: a=ice-pwd is not 22 to 256 letters, digits, + or /
	// a=candidate:1 1 udp 2130706431 203.0.113.7 42424 typ host
	// a=setup:passive
}
