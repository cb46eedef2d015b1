package dtls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/dtls/v3"
)

// Defaults and limits of a handshake.
const (
	defaultTimeout = 10 * time.Second
	defaultMTU     = 1200

	// flightInterval is the time after which pion repeats a flight for the first time, with
	// new record numbers. A Repeater is quicker, but a browser drops its datagrams as
	// replays, and does not send its own lost Finished again because of them.
	flightInterval = 100 * time.Millisecond

	maxHandshakeNumber = FirstRecord - 1 // highest number pion may use in epoch 1
)

// Errors of a Failed event. Other errors of it are those of pion, and those for messages of
// the peer, such as [ErrPeer].
var (
	// errRecordNumbers means that the handshake has used all its record numbers, because the
	// peer or an attacker made it repeat its last flight too often.
	errRecordNumbers = errors.New("dtls: handshake used up its record numbers")
	// ErrStopped means that Stop was called.
	ErrStopped = errors.New("dtls: handshake was stopped")
	// ErrTimeout means that the handshake took longer than HandshakeConfig.Timeout.
	ErrTimeout = errors.New("dtls: handshake timed out")
	// ErrNoAnswer is the ErrTimeout of a DTLS client whose peer never answered.
	ErrNoAnswer = fmt.Errorf("%w: the peer never answered our ClientHello; "+
		"a peer that can only be the DTLS client must offer a=setup:active", ErrTimeout)
	// errNoHello is the ErrTimeout of a DTLS server whose peer never sent a ClientHello.
	errNoHello = fmt.Errorf("%w: the peer, which is the DTLS client, never sent a ClientHello", ErrTimeout)

	errKeyLog = errors.New("dtls: pion logged secrets that do not belong to this handshake")
)

// A HandshakeConfig configures a handshake.
type HandshakeConfig struct {
	// Certificate is the certificate of this end. It must be set.
	Certificate *Certificate
	// Client says that this end is the DTLS client, a=setup:active.
	Client bool
	// Peer has the fingerprints of the offer. The certificate of the peer must match one of
	// them. If Peer is empty, every handshake fails.
	Peer []Fingerprint
	// AnyPeer accepts every certificate whose key is accepted, in place of those of Peer. The
	// handshake then shows only that the peer has the key of the certificate that KeysReady
	// names: the owner must find out by other means who that is, before it uses the connection.
	AnyPeer bool
	// SRTP offers use_srtp although no media follows: Chromium offers it, too, and some
	// peers fail without it. A client with SRTP fails if the peer does not select a profile;
	// to try without SRTP needs a new connection.
	SRTP bool
	// Timeout limits the time of the whole handshake. Zero means 10 s.
	Timeout time.Duration
	// MTU limits the size of the datagrams to send, in bytes. Zero means 1200, which is also
	// the limit.
	MTU int
	// KeyLog, if not nil, gets the secrets in the NSS key log format. It is for debugging
	// only.
	KeyLog io.Writer
	// Gate limits the number of handshakes that compute at a time. Nil means no limit.
	Gate Gate
	// Emit is called with the events, in order and one at a time, by goroutines of the
	// handshake. It must not block for long. It may take the lock under which the owner
	// calls Receive and Stop, because these take no lock that is held during Emit.
	Emit func(HandshakeEvent)

	given func([]byte) // for tests: called with the part of a datagram that pion gets
}

// An EventKind says what happened in a handshake.
type EventKind uint8

// Events. A handshake ends with exactly one of Done and Failed.
const (
	Flight    EventKind = iota + 1 // send Datagram
	KeysReady                      // Keys are known, and the peer's certificate is the right one
	Done                           // the handshake is over: the peer's Finished is verified
	Failed                         // the handshake has failed: see Err
)

func (k EventKind) String() string {
	return [...]string{"none", "Flight", "KeysReady", "Done", "Failed"}[k]
}

// A HandshakeEvent is an event of a handshake. The receiver owns its memory.
//
// KeysReady comes before the flight with this end's Finished. After KeysReady a client
// may seal a few records, because it has verified the certificate and the signature
// (False Start,
// https://www.rfc-editor.org/rfc/rfc7918.html). [Conn] opens no record before Done.
type HandshakeEvent struct {
	Kind     EventKind
	Datagram []byte // Flight
	// First marks the first datagram of a new flight, for [Repeater.Set]. The datagrams
	// after it without First are for [Repeater.Add].
	First bool
	// Again marks a flight that pion repeats, with new record numbers. Send it, but do not
	// give it to the Repeater.
	Again bool
	Keys  *Keys // KeysReady
	Err   error // Failed

	// Peer is the SHA-256 fingerprint of the peer's certificate; with KeysReady if AnyPeer is set.
	Peer Fingerprint
}

// A Gate limits the number of handshakes that compute at a time, so that other work does not
// wait for all of them. Handshakes that wait for the peer do not count. make(Gate, n) makes a
// gate for n handshakes.
type Gate chan struct{}

// A Handshake is one run of the DTLS handshake. Its methods may be called from any goroutine
// and with any lock held.
type Handshake struct {
	config  HandshakeConfig
	pipe    *pipe
	stopped atomic.Bool
	costly  atomic.Bool

	mu      sync.Mutex // held while events are emitted, so that they are in order
	screen  screen
	known   *secrets   // nil until pion has logged them
	proved  bool       // pion has authenticated the peer
	keys    bool       // KeysReady was emitted
	over    bool       // Done or Failed was emitted
	cause   error      // why this package made pion fail
	last    flightMark // newest part of a flight that was sent
	numbers uint64     // number of epoch-0 records that were sent
}

// StartHandshake starts a handshake. A client emits its first flight at once. The handshake
// ends by itself, at the latest after Timeout.
func StartHandshake(c HandshakeConfig) *Handshake {
	c.Timeout = or(c.Timeout, defaultTimeout)
	c.MTU = min(or(c.MTU, defaultMTU), defaultMTU)
	h := &Handshake{config: c, screen: screen{client: c.Client, peers: c.Peer, anyPeer: c.AnyPeer}}
	h.pipe = newPipe(c.Gate, h.write)
	h.pipe.screen = h.read
	go h.run()
	return h
}

// Receive gives the handshake the output of a [Sieve] for a datagram. It copies b and never
// blocks. It returns false if b was dropped, because the queue is full or the handshake is
// over.
func (h *Handshake) Receive(b []byte) bool { return len(b) > 0 && h.pipe.deliver(b) }

// Stop ends the handshake; its goroutines return soon after. If the handshake was not
// over, a Failed event with [ErrStopped] follows, and no other. An Emit that has begun
// before continues.
func (h *Handshake) Stop() {
	h.stopped.Store(true)
	h.pipe.finish()
}

// Costly reports whether the peer has sent a certificate of its offer with a key of
// ECDSA with P-384 or P-521. To verify its signature takes much more time than with
// P-256.
func (h *Handshake) Costly() bool { return h.costly.Load() }

// run is the handshake's goroutine. pion's own two and their helpers return
// once the pipe has ended.
func (h *Handshake) run() {
	ctx, cancel := context.WithTimeout(context.Background(), h.config.Timeout)
	defer cancel()
	err := h.runPion(ctx)
	h.pipe.finish()
	h.finish(err, ctx.Err() != nil)
}

// finish ends the handshake after pion has returned err. late says that the time is over.
func (h *Handshake) finish(err error, late bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	switch {
	case h.stopped.Load():
		err = ErrStopped
	case h.cause != nil:
		err = h.cause
	case err == nil && !h.keys:
		err = errFinished
	case err == nil:
		err = h.screen.checkFinished(h.known)
	case late:
		err = h.timeout()
	}
	if err != nil {
		h.config.Emit(HandshakeEvent{Kind: Failed, Err: err})
		return
	}
	h.config.Emit(HandshakeEvent{Kind: Done})
}

// timeout returns the error for a handshake whose time is over.
func (h *Handshake) timeout() error {
	switch {
	case h.screen.prev != 0:
		return ErrTimeout
	case h.config.Client:
		return ErrNoAnswer
	}
	return errNoHello
}

// runPion runs pion's handshake until it ends. A handshake that succeeds has called verify.
func (h *Handshake) runPion(ctx context.Context) error {
	h.pipe.enter() // until pion reads
	conn, err := newPionConn(h.pipe, &h.config, h.verify, keyLog{h})
	if err != nil {
		return fmt.Errorf("dtls: configure handshake: %w", err)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("dtls: %w", err)
	}
	return nil
}

// verify is pion's VerifyConnection. At a client pion calls it after it has checked the
// signatures, before it logs the secrets and sends its Finished. At a server pion calls it
// after it has logged the secrets and the client's CertificateVerify and Finished have
// arrived, before it sends its Finished.
func (h *Handshake) verify(s *pion.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.screen.proved(s.PeerCertificates, Suite(s.CipherSuiteID)); err != nil {
		return h.fail(err)
	}
	h.proved = true
	return h.emitKeys()
}

// A keyLog gets the secrets from pion, and writes them to HandshakeConfig.KeyLog.
type keyLog struct{ *Handshake }

func (h keyLog) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.receiveSecret(line); err != nil {
		return 0, h.fail(err)
	}
	if h.config.KeyLog != nil {
		return h.config.KeyLog.Write(line)
	}
	return len(line), nil
}

// receiveSecret processes a line of pion's key log.
func (h *Handshake) receiveSecret(line []byte) error {
	client, server := h.screen.clientHello.random, h.screen.serverHello.random
	random, master, ok := parseKeyLog(line)
	if !ok || !bytes.Equal(random, client[:]) || h.known != nil {
		return errKeyLog
	}
	keys, err := DeriveKeys(h.screen.serverHello.suite, master, client[:], server[:])
	if err != nil {
		return err
	}
	h.known = &secrets{keys: keys, opener: newOpener(keys, h.config.Client), master: [masterSecretLen]byte(master)}
	return h.emitKeys()
}

// emitKeys emits KeysReady once the keys are known and the peer is authenticated.
func (h *Handshake) emitKeys() error {
	if h.known == nil || !h.proved {
		return nil
	}
	if !h.config.Client {
		if err := h.screen.checkFinished(h.known); err != nil {
			return h.fail(err)
		}
	}
	if !h.keys && !h.over && !h.stopped.Load() {
		h.keys = true
		ev := HandshakeEvent{Kind: KeysReady, Keys: h.known.keys}
		if h.config.AnyPeer {
			ev.Peer = fingerprintOf(h.screen.leaf)
		}
		h.config.Emit(ev)
	}
	return nil
}

// fail notes why the handshake fails. Only the first call has an effect.
func (h *Handshake) fail(err error) error {
	if h.cause == nil {
		h.cause = err
	}
	return h.cause
}

// read appends to b the part of a datagram that pion gets. An error ends the handshake, and
// the peer gets an alert.
func (h *Handshake) read(b, datagram []byte) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cause != nil {
		return b, h.cause
	}
	b, err := h.screen.read(b, datagram, h.known)
	if h.config.given != nil {
		h.config.given(b)
	}
	if costly(h.screen.key) {
		h.costly.Store(true)
	}
	if err == nil {
		return b, nil
	}
	h.alert()
	return b, h.fail(err)
}

// alert sends a fatal alert, unless this end's Finished was sent: after it the alert would
// have to be encrypted. read calls alert once.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2.2
func (h *Handshake) alert() {
	if h.over || h.stopped.Load() || h.last.finished {
		return
	}
	// type(1) version(2) epoch(2) sequence_number(6) length(2) level(1) description(1)
	b := []byte{byte(TypeAlert), version12 >> 8, version12 & 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, alertLen, alertFatal, alertHandshakeFailure}
	putRecordNumber(b, 0, h.numbers)
	h.config.Emit(HandshakeEvent{Kind: Flight, Datagram: b, Again: true})
}

// write processes a datagram that pion sends. It passes on plaintext records, and
// encrypted handshake records with a number of pion's range. It drops alerts and data
// that are encrypted with the session keys: their numbers could be numbers of Conn.
func (h *Handshake) write(b []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.stopped.Load() {
		return nil
	}
	datagram := make([]byte, 0, len(b))
	mark := h.last
	for r := range Records(b) {
		switch {
		case h.cause != nil && r.Type != TypeAlert:
			return h.cause
		case r.Epoch == epochOfData && r.Type == TypeHandshake && r.Number > maxHandshakeNumber:
			return h.fail(errRecordNumbers)
		case r.Epoch == 0 || r.Epoch == epochOfData && r.Type == TypeHandshake:
			datagram = append(datagram, r.Raw...)
			mark = mark.after(r, h.config.Client)
			if r.Epoch == 0 {
				h.numbers = r.Number + 1
			}
			if r.Epoch == 0 && r.Type == TypeHandshake {
				h.screen.sent(r.Body())
			}
		}
	}
	if len(datagram) == 0 {
		return nil
	}
	h.config.Emit(HandshakeEvent{
		Kind:     Flight,
		Datagram: datagram,
		First:    mark.flight > h.last.flight,
		Again:    !h.last.before(mark),
	})
	h.last = mark
	return nil
}

// A flightMark is a position in the flights that a handshake has sent.
type flightMark struct {
	flight   int // as numbered in https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
	position int // message_seq and offset of the newest plaintext fragment, plus one
	changed  bool
	finished bool
}

// before reports whether m is after f.
func (f flightMark) before(m flightMark) bool { return f != m }

// after returns the position after record r, which is about to be sent.
func (f flightMark) after(r Record, client bool) flightMark {
	switch {
	case r.Epoch != 0:
		f.finished = true
	case r.Type == TypeChangeCipherSpec:
		f.changed = true
	case r.Type == TypeHandshake:
		g, _, _ := parseFragment(r.Body())
		f.position = max(f.position, g.seq<<24+g.off+1)
		if g.kind == msgClientHello {
			f.flight = max(f.flight, 1+2*min(g.seq, 1))
			return f
		}
	default: // an alert belongs to no flight
		return f
	}
	switch {
	case client:
		f.flight = 5
	case f.changed:
		f.flight = 6
	default:
		f.flight = 4
	}
	return f
}
