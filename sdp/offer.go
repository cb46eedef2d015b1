package sdp

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits of an offer. A browser's offer of a data channel has 400 to 700 bytes. With three
// audio and three video sections it has 16 KB in 480 lines, and more with candidates.
const (
	maxOffer = 32 << 10
	maxLines = 1024
	maxLine  = 2 << 10
	maxMedia = 32 // m= lines; the answer repeats each

	maxToken        = 64 // bytes of each value that an answer repeats: mid, media, protocol, format, codec
	maxFingerprints = 4
	maxSCTPInit     = 512 // bytes of an SCTP INIT chunk; that of Chromium has 40
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
	SetupActpass Setup = iota + 1 // the sender can be either; only in an offer
	SetupActive                   // the sender is the DTLS client
	SetupPassive                  // the sender is the DTLS server
)

// Answer returns the setup of the answer to an offer with s: preferred if s is
// SetupActpass, otherwise the opposite of s.
func (s Setup) Answer(preferred Setup) Setup {
	switch s {
	case SetupActive:
		return SetupPassive
	case SetupPassive:
		return SetupActive
	}
	return preferred
}

// String returns s in the form of SDP.
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

// String returns f in the form of SDP.
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

// A mediaSection has the values of one m= line of an offer that an answer repeats.
type mediaSection struct {
	kind     string // "audio", "video", "application"
	protocol string // "UDP/DTLS/SCTP"
	format   string // the first format
	codec    string // codec of the first format of audio or video, such as "opus/48000/2"; empty if the offer does not say it
	mid      string // empty if there is none
}

// An Offer has the values of a browser's offer that a server needs. ParseOffer has checked
// all of them.
type Offer struct {
	Ufrag, Pwd   string        // ICE credentials of the browser
	Fingerprints []Fingerprint // one to four; the certificate must match one of them
	Setup        Setup

	// MaxMessageSize is the size in bytes of the largest message that the browser receives:
	// 64 KiB if the offer does not say it; zero means no limit.
	MaxMessageSize int

	SCTPPort int // 5000 if the offer does not say it

	// SCTPInit is the SCTP INIT chunk of the browser in a=sctp-init (SNAP), at most 512 bytes,
	// for sctp.ParseInit: this package reads only the base64. It is nil if the offer has none,
	// or if the line is malformed or too long, which is no error.
	SCTPInit []byte

	Mid   string // mid of the data channel's m= line; empty if there is none
	Index int    // index of the data channel's m= line

	// Session is the o= line without the version. It is the same in all offers of one
	// RTCPeerConnection, and other connections have others: its id is a random number. Session
	// is empty if the o= line is malformed, or if its id has fewer than ten digits.
	Session string
	Version uint64 // version of the o= line: each offer of a session has a higher one than those before

	bundle bool           // Mid is in the offer's BUNDLE group
	media  []mediaSection // every m= line, in order

	// tag is the index in media of the section that carries the bundle's connection: the
	// first of the group. It is Index if there is no bundle, or if the data channel carries
	// the connection.
	tag int
}

// A section has the values of the session section or of one m= section, unchecked.
type section struct {
	media        mediaSection
	origin       string
	port         string
	bundleOnly   bool
	ufrag, pwd   string
	setup        string
	fingerprints []string
	sctpPort     string
	sctpInit     string
	maxMessage   string
	application  string // the application that a=sctpmap names for the format
	lite         bool
	candidates   []string
}

// ParseOffer reads an offer of at most 32 KiB. Lines may end with CRLF or LF. It skips lines
// and attributes that it does not know. The text of an error is for the author of the page.
func ParseOffer(b []byte) (*Offer, error) {
	sections, bundle, err := split(b)
	if err != nil {
		return nil, err
	}
	o := new(Offer)
	o.Session, o.Version = readOrigin(sections[0].origin)
	for _, s := range sections[1:] {
		if !validMedia(&s.media) {
			return nil, errMediaLine
		}
		if s.media.mid != "" && !isToken(s.media.mid) {
			return nil, errMid
		}
		o.media = append(o.media, s.media)
	}
	o.Index = dataChannel(sections[1:])
	if o.Index < 0 {
		return nil, ErrNoDataChannel
	}
	o.Mid = o.media[o.Index].mid
	o.bundle = slices.Contains(bundle, o.Mid) // a bundle has no empty mids

	o.tag = o.Index
	data := &sections[1+o.Index]
	carrier := data
	if o.bundle {
		if i := tag(sections[1:], bundle[0]); i >= 0 {
			o.tag = i
			carrier = &sections[1+i]
		}
	}
	t := *carrier
	t.inherit(data) // do not refuse the offer if only the data channel has the attributes
	t.inherit(&sections[0])
	if err := o.readTransport(t); err != nil {
		return nil, err
	}
	if err := o.readSCTP(data); err != nil {
		return nil, err
	}
	return o, nil
}

// tag returns the index of the audio or video section with the first mid of a bundle, which
// carries the bundle's connection. It returns -1 if the data channel carries it, or the
// section is switched off. With the policy max-bundle a browser uses only the transport of
// this section.
// https://www.rfc-editor.org/rfc/rfc9143.html#section-7.2.1
func tag(media []section, mid string) int {
	return slices.IndexFunc(media, func(s section) bool {
		return s.media.mid == mid && (s.media.kind == "audio" || s.media.kind == "video") && s.port != "0"
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
		return errNoUfrag
	case !isICE(t.ufrag, 4, 256):
		return errUfrag
	case t.pwd == "":
		return errNoPwd
	case !isICE(t.pwd, 22, 256):
		return errPwd
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
		return errSetup
	}
	return o.readFingerprints(t.fingerprints)
}

// readFingerprints reads the fingerprints whose algorithm is strong enough, and skips
// others.
func (o *Offer) readFingerprints(lines []string) error {
	if len(lines) == 0 {
		return errNoFingerprint
	}
	for _, line := range lines {
		algorithm, sum, ok := strings.Cut(line, " ")
		if !ok {
			return errFingerprint
		}
		f := Fingerprint{Algorithm: strings.ToLower(algorithm)}
		n := sumLen(f.Algorithm)
		if n == 0 {
			continue
		}
		if f.Sum = parseSum(strings.TrimSpace(sum), n); f.Sum == nil {
			return errFingerprint
		}
		o.Fingerprints = append(o.Fingerprints, f)
	}
	if len(o.Fingerprints) == 0 {
		return errUnsupportedFingerprint
	}
	return nil
}

// sumLen returns the length in bytes of a hash; zero if the algorithm is not supported. With
// MD5 and SHA-1 an attacker could make a certificate with the same hash.
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

// Limits of an o= line that identifies a session.
const (
	minSessionID = 10 // digits: a random number of 62 bits has fewer once in 10^9
	maxSession   = 256
)

// readOrigin reads an o= line:
//
//	o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>
//
// "The tuple of <username>, <sess-id>, <nettype>, <addrtype>, and <unicast-address> forms a
// globally unique identifier for the session." If there is none, session is empty.
// https://www.rfc-editor.org/rfc/rfc8866.html#section-5.2
func readOrigin(value string) (session string, version uint64) {
	f := strings.Split(value, " ")
	if len(f) != 6 || len(value) > maxSession || len(f[1]) < minSessionID {
		return "", 0
	}
	if !all(f[1], func(c byte) bool { return '0' <= c && c <= '9' }) {
		return "", 0
	}
	version, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return "", 0
	}
	return strings.Join(slices.Delete(f, 2, 3), " "), version
}

func (o *Offer) readSCTP(data *section) error {
	o.SCTPPort = defaultSCTPPort
	if data.sctpPort == "" && data.media.format != dataFormat {
		data.sctpPort = data.media.format
	}
	if data.sctpPort != "" {
		port, err := strconv.ParseUint(data.sctpPort, 10, 16)
		if err != nil || port == 0 {
			return errSCTPPort
		}
		o.SCTPPort = int(port)
	}
	o.MaxMessageSize = defaultMaxMessageSize
	if data.maxMessage != "" {
		size, err := strconv.ParseUint(data.maxMessage, 10, 64)
		if err != nil {
			return errMaxMessageSize
		}
		o.MaxMessageSize = int(min(size, math.MaxInt32))
	}
	o.SCTPInit = parseSCTPInit(data.sctpInit)
	return nil
}

// parseSCTPInit returns the chunk of an a=sctp-init. It returns nil if there is no such line,
// or if the value is no base64 or too long: then the handshake of SCTP takes place.
// https://datatracker.ietf.org/doc/html/draft-hancke-tsvwg-snap-00
func parseSCTPInit(s string) []byte {
	if s == "" || base64.StdEncoding.DecodedLen(len(s)) > maxSCTPInit+2 { // with padding
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 || len(b) > maxSCTPInit {
		return nil
	}
	return b
}
