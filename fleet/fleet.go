package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Fleet is the part of one node in a fleet. Its methods may be called from any goroutine.
type Fleet struct {
	config      Config
	me          instance
	inboxPrefix string // of the subjects of this node, with a dot at the end
	embedded    *embedded
	nc          *nats.Conn
	js          jetstream.JetStream
	maxPayload  int // bytes of a program's message
	endDials    context.CancelFunc

	serving    atomic.Bool // NewServer was called, and has not failed
	server     atomic.Pointer[godwit.Server]
	duplicates godwit.Duplicates // set before server
	table      uint32            // half of the hash of the table of channels; set before server
	away       atomic.Bool       // NATS is away
	invites    bool              // the server takes invites; set before server, as are the next two
	signer     auth.Signer       // of the tokens of seats
	authorize  func(*http.Request) (godwit.Identity, error)

	running sync.WaitGroup
	ending  sync.WaitGroup // goroutines that the end of the connection ends
	stop    chan struct{}  // closed by Close
	over    chan struct{}  // closed when Close has done everything
	in      inbox

	// mu guards what follows, the queues and the states of groups, players and claims. Under it only the locks of
	// godwit.Group, and of the tables of the godwit.Server, are taken.
	mu          sync.Mutex
	closing     bool // Close was called
	closed      bool
	out         outbox
	counts      Stats
	groups      map[string]*groupState   // by token
	visited     map[*groupState]struct{} // those without members
	fresh       map[*groupState]int      // those that got their first member, with the announcements that are due
	memberships map[*godwit.Conn][]*groupState
	players     map[string]*player // by name; without sessions while their claim is released
	claims      claims
	questions   map[uint64]*question
	answers     *subscription // to questions, and questions for this node
	asked       uint64        // number of the last question
	kept        int           // bytes of the bodies of questions
	heard       heard
	nodes       nodes
	spent       spent
	rooms       rooms
	travels     travels
	relays      relays
}

// handlers process the messages of other nodes. A handler returns false if the message is malformed. Each runs
// on the goroutine of process, receiveBeat on that of hearBeats.
var handlers [256]func(*Fleet, message) bool

func init() {
	for k, h := range map[kind]func(*Fleet, message) bool{
		kindGroup: (*Fleet).receiveGroup, kindHere: (*Fleet).membersElsewhere, kindGone: (*Fleet).membersElsewhere,
		kindWho: (*Fleet).tellMembers, kindAnswer: (*Fleet).answered,
		kindSend: (*Fleet).receivePlayer, kindSendOld: (*Fleet).receivePlayer, kindAsk: (*Fleet).receivePlayer, kindKick: (*Fleet).receivePlayer, kindWhere: (*Fleet).receivePlayer,
		kindElse:  (*Fleet).receiveElse,
		kindCheck: (*Fleet).receiveCheck, kindReplaced: (*Fleet).receiveReplaced,
	} {
		handlers[k] = h
	}
}

// Times of the connection to NATS.
const (
	maxPings      = 2 // a connection that does not answer one ping more is over
	reconnectWait = 250 * time.Millisecond
	writeTimeout  = 2 * time.Second
	flushTimeout  = time.Second     // of a write of nats.go, during which it sends no ping
	redialTimeout = time.Second     // of a later attempt to connect: one address may not answer, and the others take this node for gone
	maxConnect    = 5 * time.Second // of an attempt to connect
	maxMessage    = 1 << 20         // bytes of a message that NATS takes by default
	envelope      = 512             // bytes that are kept for the envelope
)

// Join connects to NATS, or starts a NATS server in this process. It waits for the connection until ctx is done, 5 s at
// most for each address of Config.NATS and of its host names, or 2 s if ctx has no deadline; only the system's search for the address of a host name may take
// longer. It returns an error if NATS cannot be reached; later NATS may go away and come back.
func Join(ctx context.Context, c Config) (*Fleet, error) {
	f, err := unconnected(c)
	if err != nil {
		return nil, err
	}
	if err = f.connect(ctx); err != nil {
		f.disconnect()
		return nil, err
	}
	if f.nodes.sub, err = f.nc.ChanSubscribe(f.beatSubject(), f.in.beats); err != nil {
		f.disconnect()
		return nil, fmt.Errorf("fleet: NATS: %w", err)
	}
	f.running.Go(f.write)
	f.running.Go(f.hearBeats)
	f.running.Go(f.collect)
	f.running.Go(f.process)
	f.running.Go(f.watch)
	f.running.Go(f.keepRooms)
	for range claimers {
		f.running.Go(f.settleClaims)
	}
	f.appear(time.Now())
	return f, nil
}

// unconnected returns a Fleet without a connection and without goroutines.
func unconnected(c Config) (*Fleet, error) {
	f := &Fleet{
		me:          newInstance(),
		stop:        make(chan struct{}),
		over:        make(chan struct{}),
		groups:      make(map[string]*groupState),
		visited:     make(map[*groupState]struct{}),
		fresh:       make(map[*groupState]int),
		memberships: make(map[*godwit.Conn][]*groupState),
		players:     make(map[string]*player),
		questions:   make(map[uint64]*question),
	}
	if err := c.setDefaults(f.me); err != nil {
		return nil, err
	}
	f.config = c
	f.inboxPrefix = c.Prefix + ".n." + f.me.String() + "."
	f.out.wake = make(chan struct{}, 1)
	f.in.arrived = make(chan *nats.Msg, max(minArrived, c.MaxPending))
	f.in.beats = make(chan *nats.Msg, maxNodes)
	f.in.wake = make(chan struct{}, 1)
	f.claims.init()
	f.initNodes(time.Now())
	f.initRooms()
	f.initTravels()
	f.relays.nodes = make(map[uint32]relayed)
	return f, nil
}

// appear begins to receive what other nodes send to this node, and tells them of this node.
func (f *Fleet) appear(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes.since = now // Join may have taken long: until now the node heard nobody
	f.answers = f.subscribe(f.inboxPrefix + ">")
	f.beat(now, false)
}

// connect connects to NATS.
func (f *Fleet) connect(ctx context.Context) (err error) {
	c := &f.config
	options := []nats.Option{
		nats.Name("godwit " + c.Name),
		nats.NoEcho(),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // NATS may take the password again, or has not read its accounts yet
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		nats.ReconnectBufSize(-1), // what cannot be sent now is dropped and counted
		nats.PingInterval(c.ping),
		nats.MaxPingsOutstanding(maxPings),
		nats.FlusherTimeout(flushTimeout),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { f.natsAway(err) }),
		nats.ReconnectHandler(func(*nats.Conn) { f.natsBack() }),
		nats.ClosedHandler(f.natsClosed),
		nats.ErrorHandler(f.natsError),
	}
	if c.User != "" || c.Password != "" {
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	d := &dialer{ctx: ctx, timeout: nats.DefaultTimeout}
	d.life, f.endDials = context.WithCancel(context.Background())
	if _, ok := ctx.Deadline(); ok { // nats.go has this time for later attempts, too, and takes no message meanwhile
		d.timeout = maxConnect
	}
	options = append(options, nats.Timeout(d.timeout), nats.SetCustomDialer(d))
	address := c.NATS
	switch {
	case address == "":
		if f.embedded, err = startEmbedded(c); err != nil {
			return err
		}
		options = append(options, nats.InProcessServer(f.embedded.server))
	case c.TLS != nil:
		options = append(options, nats.Secure(c.TLS))
	}
	f.nc, err = nats.Connect(address, options...)
	if d.joined.Store(true); ctx.Err() != nil { // ctx may have closed the connection
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("fleet: NATS: %w", err)
	}
	f.maxPayload = int(min(f.nc.MaxPayload(), maxMessage)) - envelope
	if f.js, err = jetstream.New(f.nc); err != nil {
		return fmt.Errorf("fleet: NATS: %w", err)
	}
	return nil
}

func (f *Fleet) disconnect() {
	if f.endDials != nil { // connect was called
		f.endDials()
	}
	if f.nc != nil {
		f.nc.SetClosedHandler(nil)
		f.nc.Close()
	}
	f.embedded.close()
}

// Name returns the name of this node.
func (f *Fleet) Name() string { return f.config.Name }

// NATSAddress returns the address at which the NATS server of this process listens, for Config.NATS of other nodes. It is
// empty if it does not listen.
func (f *Fleet) NATSAddress() string {
	if f.config.Listen == "" {
		return ""
	}
	return f.embedded.server.ClientURL()
}

// NATS returns the connection to NATS, for messages of the program. Calls of its methods may wait: do not call them
// in handlers. Do not close it. It does not get the messages that it publishes.
func (f *Fleet) NATS() *nats.Conn { return f.nc }

// Connected reports whether NATS is there.
func (f *Fleet) Connected() bool { return !f.away.Load() }

// Server returns the server of this node; nil before Listen or NewServer.
func (f *Fleet) Server() *godwit.Server { return f.server.Load() }

// Listen is godwit.Listen for the server of this node: see NewServer, also for how long it may wait.
func (f *Fleet) Listen(addr string, c godwit.Config) (*godwit.Server, error) {
	return f.NewServer(c, func(c godwit.Config) (*godwit.Server, error) { return godwit.Listen(addr, c) })
}

// NewServer makes the server of this node with open, such as godwit.New. A fleet has one server in a process.
// c.Duplicates holds in the whole fleet. NewServer puts itself in front of Admit, Handler.Open and Handler.Close of c. Close the
// server before the fleet.
//
// NewServer waits until NATS has opened two buckets or, if c.Duplicates is not DuplicatesAllow, three: for each of them some 14 s at most, for all some 45 s. After
// an error it may be called again. While NATS is away the error is ErrAway, amid and after Close ErrClosed.
func (f *Fleet) NewServer(c godwit.Config, open func(godwit.Config) (*godwit.Server, error)) (*godwit.Server, error) {
	if !f.serving.CompareAndSwap(false, true) {
		return nil, errors.New("fleet: there is a server already")
	}
	srv, err := f.newServer(c, open)
	if err != nil {
		f.serving.Store(false)
		return nil, err
	}
	return srv, nil
}

func (f *Fleet) newServer(c godwit.Config, open func(godwit.Config) (*godwit.Server, error)) (*godwit.Server, error) {
	if f.isClosing() {
		return nil, ErrClosed
	}
	f.duplicates = c.Duplicates
	f.table = uint32(channel.Table{Channels: c.Channels.WithDefaults(), Schema: c.Schema}.Hash())
	c = f.inFront(c)
	if err := f.prepare(&c); err != nil {
		return nil, f.plain(context.Background(), err)
	}
	var kv jetstream.KeyValue
	if c.Duplicates != godwit.DuplicatesAllow {
		var err error
		if kv, err = f.openClaims(); err != nil {
			return nil, f.plain(context.Background(), err)
		}
	}
	f.mu.Lock()
	f.claims.kv = kv
	f.mu.Unlock()
	srv, err := open(c)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		srv.Close()
		return nil, ErrClosed
	}
	f.server.Store(srv)
	f.nodes.self.MaxSessions = cmp.Or(c.MaxConns, 4096)
	if rtc := srv.RTC(); rtc != nil {
		f.setNumber(c.RTC.Node, rtc.Addr())
	}
	f.beat(time.Now(), false)
	f.mu.Unlock()
	return srv, nil
}

// prepare opens the buckets, and makes c use them and take seats.
func (f *Fleet) prepare(c *godwit.Config) error {
	ctx := context.Background() // openBucket has a limit
	if err := f.openRooms(ctx); err != nil {
		return err
	}
	if err := f.openSpent(ctx); err != nil {
		return err
	}
	if c.Spend == nil {
		c.Spend = f.spend
	}
	return f.prepareSeats(c)
}

// inFront returns c with the fleet in front of its funcs.
func (f *Fleet) inFront(c godwit.Config) godwit.Config {
	admit, h := c.Admit, c.Handler
	c.Admit = func(ctx context.Context, id godwit.Identity) error {
		if err := f.admitDraining(id.Name); err != nil {
			return err
		}
		if admit != nil {
			if err := admit(ctx, id); err != nil {
				return err
			}
		}
		if err := f.admit(ctx, id.Name); err != nil {
			return err
		}
		f.awaitState(ctx, id.Name)
		return nil
	}
	c.Handler.Open = func(c *godwit.Conn) {
		f.opened(c)
		f.arrive(c)
		if h.Open != nil {
			h.Open(c)
		} else {
			c.Yield(godwit.Event{Type: session.EventOpen})
		}
	}
	c.Handler.Close = func(c *godwit.Conn, why godwit.CloseReason) {
		func() {
			defer f.ended(c) // also if the program's Leave panics
			f.departed(c, why)
		}()
		if h.Close != nil {
			h.Close(c, why)
		} else {
			c.Yield(godwit.Event{Type: session.EventClose, Reason: why})
		}
	}
	return c
}

// Close leaves the fleet, and stops the NATS server of this process. Close the server first: then its sessions have
// released their names. Close waits until what is queued for other nodes is written, a few seconds at most. In a handler, and in
// Config.Adopt, it returns session.ErrInHandler.
func (f *Fleet) Close() error {
	if handling.Now(handling.Adopting) {
		return session.ErrInHandler
	}
	f.mu.Lock()
	first := !f.closing
	f.closing = true
	f.mu.Unlock()
	if first {
		f.close()
		close(f.over)
	}
	<-f.over
	return nil
}

func (f *Fleet) close() {
	f.closeClaims()
	ctx, cancel := context.WithTimeout(context.Background(), bucketTime)
	defer cancel()
	f.releaseRooms(ctx)
	f.mu.Lock()
	f.unsubscribe(f.answers) // a question that comes now would have no answer: so NATS says that nobody is here
	f.beat(time.Now(), true)
	f.closed = true
	f.wakeWriter()
	f.mu.Unlock()
	close(f.stop)
	if f.away.Load() && f.endDials != nil {
		f.endDials() // nats.go takes nothing from the writing goroutine during an attempt to connect
	}
	f.running.Wait()
	if !f.away.Load() {
		f.nc.FlushTimeout(writeTimeout)
	}
	f.expire(time.Time{}, true)
	f.giveUpArrivals()
	f.disconnect()
	f.ending.Wait()
}

// isClosing reports whether Close was called.
func (f *Fleet) isClosing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closing
}

// plain returns ErrClosed for the error of a call whose connection to NATS Close has ended, ErrAway with the cause for that of a call
// that NATS or its JetStream could not answer, and other errors as they are. ctx is that of the caller.
func (f *Fleet) plain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, nats.ErrConnectionClosed) && f.isClosing():
		return ErrClosed
	case errors.Is(err, ErrAway):
		return err
	case unanswered(err), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil: // the time of nats.go or of openBucket is over
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}

// unanswered reports whether NATS is going away, which this node has not noticed yet, or is back without its JetStream or without a leader.
func unanswered(err error) bool {
	for _, e := range []error{
		nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrNoStreamResponse,
		jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled, // nats.go says so, too, if nobody answers when it asks for the account
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == unavailable
}

// stopped reports whether Close waits for the goroutines.
func (f *Fleet) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// watch does what is due once a second.
func (f *Fleet) watch() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-tick.C:
			f.expire(now, false)
			f.seekAgain(now)
			f.mu.Lock()
			f.tick(now)
			f.mu.Unlock()
		}
	}
}

// tick forgets groups and repeats announcements. f.mu is held.
func (f *Fleet) tick(now time.Time) {
	for s := range f.visited {
		if now.Sub(s.used) > forgetAfter {
			f.unsubscribe(s.sub)
			delete(f.visited, s)
			delete(f.groups, s.token)
		}
	}
	for s, due := range f.fresh {
		if f.announce(s, f.groupSubject(s.token, "i"), kindHere) == ErrFull {
			break // the rest follows in the next second
		}
		if f.fresh[s] = due - 1; due == 1 {
			delete(f.fresh, s)
		}
	}
	f.renewClaims(now)
	f.beat(now, false)
	f.listen(now) // keepRooms does so more often, and may wait for NATS
	f.forgetUnheard(now)
	f.forgetArrivals(now)
	f.heard.turn(now, f.config.RequestTimeout)
}

// natsAway notes that the connection to NATS is lost.
func (f *Fleet) natsAway(err error) {
	if f.stopped() || f.away.Swap(true) {
		return
	}
	f.config.Logger.Info("fleet: NATS is away", "node", f.config.Name, "err", err)
	f.expire(time.Time{}, true)
}

// natsBack notes that the connection to NATS is there again. nats.go has renewed the subscriptions.
func (f *Fleet) natsBack() {
	f.config.Logger.Info("fleet: NATS is back", "node", f.config.Name)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listenAgain(time.Now())
	f.rooms.unread = f.rooms.kv != nil // else this node compares no rooms yet
	f.away.Store(false)                // from now on backLately asks when
	f.counts.Reconnects++
	for _, s := range f.groups { // other nodes may have got or lost members meanwhile
		s.known, s.asked = false, time.Time{}
		if s.members > 0 {
			f.announce(s, f.groupSubject(s.token, "i"), kindHere)
		}
	}
	f.settleAll()
	f.beat(time.Now(), false) // the others have not heard this node for a while
	f.wakeRooms()
}

// natsClosed notes that nats.go has closed the connection and does not connect again: NATS has sent an error that nats.go does not know.
func (f *Fleet) natsClosed(c *nats.Conn) {
	f.config.Logger.Error("fleet: NATS has ended the connection for good: start this node again", "node", f.config.Name, "err", c.LastError())
}

func (f *Fleet) natsError(_ *nats.Conn, s *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		f.count(&f.counts.Slow)
	}
	subject := ""
	if s != nil {
		subject = s.Subject
	}
	f.config.Logger.Warn("fleet: NATS", "node", f.config.Name, "subject", subject, "err", err)
}

// inboxSubject returns a subject of this node, for answers.
func (f *Fleet) inboxSubject(parts ...string) string { return f.inboxPrefix + strings.Join(parts, ".") }

// answerable reports whether a subject is one of a node of this fleet, for answers.
func (f *Fleet) answerable(subject string) bool {
	return strings.HasPrefix(subject, f.config.Prefix+".n.")
}

// groupToken returns the token of the group that a subject of groupSubject names.
func (f *Fleet) groupToken(subject string) (string, bool) {
	rest, ok := strings.CutPrefix(subject, f.config.Prefix+".g.")
	token, _, found := strings.Cut(rest, ".")
	return token, ok && found
}

// handleNobody handles the report of NATS that nobody has subscribed to the subject of a message.
func (f *Fleet) handleNobody(m message) {
	what, rest, _ := strings.Cut(strings.TrimPrefix(m.subject, f.inboxPrefix), ".")
	switch what {
	case "g":
		f.nobodyIn(rest)
	case "r":
		f.answered(m)
	case "x":
		f.count(&f.counts.NotHere)
	}
}
