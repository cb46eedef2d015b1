package dtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"testing"
)

// record returns a record with one unfragmented message of a peer.
func (m peerMessage) record(seq int) []byte {
	return handshakeRecord(string(appendMessage(nil, m.kind, seq, m.body)))
}

// part returns a record with the bytes off to end of a message of a peer.
func (m peerMessage) part(seq, off, end int) []byte {
	f := fragment{kind: m.kind, length: len(m.body), seq: seq, off: off, end: end, body: m.body[off:end]}
	return handshakeRecord(string(appendFragment(nil, &f, off, end)))
}

// wantGiven gives s a datagram, and compares the messages that s passes to pion with want.
func wantGiven(t *testing.T, s *screen, what string, datagram []byte, want ...string) {
	t.Helper()
	out, err := s.read([]byte("before"), datagram, nil)
	if err != nil || !bytes.HasPrefix(out, []byte("before")) {
		t.Fatalf("%s: %v, pion gets %q", what, err, out)
	}
	got := pieces(out[len("before"):])
	if len(got) != len(want) {
		t.Errorf("%s: pion is given %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: pion is given %v, want %v", what, got, want)
		}
	}
}

func serverScreen() (s *screen, flight []peerMessage) {
	leaf := peerCertificate().Certificate[0]
	return screenFor(true, leaf), serverFlight(leaf, ECDSAWithAES128GCM, tls.ECDSAWithP256AndSHA256)
}

func clientScreen() (s *screen, flight []peerMessage) {
	leaf := peerCertificate().Certificate[0]
	return screenFor(false, leaf), clientFlight(leaf, tls.ECDSAWithP256AndSHA256)
}

// With a body of one byte, which is no handshake message, pion gets only a ChangeCipherSpec of epoch
// 0 and a handshake record of epoch 1, which is encrypted.
func TestScreenTypesAndEpochs(t *testing.T) {
	for typ := range 256 {
		for epoch := range uint16(3) {
			s, _ := clientScreen()
			out, err := s.read(nil, epochRecord(ContentType(typ), epoch, "\x01"), nil)
			wantNil(t, "read", err)
			want := ContentType(typ) == TypeChangeCipherSpec && epoch == 0 || ContentType(typ) == TypeHandshake && epoch == 1
			if given := len(out) > 0; given != want {
				t.Errorf("type %d, epoch %d: pion gets %x, want a record: %v", typ, epoch, out, want)
			}
		}
	}
}

// A server gives a repeated ClientHello to pion again, and pion then repeats its flight. pion
// gets no second copy of any other message, and no memory is kept for one.
func TestScreenOfRepeatedMessages(t *testing.T) {
	s, flight := clientScreen()
	for i, m := range flight[:2] {
		wantGiven(t, s, "a message", m.record(i), pieces(m.record(i))...)
	}
	declared := s.declared
	hello := flight[0].record(0)
	wantGiven(t, s, "ClientHello again", hello, pieces(hello)...)
	wantGiven(t, s, "a part of it again", flight[0].part(0, 10, 20), "0:10-20")
	wantGiven(t, s, "another message again", flight[1].record(1))
	longer := flight[0].record(0)
	longer[headerLen+offMessageLen]++
	wantGiven(t, s, "a ClientHello of another length", longer)
	wantGiven(t, s, "a ClientHello in place of another message", (&peerMessage{msgClientHello, flight[1].body}).record(1))
	wantGiven(t, s, "another message under its number", flight[2].record(1))
	if s.declared != declared || s.in[0].body != nil || s.in[1].body != nil {
		t.Errorf("%d bytes are announced, want %d; bodies of %d and %d bytes are kept", s.declared, declared, len(s.in[0].body), len(s.in[1].body))
	}
	wantGiven(t, s, "the rest", append(flight[2].record(2), flight[3].record(3)...), "2:0-3", "3:0-7")

	s, flight = serverScreen()
	wantGiven(t, s, "ServerHello", flight[0].record(0), pieces(flight[0].record(0))...)
	wantGiven(t, s, "ServerHello again", flight[0].record(0))
	wantGiven(t, s, "a ClientHello in its place", hello)
}

// Invalid bytes end their record. The fragments before them are used.
func TestScreenOfABrokenRecord(t *testing.T) {
	s, flight := clientScreen()
	first, second := string(appendMessage(nil, flight[0].kind, 0, flight[0].body)), string(appendMessage(nil, flight[1].kind, 1, flight[1].body))
	wantGiven(t, s, "a broken record", handshakeRecord(first, "broken", second), pieces(flight[0].record(0))...)
	wantGiven(t, s, "two messages in a record", handshakeRecord(first, second), append(pieces(flight[0].record(0)), pieces(flight[1].record(1))...)...)
}

// Each value is accepted at its bound, and not beyond.
func TestScreenBoundsAreExact(t *testing.T) {
	for name, c := range map[string]struct {
		datagram []byte
		taken    bool
	}{
		"the last message there is":  {peerMessage{msgCertificate, make([]byte, 10)}.part(maxMessages-1, 0, 1), true},
		"one after it":               {peerMessage{msgCertificate, make([]byte, 10)}.part(maxMessages, 0, 1), false},
		"the highest number":         {peerMessage{msgCertificate, make([]byte, 10)}.part(1<<16-1, 0, 1), false},
		"the longest certificate":    {peerMessage{msgCertificate, make([]byte, maxCertificateLen)}.part(1, 0, 1), true},
		"a certificate too long":     {peerMessage{msgCertificate, make([]byte, maxCertificateLen+1)}.part(1, 0, 1), false},
		"a message of no known type": {peerMessage{msgFinished, make([]byte, 12)}.part(1, 0, 1), false},
	} {
		s, _ := clientScreen()
		wantGiven(t, s, name, c.datagram)
		if taken := s.declared > 0; taken != c.taken {
			t.Errorf("%s: taken %v, want %v", name, taken, c.taken)
		}
	}

	s, _ := clientScreen()
	long := peerMessage{msgClientHello, make([]byte, maxMessageLen)}
	wantGiven(t, s, "half of what may be announced", long.part(1, 0, 1))
	wantGiven(t, s, "the other half", long.part(2, 0, 1))
	wantGiven(t, s, "a byte more", peerMessage{msgCertificate, []byte{1}}.part(3, 0, 1))
	wantGiven(t, s, "a further part of the first", long.part(1, 1, 3))
	wantGiven(t, s, "a part of it with another type", peerMessage{msgServerHello, long.body}.part(1, 3, 4))
	wantGiven(t, s, "a part of it with another length", peerMessage{msgClientHello, long.body[1:]}.part(1, 3, 4))
	if s.declared != maxHandshakeBytes || s.in[1].bytes != 3 || s.in[3].body != nil {
		t.Errorf("%d bytes are announced, want %d; %d of the first message have come, want 3; the third has %d",
			s.declared, maxHandshakeBytes, s.in[1].bytes, len(s.in[3].body))
	}
}

// A message may arrive in as many pieces as the limit allows, and not in one more.
func TestScreenBoundsPieces(t *testing.T) {
	for n, complete := range map[int]bool{maxMessagePieces: true, maxMessagePieces + 1: false} {
		s, flight := clientScreen()
		var out []byte
		for i := range n {
			end := i + 1
			if i == n-1 {
				end = len(flight[0].body)
			}
			var err error
			out, err = s.read(out, flight[0].part(0, i, end), nil)
			wantNil(t, "read", err)
		}
		if got := len(out) > 0; got != complete {
			t.Errorf("in %d fragments: pion gets %x, want the message: %v", n, out, complete)
		}
	}
}

// A server may ask for its cookie again and again, up to the last message number.
func TestScreenOfEndlessCookies(t *testing.T) {
	s, flight := serverScreen()
	request := peerMessage{msgHelloVerifyRequest, []byte{0xfe, 0xfd, 0}}
	for seq := range maxMessages {
		wantGiven(t, s, "HelloVerifyRequest", request.record(seq), pieces(request.record(seq))...)
	}
	wantGiven(t, s, "one more", request.record(maxMessages))
	wantGiven(t, s, "ServerHello", flight[0].record(maxMessages))
}

// After the last plaintext message of a flight every further one is refused.
func TestNothingFollowsAFlight(t *testing.T) {
	for kind := range uint8(21) {
		for _, of := range []func() (*screen, []peerMessage){serverScreen, clientScreen} {
			s, flight := of()
			given, err := give(t, s, append(flight, peerMessage{kind, nil}))
			if want := maxLength(kind) >= 0; (err != nil) != want || err != nil && !errors.Is(err, ErrMessage) && !errors.Is(err, ErrRoles) || len(given) != len(flight) {
				t.Errorf("client %v, type %d after the flight: %v, want an error: %v; pion gets %d messages, want %d", s.client, kind, err, want, len(given), len(flight))
			}
		}
	}
}

// One matching fingerprint of several is enough, at any place. The fingerprint of an empty
// certificate does not make one valid.
func TestFingerprintsOfAnOffer(t *testing.T) {
	leaf := peerCertificate().Certificate[0]
	right, wrong := fingerprintOf(leaf), testCertificate().Fingerprint()
	for name, c := range map[string]struct {
		peers []Fingerprint
		leaf  []byte
		want  error
	}{
		"the only one":            {[]Fingerprint{right}, leaf, nil},
		"the first":               {[]Fingerprint{right, wrong}, leaf, nil},
		"the last":                {[]Fingerprint{wrong, right}, leaf, nil},
		"none of two":             {[]Fingerprint{wrong, wrong}, leaf, ErrPeer},
		"none":                    {nil, leaf, ErrPeer},
		"that of no certificate":  {[]Fingerprint{fingerprintOf(nil)}, nil, errKey},
		"that of another message": {[]Fingerprint{right}, leaf[1:], ErrPeer},
	} {
		s := &screen{peers: c.peers}
		if err := s.certificate(certificateBody(c.leaf)); !errors.Is(err, c.want) || (s.leaf != nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v; the leaf has %d bytes", name, err, c.want, len(s.leaf))
		}
	}
}

// The messages of this end count once and whole, however pion cuts them into records, repeats
// them and mixes their fragments.
func TestWhatWeSaidCountsOnce(t *testing.T) {
	hello := helloBody(msgServerHello, version12, RSAWithChaCha20, extendedMasterSecret)
	certificate := bytes.Repeat([]byte{7}, 300)
	cut := func(kind uint8, seq int, body []byte, off, end int) string {
		f := fragment{kind: kind, length: len(body), seq: seq, off: off, end: end, body: body[off:end]}
		return string(appendFragment(nil, &f, off, end))
	}
	first, second := cut(msgServerHello, 0, hello, 0, len(hello)), cut(msgCertificate, 1, certificate, 0, 300)
	want := sha256.Sum256(append(appendMessage(nil, msgServerHello, 0, hello), appendMessage(nil, msgCertificate, 1, certificate)...))
	for name, records := range map[string][]string{
		"a record each":                {first, second},
		"in one record":                {first + second},
		"repeated":                     {first, first, second, first, second},
		"cut":                          {first, cut(msgCertificate, 1, certificate, 0, 100), cut(msgCertificate, 1, certificate, 100, 300)},
		"cut in one record":            {first + cut(msgCertificate, 1, certificate, 0, 100) + cut(msgCertificate, 1, certificate, 100, 300)},
		"the end first":                {first, cut(msgCertificate, 1, certificate, 100, 300), second},
		"a part repeated":              {first, cut(msgCertificate, 1, certificate, 0, 100), cut(msgCertificate, 1, certificate, 0, 100), cut(msgCertificate, 1, certificate, 100, 300)},
		"a later one first":            {second, first, second},
		"what is no fragment":          {first[:5], first, first[:5], second},
		"a fragment without its bytes": {first, second[:30], second},
		"something behind":             {first + "x", second + "x"},
	} {
		var s screen
		for _, r := range records {
			s.sent([]byte(r))
		}
		if s.transcript == nil || !bytes.Equal(s.transcript.Sum(nil), want[:]) || s.outNext != 2 || s.serverHello.suite != RSAWithChaCha20 {
			t.Errorf("%s: the transcript or the ServerHello is wrong; %d messages, want 2; suite %v, want %v", name, s.outNext, s.serverHello.suite, RSAWithChaCha20)
		}
	}
	var s screen
	clientHello := helloBody(msgClientHello, version12, ECDSAWithAES128GCM, extendedMasterSecret)
	with := append(bytes.Clone(clientHello), 0)
	s.sent([]byte(cut(msgClientHello, 0, clientHello, 0, len(clientHello))))
	s.sent([]byte(cut(msgClientHello, 1, with[:len(clientHello)], 0, len(clientHello))))
	want = sha256.Sum256(appendMessage(nil, msgClientHello, 1, clientHello))
	if !bytes.Equal(s.transcript.Sum(nil), want[:]) || s.clientHello.random[0] != msgClientHello {
		t.Error("the transcript has the ClientHello from before HelloVerifyRequest")
	}
}

// A sealed record is kept for later if its length is that of a Finished. A forged one removes
// nothing else. Before this end has sent a message there is no Finished.
func TestScreenOfSealedRecords(t *testing.T) {
	for n, kept := range map[int]bool{maxFinished: true, maxFinished + 1: false} {
		var s screen
		out, err := s.sealed([]byte("before"), epochRecord(TypeHandshake, 1, string(make([]byte, n-headerLen))), nil)
		if (len(s.finished) == 1) != kept || (len(out) > len("before")) != kept || !bytes.HasPrefix(out, []byte("before")) || err != nil {
			t.Errorf("%d bytes: %d records are kept, want one: %v; pion gets %d bytes, %v", n, len(s.finished), kept, len(out), err)
		}
	}
	client, server := testConns(ECDSAWithAES128GCM)
	for isClient, peer := range map[bool]*Conn{true: server, false: client} {
		known := &secrets{keys: testKeys(ECDSAWithAES128GCM), opener: newOpener(testKeys(ECDSAWithAES128GCM), isClient)}
		s := screen{client: isClient}
		if out, err := s.sealed([]byte("before"), finishedRecord(), known); string(out) != "before" || err != nil {
			t.Errorf("a forged record: pion gets %q, %v; want nothing more, no error", out, err)
		}
		for _, body := range [][]byte{nil, make([]byte, verifyDataLen)} {
			message := appendMessage(nil, msgFinished, 0, body)
			if out, err := s.sealed([]byte("before"), seal(t, peer, TypeHandshake, string(message)), known); string(out) != "before" || !errors.Is(err, errFinished) {
				t.Errorf("client %v, Finished of %d bytes before all messages: pion gets %q, %v; want nothing more, ErrFinished", isClient, len(body), out, err)
			}
		}
		short := fragment{kind: msgFinished, length: verifyDataLen}
		if _, err := s.sealed(nil, seal(t, peer, TypeHandshake, string(appendFragment(nil, &short, 0, 0))), known); !errors.Is(err, errFinished) {
			t.Errorf("client %v, Finished without its bytes before all messages: %v, want ErrFinished", isClient, err)
		}
	}
}
