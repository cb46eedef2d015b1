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

	// flightInterval is when pion repeats a flight for the first time, under new
	// record numbers. A Repeater is quicker, but to a browser its bytes are replays:
	// they do not make it send its own lost Finished again. These do.
	flightInterval = 100 * time.Millisecond

	maxHandshakeNumber = FirstRecord - 1 // highest number pion may use in epoch 1
)

// Errors a Failed event may carry, beside those of pion and those of the peer's
// messages, such as [ErrPeer].
var (
	// ErrRecordNumbers means that somebody made the handshake repeat its last
	// flight until the numbers set aside for it were used up.
	ErrRecordNumbers = errors.New("dtls: handshake used up its record numbers")
	// ErrStopped means that Stop was called.
	ErrStopped = errors.New("dtls: handshake was stopped")
	// ErrTimeout means that the handshake took longer than HandshakeConfig.Timeout.
	ErrTimeout = errors.New("dtls: handshake timed out")
	// ErrNoAnswer is an ErrTimeout of a DTLS client to which the peer never answered.
	ErrNoAnswer = fmt.Errorf("%w: the peer never answered our ClientHello; "+
		"a peer that can only be the DTLS client must offer a=setup:active", ErrTimeout)
	// ErrNoHello is an ErrTimeout of a DTLS server to which no client came.
	ErrNoHello = fmt.Errorf("%w: the peer, which is the DTLS client, never sent a ClientHello", ErrTimeout)

	errKeyLog = errors.New("dtls: pion logged secrets that do not belong to this handshake")
)

// A HandshakeConfig says how to shake hands.
type HandshakeConfig struct {
	// Certificate is ours. It must be set.
	Certificate *Certificate
	// Client says that we are the DTLS client, a=setup:active.
	Client bool
	// Peer holds the fingerprints of the offer. The certificate of the peer must
	// match one of them; with none, every handshake fails.
	Peer []Fingerprint
	// SRTP offers use_srtp although no media follows: Chromium offers it itself,
	// and some peers fail without it. As a client we then fail with a peer that
	// does not select a profile; only a new connection can try without.
	SRTP bool
	// Timeout limits the whole handshake. Zero means 10 s.
	Timeout time.Duration
	// MTU limits the datagrams we send. Zero means 1200, which is also the most.
	MTU int
	// KeyLog receives the secrets in NSS key log format. Debugging only.
	KeyLog io.Writer
	// Gate limits how many handshakes compute at once. Nil is no limit.
	Gate Gate
	// Emit takes the events, in order and one at a time, from goroutines of the
	// handshake. It must not block for long; it may take the lock under which
	// the owner calls Receive and Stop, which take none.
	Emit func(HandshakeEvent)

	given func([]byte) // tests: called with what pion is given of a datagram
}

// An EventKind says what happened in a handshake.
type EventKind uint8

// Events. A handshake ends with exactly one of Done and Failed.
const (
	Flight    EventKind = iota + 1 // Datagram is to be sent
	KeysReady                      // Keys are known, and the peer's certificate is the right one
	Done                           // the peer's Finished is verified
	Failed                         // Err says why
)

func (k EventKind) String() string {
	return [...]string{"none", "Flight", "KeysReady", "Done", "Failed"}[k]
}

// A HandshakeEvent is what a handshake tells its owner, who owns its memory.
//
// KeysReady comes before the flight with our Finished. A client may then seal
// at once, since it has verified certificate and signature (False Start,
// https://www.rfc-editor.org/rfc/rfc7918.html), as [Conn] allows: a little, and
// nothing is opened before Done.
type HandshakeEvent struct {
	Kind     EventKind
	Datagram []byte // Flight
	// First marks the first datagram of a flight that was not sent before:
	// [Repeater.Set] it; [Repeater.Add] those that follow without First.
	First bool
	// Again marks pion's own repetition of a flight, under new record numbers:
	// send it, do not store it.
	Again bool
	Keys  *Keys // KeysReady
	Err   error // Failed
}

// A Gate limits how many handshakes compute at once, so that others who need the
// processor do not stand behind all that run. Those that wait for the peer are not
// inside.
type Gate chan struct{}

// NewGate returns a gate for n handshakes.
func NewGate(n int) Gate { return make(Gate, n) }

// A Handshake is one run of the DTLS handshake. Its methods may be called from
// any goroutine, and under any lock.
type Handshake struct {
	config  HandshakeConfig
	pipe    *pipe
	stopped atomic.Bool
	costly  atomic.Bool

	mu      sync.Mutex // held while events go out, so that they go in order
	screen  screen
	known   *secrets   // nil until pion has logged them
	proved  bool       // pion has authenticated the peer
	keys    bool       // KeysReady has gone
	over    bool       // Done or Failed has gone
	cause   error      // why we made pion fail
	last    flightMark // the newest that has been sent
	numbers uint64     // of the epoch-0 records that have been sent
}

// StartHandshake starts a handshake. A client's first flight is emitted at once.
func StartHandshake(c HandshakeConfig) *Handshake {
	c.Timeout = or(c.Timeout, defaultTimeout)
	c.MTU = min(or(c.MTU, defaultMTU), defaultMTU)
	h := &Handshake{config: c, screen: screen{client: c.Client, peers: c.Peer}}
	h.pipe = newPipe(c.Gate, h.write)
	h.pipe.screen = h.read
	go h.run()
	return h
}

// Receive gives the handshake what a [Sieve] let pass of a datagram. It copies
// b and never blocks; false means that b was dropped, because the queue is full
// or the handshake over.
func (h *Handshake) Receive(b []byte) bool { return len(b) > 0 && h.pipe.deliver(b) }

// Stop ends the handshake, whose goroutines return soon. If it was not over, a
// Failed event with [ErrStopped] follows, and no other. An Emit that has already
// begun is not undone.
func (h *Handshake) Stop() {
	h.stopped.Store(true)
	h.pipe.finish()
}

// Costly reports whether the peer has shown a certificate of its offer whose key costs far
// more to verify a signature with than P-256's: ECDSA with P-384 or P-521.
func (h *Handshake) Costly() bool { return h.costly.Load() }

// run is the handshake's goroutine. pion's own two and their helpers return
// once the pipe has ended.
func (h *Handshake) run() {
	ctx, cancel := context.WithTimeout(context.Background(), h.config.Timeout)
	defer cancel()
	err := h.shake(ctx)
	h.pipe.finish()
	h.finish(err, ctx.Err() != nil)
}

// finish ends the handshake, which pion ended with err, late or in time.
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
		err = ErrFinished
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

// timeout says what was lacking when the time was over.
func (h *Handshake) timeout() error {
	switch {
	case h.screen.prev != 0:
		return ErrTimeout
	case h.config.Client:
		return ErrNoAnswer
	}
	return ErrNoHello
}

// shake runs pion's handshake to its end. pion calls verify on every way to it.
func (h *Handshake) shake(ctx context.Context) error {
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

// verify is pion's VerifyConnection. As a client it runs after the signatures
// are checked and before the secrets are logged and our Finished leaves, as a server
// when the secrets are logged, the client's CertificateVerify and Finished have come,
// and before our Finished leaves.
func (h *Handshake) verify(s *pion.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.screen.proved(s.PeerCertificates, Suite(s.CipherSuiteID)); err != nil {
		return h.fail(err)
	}
	h.proved = true
	return h.ready()
}

// A keyLog takes the secrets from pion, and hands them on to the owner's key log.
type keyLog struct{ *Handshake }

func (h keyLog) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.secret(line); err != nil {
		return 0, h.fail(err)
	}
	if h.config.KeyLog != nil {
		return h.config.KeyLog.Write(line)
	}
	return len(line), nil
}

// secret takes a line of pion's key log.
func (h *Handshake) secret(line []byte) error {
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
	return h.ready()
}

// ready tells the owner of the keys once they are known and the peer is proved.
func (h *Handshake) ready() error {
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
		h.config.Emit(HandshakeEvent{Kind: KeysReady, Keys: h.known.keys})
	}
	return nil
}

// fail notes why the handshake fails. The first reason stands.
func (h *Handshake) fail(err error) error {
	if h.cause == nil {
		h.cause = err
	}
	return h.cause
}

// read takes a datagram that pion reads, and appends what pion gets of it. An error
// ends the handshake: the peer gets an alert.
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

// alert sends a fatal alert, unless our Finished has been sent: it could not be
// sealed. read calls it once.
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

// write takes what pion sends. Only plaintext records and sealed handshake
// records with a number set aside for them leave; an alert or data under the
// session keys would use up a number that is ours.
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
			return h.fail(ErrRecordNumbers)
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

// A flightMark says how far a handshake has come in what it sent.
type flightMark struct {
	flight   int // as numbered in https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
	position int // message_seq and offset of the newest plaintext fragment, plus one
	changed  bool
	finished bool
}

// before reports whether there is something in m that is not in f.
func (f flightMark) before(m flightMark) bool { return f != m }

// after returns f moved on by a record that is about to leave.
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
