package sdp

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// split returns the session section of an offer or an answer, then a section for each m=
// line, and the mids of the first BUNDLE group.
func split(b []byte) (sections []section, bundle []string, err error) {
	if len(b) > maxOffer {
		return nil, nil, ErrTooLarge
	}
	sections = make([]section, 1, 2)
	n := 0
	for line := range bytes.Lines(b) {
		line = trimEnd(line)
		switch {
		case n == maxLines:
			return nil, nil, errTooManyLines
		case len(line) > maxLine:
			return nil, nil, errLineTooLong
		case n == 0 && string(line) != "v=0":
			return nil, nil, ErrNotSDP
		}
		n++
		if len(line) < 2 || line[1] != '=' {
			continue
		}
		value := string(line[2:])
		switch {
		case line[0] == 'm' && len(sections) > maxMedia:
			return nil, nil, errTooManyMedia
		case line[0] == 'm':
			sections = append(sections, newSection(value))
		case line[0] == 'o' && len(sections) == 1:
			setFirst(&sections[0].origin, value)
		case line[0] != 'a':
		case len(sections) == 1 && bundle == nil && strings.HasPrefix(value, "group:BUNDLE "):
			bundle = strings.Fields(value)[1:]
		default:
			sections[len(sections)-1].setAttribute(value)
		}
	}
	if n == 0 {
		return nil, nil, ErrNotSDP
	}
	return sections, bundle, nil
}

// trimEnd removes the CRLF or LF of a line.
func trimEnd(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// newSection reads an m= line:
//
//	m=<media> <port> <proto> <fmt> ...
//
// https://www.rfc-editor.org/rfc/rfc8866.html#section-5.14
func newSection(value string) section {
	f := strings.SplitN(value, " ", 5)
	if len(f) < 4 {
		return section{}
	}
	return section{media: mediaSection{kind: f[0], protocol: f[2], format: f[3]}, port: f[1]}
}

// setAttribute sets the value of one a= line. If an attribute appears twice in a section,
// the first one is used, except fingerprints and candidates, of which there may be several.
func (s *section) setAttribute(value string) {
	name, v, _ := strings.Cut(value, ":")
	switch name {
	case "ice-ufrag":
		setFirst(&s.ufrag, v)
	case "ice-pwd":
		setFirst(&s.pwd, v)
	case "setup":
		setFirst(&s.setup, v)
	case "mid":
		setFirst(&s.media.mid, v)
	case "rtpmap":
		if format, codec, _ := strings.Cut(v, " "); format == s.media.format {
			setFirst(&s.media.codec, codec)
		}
	case "sctpmap":
		if f := strings.Fields(v); len(f) > 1 && f[0] == s.media.format {
			setFirst(&s.application, f[1])
		}
	case "sctp-port":
		setFirst(&s.sctpPort, v)
	case "sctp-init":
		setFirst(&s.sctpInit, v)
	case "max-message-size":
		setFirst(&s.maxMessage, v)
	case "bundle-only":
		s.bundleOnly = true
	case "ice-lite":
		s.lite = true
	case "candidate":
		s.candidates = append(s.candidates, v)
	case "fingerprint":
		if len(s.fingerprints) < maxFingerprints {
			s.fingerprints = append(s.fingerprints, v)
		}
	}
}

func setFirst(field *string, v string) {
	if *field == "" {
		*field = v
	}
}

// dataChannel returns the index of the first data channel, or -1. A section with port zero
// is switched off, unless it has a=bundle-only.
// https://www.rfc-editor.org/rfc/rfc8841.html#section-4
func dataChannel(media []section) int {
	return slices.IndexFunc(media, func(s section) bool {
		return s.media.kind == "application" &&
			(s.media.protocol == "UDP/DTLS/SCTP" || s.media.protocol == "DTLS/SCTP") &&
			(s.media.format == dataFormat || isPort(s.media.format) && s.application == dataFormat) &&
			!s.off()
	})
}

// dataFormat is the format of a data channel. In drafts before RFC 8841 the format is the
// SCTP port, and an attribute names the application. Browsers until 2019 and some other
// stacks write
//
//	m=application <port> DTLS/SCTP <SCTP port>
//	a=sctpmap:<SCTP port> webrtc-datachannel <streams>
//
// https://datatracker.ietf.org/doc/html/draft-ietf-mmusic-sctp-sdp-06#section-5.1
const dataFormat = "webrtc-datachannel"

// off reports whether a section is switched off.
func (s *section) off() bool { return s.port == "0" && !s.bundleOnly }

// isPort reports whether s is a port in decimal digits.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// validMedia reports whether an answer may repeat m.
func validMedia(m *mediaSection) bool {
	return isToken(m.kind) && isToken(m.format) && isProtocol(m.protocol) && (m.codec == "" || isProtocol(m.codec))
}

// isProtocol reports whether s consists of tokens with slashes between them.
func isProtocol(s string) bool {
	return len(s) <= maxToken && !slices.ContainsFunc(strings.Split(s, "/"), func(p string) bool { return !isToken(p) })
}

// isToken reports whether s is an SDP token of at most maxToken bytes: printable ASCII
// without spaces and without characters such as quotes, brackets, colons and slashes.
// https://www.rfc-editor.org/rfc/rfc8866.html#section-9
func isToken(s string) bool {
	return s != "" && len(s) <= maxToken && all(s, func(c byte) bool {
		return alphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`{|}~", c) >= 0
	})
}

// isICE reports whether s consists of low to high ice-chars.
// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.4
func isICE(s string, low, high int) bool {
	return len(s) >= low && len(s) <= high && all(s, func(c byte) bool {
		return alphanumeric(c) || c == '+' || c == '/'
	})
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func all(s string, ok func(c byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}
