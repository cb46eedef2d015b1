package sdp

import (
	"cmp"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits of an offer. A browser's offer for a data channel is 400 to 700 bytes; with
// three audio and three video sections before it, it is 16 KB in 480 lines, and more
// with candidates.
const (
	maxOffer = 32 << 10
	maxLines = 1024
	maxLine  = 2 << 10
	maxMedia = 32 // m= lines, each of which the answer repeats

	maxToken        = 64 // of what an answer repeats: mid, media, protocol, format, codec
	maxFingerprints = 4
)

// Defaults of attributes that may be absent.
// https://www.rfc-editor.org/rfc/rfc8841.html#section-5
// https://www.rfc-editor.org/rfc/rfc8841.html#section-6
const (
	defaultSCTPPort       = 5000
	defaultMaxMessageSize = 64 << 10
)

// A Setup says who opens the DTLS connection.
// https://www.rfc-editor.org/rfc/rfc8842.html#section-5
type Setup uint8

const (
	SetupActpass Setup = iota + 1 // either; only an offer leaves it open
	SetupActive                   // the one who says so is the DTLS client
	SetupPassive                  // the one who says so is the DTLS server
)

// Answer returns the setup that answers s: preferred where the offer leaves the
// choice, otherwise the opposite of what the offer insists on.
func (s Setup) Answer(preferred Setup) Setup {
	switch s {
	case SetupActive:
		return SetupPassive
	case SetupPassive:
		return SetupActive
	}
	return preferred
}

// String returns s as it stands in SDP.
func (s Setup) String() string {
	switch s {
	case SetupActpass:
		return "actpass"
	case SetupActive:
		return "active"
	case SetupPassive:
		return "passive"
	}
	return ""
}

// A Fingerprint is the hash of a certificate.
// https://www.rfc-editor.org/rfc/rfc8122.html#section-5
type Fingerprint struct {
	Algorithm string // "sha-256", in lower case
	Sum       []byte
}

// String returns f as it stands in SDP.
func (f Fingerprint) String() string { return string(f.append(nil)) }

func (f Fingerprint) append(b []byte) []byte {
	b = append(b, f.Algorithm...)
	for i, v := range f.Sum {
		sep := byte(':')
		if i == 0 {
			sep = ' '
		}
		const digits = "0123456789ABCDEF"
		b = append(b, sep, digits[v>>4], digits[v&15])
	}
	return b
}

// A Media is one m= line of an offer.
type Media struct {
	Kind     string // "audio", "video", "application"
	Protocol string // "UDP/DTLS/SCTP"
	Format   string // the first format
	Codec    string // "opus/48000/2", the first format of audio or video; empty if it is not said
	Mid      string // empty if it has none
}

// An Offer is what a server has to know of a browser's offer. All of it has been
// checked.
type Offer struct {
	Ufrag, Pwd   string        // ICE credentials of the browser
	Fingerprints []Fingerprint // at least one; the certificate must match one of them
	Setup        Setup

	// MaxMessageSize is the largest message the browser receives, in bytes;
	// zero means that it sets no limit.
	MaxMessageSize int

	SCTPPort int
	Mid      string  // of the data channel's m= line; empty if it has none
	Bundle   bool    // Mid is in the offer's BUNDLE group
	Media    []Media // every m= line, in order
	Index    int     // which one of Media is the data channel

	// Tag is which one of Media the bundle's connection was offered with, if Bundle: the
	// first of the group. Without a bundle, and where the data channel is alone, it is
	// Index.
	Tag int
}

// A section is the session's part of an offer or one m= section, as it stands.
type section struct {
	media        Media
	port         string
	bundleOnly   bool
	ufrag, pwd   string
	setup        string
	fingerprints []string
	sctpPort     string
	maxMessage   string
	application  string // that a=sctpmap names for the format
	lite         bool
	candidates   []string
}

// ParseOffer reads an offer. Lines end with CRLF or LF; lines and attributes it
// does not know are skipped. Its error is one of the Err variables of this
// package.
func ParseOffer(b []byte) (*Offer, error) {
	sections, bundle, err := split(b)
	if err != nil {
		return nil, err
	}
	o := new(Offer)
	for _, s := range sections[1:] {
		if !validMedia(&s.media) {
			return nil, ErrMediaLine
		}
		if s.media.Mid != "" && !isToken(s.media.Mid) {
			return nil, ErrMid
		}
		o.Media = append(o.Media, s.media)
	}
	o.Index = dataChannel(sections[1:])
	if o.Index < 0 {
		return nil, ErrNoDataChannel
	}
	o.Mid = o.Media[o.Index].Mid
	o.Bundle = slices.Contains(bundle, o.Mid) // a bundle has no empty mids

	o.Tag = o.Index
	data := &sections[1+o.Index]
	carrier := data
	if o.Bundle {
		if i := tag(sections[1:], bundle[0]); i >= 0 {
			o.Tag = i
			carrier = &sections[1+i]
		}
	}
	t := *carrier
	t.inherit(data) // a tag that says nothing is not worth a refusal
	t.inherit(&sections[0])
	if err := o.readTransport(t); err != nil {
		return nil, err
	}
	if err := o.readSCTP(data); err != nil {
		return nil, err
	}
	return o, nil
}

// tag returns which section of media carries a bundle whose first mid is given, or -1 if
// none does: it is the data channel, or switched off. Its transport is the one of all: of
// the others no browser looks at one where its policy is max-bundle.
// https://www.rfc-editor.org/rfc/rfc9143.html#section-7.2.1
func tag(media []section, mid string) int {
	return slices.IndexFunc(media, func(s section) bool {
		return s.media.Mid == mid && (s.media.Kind == "audio" || s.media.Kind == "video") && s.port != "0"
	})
}

func (s *section) inherit(from *section) {
	s.ufrag = cmp.Or(s.ufrag, from.ufrag)
	s.pwd = cmp.Or(s.pwd, from.pwd)
	s.setup = cmp.Or(s.setup, from.setup)
	if len(s.fingerprints) == 0 {
		s.fingerprints = from.fingerprints
	}
}

func (o *Offer) readTransport(t section) error {
	switch {
	case t.ufrag == "":
		return ErrNoUfrag
	case !isICE(t.ufrag, 4, 256):
		return ErrUfrag
	case t.pwd == "":
		return ErrNoPwd
	case !isICE(t.pwd, 22, 256):
		return ErrPwd
	}
	o.Ufrag, o.Pwd = t.ufrag, t.pwd
	switch t.setup {
	case "actpass":
		o.Setup = SetupActpass
	case "active":
		o.Setup = SetupActive
	case "passive":
		o.Setup = SetupPassive
	default:
		return ErrSetup
	}
	return o.readFingerprints(t.fingerprints)
}

// readFingerprints keeps those whose algorithm is strong enough. Others may
// stand beside them.
func (o *Offer) readFingerprints(lines []string) error {
	if len(lines) == 0 {
		return ErrNoFingerprint
	}
	for _, line := range lines {
		algorithm, sum, ok := strings.Cut(line, " ")
		if !ok {
			return ErrFingerprint
		}
		f := Fingerprint{Algorithm: strings.ToLower(algorithm)}
		n := sumLen(f.Algorithm)
		if n == 0 {
			continue
		}
		if f.Sum = parseSum(strings.TrimSpace(sum), n); f.Sum == nil {
			return ErrFingerprint
		}
		o.Fingerprints = append(o.Fingerprints, f)
	}
	if len(o.Fingerprints) == 0 {
		return ErrUnsupportedFingerprint
	}
	return nil
}

// sumLen returns how long a hash of algorithm is; zero if it is not supported.
// Of MD5 and SHA-1 someone else's certificate with the same hash could be made.
func sumLen(algorithm string) int {
	switch algorithm {
	case "sha-256":
		return 32
	case "sha-384":
		return 48
	case "sha-512":
		return 64
	}
	return 0
}

// parseSum reads n bytes of "AB:CD:..", or returns nil.
func parseSum(s string, n int) []byte {
	if len(s) != 3*n-1 {
		return nil
	}
	sum := make([]byte, n)
	for i := range sum {
		at := 3 * i
		if i > 0 && s[at-1] != ':' {
			return nil
		}
		if _, err := hex.Decode(sum[i:i+1], []byte(s[at:at+2])); err != nil {
			return nil
		}
	}
	return sum
}

func (o *Offer) readSCTP(data *section) error {
	o.SCTPPort = defaultSCTPPort
	if data.sctpPort == "" && data.media.Format != dataFormat {
		data.sctpPort = data.media.Format
	}
	if data.sctpPort != "" {
		port, err := strconv.ParseUint(data.sctpPort, 10, 16)
		if err != nil || port == 0 {
			return ErrSCTPPort
		}
		o.SCTPPort = int(port)
	}
	o.MaxMessageSize = defaultMaxMessageSize
	if data.maxMessage != "" {
		size, err := strconv.ParseUint(data.maxMessage, 10, 64)
		if err != nil {
			return ErrMaxMessageSize
		}
		o.MaxMessageSize = int(min(size, math.MaxInt32))
	}
	return nil
}
