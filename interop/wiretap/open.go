package wiretap

import (
	"bytes"
	"encoding/binary"

	"github.com/godwit-rtc/godwit/dtls"
)

// A Record is one record of a datagram.
type Record struct {
	dtls.Record
	// Plain is the content. It is nil if the keys are not known, or the record is a
	// repetition.
	Plain []byte
}

// Handshake messages. https://www.rfc-editor.org/rfc/rfc6347.html#section-4.3.2
const (
	clientHello = 1
	serverHello = 2

	// msg_type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3)
	// server_version(2) random(32) session_id_length(1) session_id cipher_suite(2)
	offFragment  = 6
	fragmentLen  = 12
	offRandom    = fragmentLen + 2
	randomLen    = 32
	offSessionID = offRandom + randomLen
)

// session is the state of a DTLS connection while its datagrams are read.
type session struct {
	client, server []byte // randoms
	suite          dtls.Suite
	clientUp       bool // the client's datagrams go up
	up, down       dtls.Conn
}

// Secrets are the inputs from which the keys of a session are derived.
type Secrets struct {
	Suite                      dtls.Suite
	ClientRandom, ServerRandom []byte
	Master                     []byte
}

// Secrets returns the secrets of a session, without Master if the handshake failed.
func (t *Tap) Secrets(ds []Datagram) Secrets {
	var s session
	for _, d := range ds {
		s.learn(d)
	}
	return Secrets{s.suite, s.client, s.server, t.master(s.client)}
}

func (t *Tap) master(clientRandom []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.masters[string(clientRandom)]
}

// Open returns the records of a session, and decrypts the records of epoch 1. Datagrams that
// are not DTLS have no records.
func (t *Tap) Open(ds []Datagram) [][]Record {
	var s session
	for _, d := range ds {
		s.learn(d)
	}
	keyed := s.init(t.master(s.client))
	opened := make([][]Record, len(ds))
	for i, d := range ds {
		if !dtls.IsDTLS(d.B) {
			continue
		}
		for r := range dtls.Records(d.B) {
			opened[i] = append(opened[i], Record{r, s.open(r, d.Up, keyed)})
		}
	}
	return opened
}

// learn reads the hellos.
func (s *session) learn(d Datagram) {
	if !dtls.IsDTLS(d.B) {
		return
	}
	for r := range dtls.Records(d.B) {
		b := r.Body()
		if r.Type != dtls.TypeHandshake || r.Epoch != 0 || len(b) < offSessionID+1 ||
			!bytes.Equal(b[offFragment:offFragment+3], []byte{0, 0, 0}) {
			continue
		}
		random := b[offRandom : offRandom+randomLen]
		switch b[0] {
		case clientHello:
			s.client, s.clientUp = random, d.Up
		case serverHello:
			s.server = random
			if at := offSessionID + 1 + int(b[offSessionID]); len(b) >= at+2 {
				s.suite = dtls.Suite(binary.BigEndian.Uint16(b[at:]))
			}
		}
	}
}

func (s *session) init(master []byte) bool {
	if master == nil || s.server == nil {
		return false
	}
	k, err := dtls.DeriveKeys(s.suite, master, s.client, s.server)
	if err != nil {
		return false
	}
	// A datagram that goes up is opened as its receiver opens it: as the server, if the
	// client is above.
	s.up.Init(k, !s.clientUp, dtls.FirstRecord)
	s.down.Init(k, s.clientUp, dtls.FirstRecord)
	s.up.Done()
	s.down.Done()
	return true
}

func (s *session) open(r dtls.Record, up, keyed bool) []byte {
	switch {
	case r.Epoch == 0:
		return r.Body()
	case !keyed:
		return nil
	}
	c := &s.down
	if up {
		c = &s.up
	}
	plain, _, _ := c.Open(bytes.Clone(r.Raw))
	return plain
}
