package dtls

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"
)

// Limits of a Sieve.
const (
	maxEarly     = 8    // records that wait for Done: the first packets of SCTP, an alert
	maxEarlyLen  = 4096 // bytes of these records
	maxHeld      = 512  // bytes of Finished records that overtook their flight
	maxFinished  = 128  // bytes of an encrypted Finished; it has 61 with AES-128-GCM
	maxHandshake = 2048 // bytes of a datagram while the handshake runs; browsers send 1200

	// pion may need a piece again, because the queue to it may have been full. This
	// limits the pieces that pass again in each interval; the same piece passes only
	// once in it. A flight of a browser has five pieces.
	maxRepeats     = 8
	repeatInterval = 50 * time.Millisecond

	// To check an encrypted handshake record costs an AEAD operation. An honest peer sends
	// one, its Finished, and does not repeat it before an interval has passed.
	maxSealed         = 8 // in each interval
	maxSealedTogether = 2 // in one datagram

	// To look at a fragment costs up to 0.1 µs, and a datagram may have more than a hundred. An
	// honest peer's datagram has at most five that do not pass: those of a flight that is sent again.
	maxRefused = 8 // records and fragments in one datagram; what follows them is dropped, too
)

// A Sieve filters the peer's datagrams while the handshake runs, because pion must not
// get everything that a stranger can send. A plaintext alert or a ChangeCipherSpec of
// two bytes ends pion's handshake. After a plaintext record with a high number pion
// ignores all records with lower numbers. Some versions of pion were blocked by two
// application records, never completed a message of overlapping fragments, or verified
// a signature again for each repeated fragment. So the Sieve passes only two things on to
// the handshake:
//
//   - Handshake fragments of epoch 0, within limits. Each byte of a message passes in one
//     piece only, and a piece passes again only as often as an honest peer repeats it. The
//     Sieve writes the record numbers itself: they are not authenticated, because the
//     Finished messages cover the content and not the headers.
//   - ChangeCipherSpec and the encrypted Finished, in this order, when the peer's flight
//     before them is complete. Of encrypted records few pass from one datagram, and few in
//     an interval.
//
// Alerts and application data of epoch 1 wait until the owner opens them, after Done.
// All other records are dropped and counted.
//
// The zero value is ready for a DTLS server. A Sieve is not safe for concurrent use. It is not
// needed any more when the handshake is over.
type Sieve struct {
	// Client says that this end is the DTLS client. Then no ClientHello passes: it would end the
	// handshake, and a stranger can send one. See IsRival.
	Client bool

	messages [maxMessages]message
	declared int       // bytes of all messages, according to their first pieces
	pieces   int       // pieces of all messages that have passed
	number   uint64    // number of the next epoch-0 record for pion
	ready    bool      // the flight before the peer's ChangeCipherSpec is complete
	last     int       // message_seq of the last message of this flight, once ready
	changed  bool      // a ChangeCipherSpec has arrived
	passed   bool      // the ChangeCipherSpec has passed
	changes  uint32    // interval in which it last passed
	held     []byte    // encrypted handshake records that wait for ready and changed
	interval time.Time // beginning of the interval in which repeats and sealed count
	rounds   uint32    // number of this interval, from 1
	repeats  int       // pieces that have passed again in this interval
	sealed   int       // encrypted handshake records in this interval
	together int       // encrypted handshake records in this datagram
	refused  int       // records and fragments of this datagram that did not pass
	early    [][]byte
	earlyLen int // bytes of early
	drops    Drops
}

// Append appends to b the part of the datagram that passes, for [Handshake.Receive]. now is
// when the datagram arrived. If nothing passes it returns b unchanged.
func (s *Sieve) Append(now time.Time, b, datagram []byte) []byte {
	if !now.Before(s.interval.Add(repeatInterval)) {
		s.interval, s.repeats, s.sealed = now, 0, 0
		s.rounds++
	}
	s.together, s.refused = 0, 0
	if len(datagram) > maxHandshake {
		s.drops.count(dropMalformed)
		return b
	}
	for len(datagram) > 0 && s.refused < maxRefused {
		r, drop := parseRecord(datagram)
		if drop != DropNone {
			s.drops.count(drop)
			break
		}
		datagram = datagram[len(r.Raw):]
		refused := s.refused
		if b, drop = s.record(b, r); drop != DropNone {
			s.drops.count(drop)
			s.refused = max(s.refused, refused+1)
		}
	}
	return s.release(b)
}

// IsRival reports whether a datagram has a piece of a ClientHello though this end is the DTLS
// client, and nothing that only a server sends has arrived yet. So the peer may be a client, too:
// a handshake in which this end is the server may succeed.
func (s *Sieve) IsRival(datagram []byte) bool {
	if !s.Client || s.pieces > 0 || len(datagram) > maxHandshake {
		return false
	}
	parts := 0 // that are none
	for r := range Records(datagram) {
		if parts++; parts > maxRefused {
			break
		}
		if r.Epoch != 0 || r.Type != TypeHandshake {
			continue
		}
		for rest := r.Body(); parts <= maxRefused; parts++ {
			f, tail, ok := parseFragment(rest)
			if !ok {
				break
			}
			if rest = tail; f.kind == msgClientHello && f.end > f.off {
				return true
			}
		}
	}
	return false
}

// release appends the held records once they may pass.
func (s *Sieve) release(b []byte) []byte {
	if !s.ready || !s.changed {
		return b
	}
	if !s.passed {
		b = s.changeCipherSpec(b)
	}
	b = append(b, s.held...)
	s.held = nil
	return b
}

// Early yields the records that wait for Done, oldest first, for [Conn.Open].
func (s *Sieve) Early() iter.Seq[[]byte] { return slices.Values(s.early) }

// Drops returns the number of dropped records and fragments, by cause. Of one datagram at most
// eight count: the Sieve does not look at what follows them.
func (s *Sieve) Drops() *Drops { return &s.drops }

func (s *Sieve) record(b []byte, r Record) ([]byte, Drop) {
	switch {
	case r.Epoch == 0 && r.Type == TypeHandshake:
		return s.handshake(b, r)
	case r.Epoch == 0 && r.Type == TypeChangeCipherSpec:
		if body := r.Body(); len(body) != 1 || body[0] != 1 {
			return b, dropMalformed
		}
		switch {
		case s.passed:
		case s.changed:
			return b, dropReplay
		default:
			s.changed = true
			return b, DropNone // release appends it
		}
		if !s.mayRepeat(&s.changes) {
			return b, dropReplay
		}
		return s.changeCipherSpec(b), DropNone
	case r.Epoch == epochOfData && r.Type == TypeHandshake:
		return s.finished(b, r)
	case r.Epoch == epochOfData && (r.Type == TypeAlert || r.Type == TypeApplicationData):
		return b, s.wait(r)
	case r.Epoch > epochOfData:
		return b, dropEpoch
	}
	return b, dropType
}

// wait keeps a copy of a record until Done. If there are too many, it keeps the first ones.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1
func (s *Sieve) wait(r Record) Drop {
	if len(s.early) == maxEarly || s.earlyLen+len(r.Raw) > maxEarlyLen {
		return dropFull
	}
	s.early = append(s.early, slices.Clone(r.Raw))
	s.earlyLen += len(r.Raw)
	return DropNone
}

// changeCipherSpec appends the only possible ChangeCipherSpec.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.1
func (s *Sieve) changeCipherSpec(b []byte) []byte {
	start := len(b)
	b = append(b, byte(TypeChangeCipherSpec), version12>>8, version12&0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1)
	s.renumber(b[start:])
	s.passed, s.changes = true, s.rounds
	return b
}

// finished passes on or holds an encrypted handshake record. It drops the record if
// there are too many.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.9
func (s *Sieve) finished(b []byte, r Record) ([]byte, Drop) {
	switch {
	case len(r.Raw) > maxFinished || len(r.Body()) <= tagLen:
		return b, dropMalformed
	case s.together == maxSealedTogether || s.sealed == maxSealed || len(s.held)+len(r.Raw) > maxHeld:
		return b, dropFull
	}
	s.together++
	s.sealed++
	if s.passed {
		return append(b, r.Raw...), DropNone
	}
	s.held = append(s.held, r.Raw...)
	return b, DropNone
}

// mayRepeat reports whether a piece may pass again. last is the interval in which the piece
// passed last; mayRepeat updates it.
func (s *Sieve) mayRepeat(last *uint32) bool {
	if *last == s.rounds || s.repeats == maxRepeats {
		return false
	}
	*last = s.rounds
	s.repeats++
	return true
}

func (s *Sieve) renumber(record []byte) {
	putRecordNumber(record, 0, s.number)
	s.number++
}

// handshake appends a record with those pieces of r's fragments that may pass.
func (s *Sieve) handshake(b []byte, r Record) ([]byte, Drop) {
	if len(r.Body()) == 0 {
		return b, dropMalformed
	}
	start := len(b)
	b = append(b, r.Raw[:headerLen]...)
	worst := DropNone
	for rest := r.Body(); len(rest) > 0 && s.refused < maxRefused; {
		f, tail, ok := parseFragment(rest)
		if !ok {
			worst = dropMalformed
			break
		}
		rest = tail
		var drop Drop
		if b, drop = s.fragment(b, &f); drop != DropNone {
			worst = drop
			s.refused++
		}
	}
	if len(b) == start+headerLen {
		return b[:start], worst
	}
	binary.BigEndian.PutUint16(b[start+offLength:], uint16(len(b)-start-headerLen))
	s.renumber(b[start:])
	return b, worst
}

// fragment appends the part of f that has not passed before. If all of f has passed,
// the same piece may pass again, because it may have been lost in the queue.
func (s *Sieve) fragment(b []byte, f *fragment) ([]byte, Drop) {
	if f.seq >= maxMessages || f.length > maxLength(f.kind) {
		return b, dropFull
	}
	if f.off == f.end && f.length > 0 || s.Client && f.kind == msgClientHello {
		return b, dropFragment
	}
	m := &s.messages[f.seq]
	if s.ready && f.seq > s.last {
		return b, dropFragment
	}
	if !m.known {
		if s.declared+f.length > maxHandshakeBytes {
			return b, dropFull
		}
		s.declared += f.length
	}
	if !m.agrees(f) {
		return b, dropFragment
	}
	from, to := m.gap(f.off, f.end)
	if from == to && len(m.pieces) > 0 {
		i := m.pieceAt(f.off)
		if i < 0 || int(m.pieces[i].end) > f.end {
			return b, dropFragment
		}
		if !s.mayRepeat(&m.pieces[i].again) {
			return b, dropReplay
		}
		return appendFragment(b, f, f.off, int(m.pieces[i].end)), DropNone
	}
	if len(m.pieces) == maxMessagePieces || s.pieces == maxPieces {
		return b, dropFull
	}
	m.add(piece{off: uint16(from), end: uint16(to), again: s.rounds})
	s.pieces++
	if !s.ready {
		s.last = s.flightEnd()
		s.ready = s.last >= 0
	}
	return appendFragment(b, f, from, to), DropNone
}

// flightEnd returns the message_seq of the last message before the peer's
// ChangeCipherSpec if this message and all before it have arrived, otherwise -1. The
// last message of a server is ServerHelloDone, that of a client CertificateVerify.
func (s *Sieve) flightEnd() int {
	for i := range s.messages {
		m := &s.messages[i]
		if !m.complete() {
			break
		}
		if m.kind == msgServerHelloDone || m.kind == msgCertificateVerify {
			return i
		}
	}
	return -1
}
