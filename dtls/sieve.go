package dtls

import (
	"encoding/binary"
	"iter"
	"slices"
	"time"
)

// Bounds of a Sieve.
const (
	maxEarly     = 8    // records that wait for Done: the first of SCTP, an alert
	maxEarlyLen  = 4096 // and their bytes
	maxHeld      = 512  // bytes of Finished records that overtook their flight
	maxFinished  = 128  // bytes of a sealed Finished; it takes 61 with AES-128-GCM
	maxHandshake = 2048 // bytes of a datagram while the handshake runs; browsers send 1200

	// What pion has been given it may need again, for the queue to it may have been
	// full: that many pieces in each interval, but no piece twice in one. A flight
	// of a browser has five.
	maxRepeats     = 8
	repeatInterval = 50 * time.Millisecond

	// A sealed handshake record costs an AEAD to tell whether it is authentic. An
	// honest peer sends one, its Finished, and repeats that no sooner than after an
	// interval.
	maxSealed         = 8 // in each interval
	maxSealedTogether = 2 // in one datagram
)

// A Sieve splits the peer's datagrams while the handshake runs. pion must not
// see all that a stranger can send: a plaintext alert or a ChangeCipherSpec of two
// bytes ends the handshake, a plaintext record with a high number makes it deaf to
// all lower ones; versions of it were blocked by two application records, never
// finished a message of overlapping fragments, or verified a signature again for
// each fragment that came again. So to pion, by way of the handshake's screen, go
//
//   - handshake fragments of epoch 0, each byte of each message as one piece
//     only, within bounds, in records with new numbers (they are not authenticated:
//     the Finished messages cover what they carry, not their headers), and the same
//     pieces again no more often than an honest peer repeats them;
//   - ChangeCipherSpec and the sealed Finished, in that order and only once the
//     peer's flight before them is complete, and few sealed records in a datagram
//     and in a time.
//
// Alerts and application data of epoch 1 wait until the owner opens them, after
// Done. All else is dropped and counted.
//
// The zero value is ready. A Sieve is owned like its peer, and thrown away when
// the handshake is over.
type Sieve struct {
	messages [maxMessages]message
	declared int       // bytes of all messages, as their first pieces say
	pieces   int       // of all messages, let through
	number   uint64    // of the next epoch-0 record to pion
	ready    bool      // the flight before the peer's ChangeCipherSpec is complete
	last     int       // message_seq of its last message, once ready
	changed  bool      // a ChangeCipherSpec has come
	passed   bool      // and pion has been given it
	changes  uint32    // interval in which it was last
	held     []byte    // sealed handshake records that wait for both
	interval time.Time // begin of the interval that repeats and sealed are counted in
	rounds   uint32    // number of that interval, from 1
	repeats  int       // pieces that were let through again in it
	sealed   int       // sealed handshake records that were taken in it
	together int       // and those of this datagram
	early    [][]byte
	earlyLen int // their bytes
	drops    Drops
}

// Append appends to b what pion may see of the datagram, which came now, for
// [Handshake.Receive]; b unchanged means nothing.
func (s *Sieve) Append(now time.Time, b, datagram []byte) []byte {
	if !now.Before(s.interval.Add(repeatInterval)) {
		s.interval, s.repeats, s.sealed = now, 0, 0
		s.rounds++
	}
	s.together = 0
	if len(datagram) > maxHandshake {
		s.drops.count(DropMalformed)
		return b
	}
	for len(datagram) > 0 {
		r, drop := parseRecord(datagram)
		if drop != DropNone {
			s.drops.count(drop)
			break
		}
		datagram = datagram[len(r.Raw):]
		if b, drop = s.record(b, r); drop != DropNone {
			s.drops.count(drop)
		}
	}
	return s.release(b)
}

// release appends what was held, once its time has come.
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

// Early yields the records that waited, oldest first, for [Conn.Open].
func (s *Sieve) Early() iter.Seq[[]byte] { return slices.Values(s.early) }

// Drops returns what was dropped, by cause.
func (s *Sieve) Drops() *Drops { return &s.drops }

func (s *Sieve) record(b []byte, r Record) ([]byte, Drop) {
	switch {
	case r.Epoch == 0 && r.Type == TypeHandshake:
		return s.handshake(b, r)
	case r.Epoch == 0 && r.Type == TypeChangeCipherSpec:
		if body := r.Body(); len(body) != 1 || body[0] != 1 {
			return b, DropMalformed
		}
		s.changed = true
		if !s.passed {
			return b, DropNone // release lets it through
		}
		if !s.mayRepeat(&s.changes) {
			return b, DropReplay
		}
		return s.changeCipherSpec(b), DropNone
	case r.Epoch == epochOfData && r.Type == TypeHandshake:
		return s.finished(b, r)
	case r.Epoch == epochOfData && (r.Type == TypeAlert || r.Type == TypeApplicationData):
		return b, s.wait(r)
	case r.Epoch > epochOfData:
		return b, DropEpoch
	}
	return b, DropType
}

// wait keeps a copy of a record until Done. The first ones are kept: the peer
// repeats none of what follows its own channel's first packets.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1
func (s *Sieve) wait(r Record) Drop {
	if len(s.early) == maxEarly || s.earlyLen+len(r.Raw) > maxEarlyLen {
		return DropFull
	}
	s.early = append(s.early, slices.Clone(r.Raw))
	s.earlyLen += len(r.Raw)
	return DropNone
}

// changeCipherSpec appends the one ChangeCipherSpec there is.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.1
func (s *Sieve) changeCipherSpec(b []byte) []byte {
	start := len(b)
	b = append(b, byte(TypeChangeCipherSpec), version12>>8, version12&0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1)
	s.renumber(b[start:])
	s.passed, s.changes = true, s.rounds
	return b
}

// finished lets a sealed handshake record pass, or holds it, if not too many have come.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.9
func (s *Sieve) finished(b []byte, r Record) ([]byte, Drop) {
	switch {
	case len(r.Raw) > maxFinished || len(r.Body()) <= tagLen:
		return b, DropMalformed
	case s.together == maxSealedTogether || s.sealed == maxSealed || len(s.held)+len(r.Raw) > maxHeld:
		return b, DropFull
	}
	s.together++
	s.sealed++
	if s.passed {
		return append(b, r.Raw...), DropNone
	}
	s.held = append(s.held, r.Raw...)
	return b, DropNone
}

// mayRepeat reports whether something may be let through again, and notes it in last,
// the interval in which that was let through last.
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
		return b, DropMalformed
	}
	start := len(b)
	b = append(b, r.Raw[:headerLen]...)
	worst := DropNone
	for rest := r.Body(); len(rest) > 0; {
		f, tail, ok := parseFragment(rest)
		if !ok {
			worst = DropMalformed
			break
		}
		rest = tail
		var drop Drop
		if b, drop = s.fragment(b, &f); drop != DropNone {
			worst = drop
		}
	}
	if len(b) == start+headerLen {
		return b[:start], worst
	}
	binary.BigEndian.PutUint16(b[start+offLength:], uint16(len(b)-start-headerLen))
	s.renumber(b[start:])
	return b, worst
}

// fragment appends that part of f which has not been let through. If all of f has,
// the same piece may go again, as it may have been lost in the queue.
func (s *Sieve) fragment(b []byte, f *fragment) ([]byte, Drop) {
	if f.seq >= maxMessages || f.length > maxLength(f.kind) {
		return b, DropFull
	}
	if f.off == f.end && f.length > 0 {
		return b, DropFragment
	}
	m := &s.messages[f.seq]
	if s.ready && f.seq > s.last {
		return b, DropFragment
	}
	if !m.known {
		if s.declared+f.length > maxHandshakeBytes {
			return b, DropFull
		}
		s.declared += f.length
	}
	if !m.agrees(f) {
		return b, DropFragment
	}
	from, to := m.gap(f.off, f.end)
	if from == to && len(m.pieces) > 0 {
		i := m.pieceAt(f.off)
		if i < 0 || int(m.pieces[i].end) > f.end {
			return b, DropFragment
		}
		if !s.mayRepeat(&m.pieces[i].again) {
			return b, DropReplay
		}
		return appendFragment(b, f, f.off, int(m.pieces[i].end)), DropNone
	}
	if len(m.pieces) == maxMessagePieces || s.pieces == maxPieces {
		return b, DropFull
	}
	m.pieces = append(m.pieces, piece{off: uint16(from), end: uint16(to), again: s.rounds})
	m.bytes += to - from
	s.pieces++
	if !s.ready {
		s.last = s.flightEnd()
		s.ready = s.last >= 0
	}
	return appendFragment(b, f, from, to), DropNone
}

// flightEnd returns the message_seq of the last message before the peer's
// ChangeCipherSpec if it and all before it have come, and -1 otherwise. A server
// ends with ServerHelloDone and then hears from us; a client ends with
// CertificateVerify.
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
