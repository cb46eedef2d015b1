package fleet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
)

// Errors of calls for players and groups. Find them with errors.Is.
var (
	// ErrNotHere: no node has a session with the name.
	ErrNotHere = errors.New("fleet: the player is on no node")
	// ErrAway: NATS is away, so the other nodes cannot be reached; or it has no JetStream now, or does not answer. The error of Claim, Find and
	// NewServer has the cause, too.
	ErrAway = errors.New("fleet: NATS is away: other nodes cannot be reached")
	// ErrTimeout: there is no answer in time. The player may act on the request nevertheless.
	ErrTimeout = errors.New("fleet: no answer in time")
	// ErrFull: a queue or a table of Config is full.
	ErrFull = errors.New("fleet: a queue or table is full: see the limits of Config")
	// ErrClosed: the fleet is closed here. It is session.ErrClosed.
	ErrClosed = session.ErrClosed
	// ErrTooLarge: NATS takes no message of this size, or it is larger than Config.MaxPendingBytes. It is session.ErrTooLarge.
	ErrTooLarge = session.ErrTooLarge
)

// A player is a name of sessions of this node. Fleet.mu guards it.
type player struct {
	name, token string
	sessions    int
	sub         *subscription // nil without sessions, and from leave on
	claim       claim
}

// A Place is where a session of a player is.
type Place struct {
	Node        string // Config.Name of the node
	Session     session.ID
	Interrupted bool // the session has no link now
}

// Send queues a message for every session whose Identity has a name, wherever it is. It does not wait. If
// such a session is on this node and godwit.Config.Duplicates is not DuplicatesAllow, it is the only one, and Send
// returns what godwit.Conn.Send returns. Otherwise the message goes to the nodes with such sessions, at most once;
// the error is ErrAway, ErrFull, ErrTooLarge or ErrClosed if that is impossible now. If there is no such node it is
// dropped, and counted as Stats.NotHere. A node with another table of channels drops it, and counts it as Stats.Foreign,
// unless the sender has no server and so no table.
func (f *Fleet) Send(name string, ch godwit.ChannelID, b []byte) error {
	var err error
	here := f.named(name)
	for _, c := range here {
		if e := c.Send(ch, b); e != nil {
			err = e
		}
	}
	if f.onlyHere(here) {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(b) > f.maxPayload {
		return ErrTooLarge
	}
	var table uint32
	if f.server.Load() != nil {
		table = f.table
	}
	data := binary.BigEndian.AppendUint32(appendString(appendHeader(f.buffer(), kindSend, f.me), name), table)
	data = binary.AppendUvarint(data, uint64(ch))
	return f.publish(f.playerSubject(token(name)), f.inboxSubject("x"), append(data, b...))
}

// Kick ends every session whose Identity has a name at once, wherever it is, as godwit.Conn.Kick does. It does not wait.
// The errors are those of Send.
func (f *Fleet) Kick(name, text string) error {
	text = text[:min(len(text), 2*session.MaxText)] // the session cuts it to MaxText bytes, at the end of a character
	here := f.named(name)
	for _, c := range here {
		c.Kick(text)
	}
	if f.onlyHere(here) {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	data := appendString(appendHeader(f.buffer(), kindKick, f.me), name)
	return f.publish(f.playerSubject(token(name)), f.inboxSubject("x"), append(data, text...))
}

// Ask sends a request to the client whose Identity has a name, wherever it is, and does not wait. If there are
// several sessions with the name, the first answer counts. b is copied. If Ask returns no error, done is called
// exactly once: with the bytes of a reply, which are valid until done returns, or with nil for an acknowledgement;
// or with an error, which is a *session.RequestError, ErrNotHere, ErrAway or ErrTimeout, or says why the player's node could not send the
// request. After ErrAway and ErrTimeout, the client may act on the request nevertheless;
// after ErrNotHere only if its answer was lost between the nodes, for example because a queue was full, or if its node has had no connection to NATS for 3 s, or
// for a moment while another node said that the player had left it.
// If the player leaves a node before the node gets the request, Ask finds the node to which the player has gone, if it is there already. For this the request
// is kept. If there was no room in Config.MaxPendingBytes, the error is ErrFull if the player has come to this node, and ErrTimeout if to
// another one. A player who changes nodes while a request waits may get it in both sessions. done runs like a handler of the session if the session is on this
// node, otherwise on a goroutine of the fleet; it must not block, and calls that wait return session.ErrInHandler in it.
func (f *Fleet) Ask(name, request string, b []byte, done func([]byte, error)) error {
	_, err := f.ask1(name, request, b, done)
	return err
}

// Request is Ask that waits for the answer, or until ctx is done. In a handler it returns session.ErrInHandler.
func (f *Fleet) Request(ctx context.Context, name, request string, b []byte) ([]byte, error) {
	return f.await(ctx, func(done func([]byte, error)) (uint64, error) { return f.ask1(name, request, b, done) })
}

// Where returns where a session of a player is. It waits for the answer of the node, or until ctx is done. The error is
// ErrNotHere, ErrAway, ErrTimeout, ErrFull, ErrClosed, that of ctx or, in a handler, session.ErrInHandler.
func (f *Fleet) Where(ctx context.Context, name string) (Place, error) {
	if here := f.named(name); len(here) > 0 {
		return placeOf(f.config.Name, here[len(here)-1]), nil
	}
	b, err := f.whereElse(ctx, name)
	if err != nil {
		return Place{}, err
	}
	return readPlace(b)
}

// whereElse asks the other nodes where a session of a player is.
func (f *Fleet) whereElse(ctx context.Context, name string) ([]byte, error) {
	return f.await(ctx, func(done func([]byte, error)) (uint64, error) {
		return f.askOthers(name, kindWhere, nil, done)
	})
}

func placeOf(node string, c *godwit.Conn) Place {
	return Place{Node: node, Session: c.ID(), Interrupted: c.State() != session.StateOpen}
}

func (p *Place) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(p.Session))
	if p.Interrupted {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return append(b, p.Node...)
}

func readPlace(b []byte) (p Place, err error) {
	r := reader{b: b}
	p.Session = session.ID(r.uint64())
	flag := r.take(1)
	if r.bad {
		return Place{}, errors.New("fleet: the answer of the node is malformed")
	}
	p.Interrupted, p.Node = flag[0] == 1, string(r.b)
	return p, nil
}

// await calls ask and waits for the answer.
func (f *Fleet) await(ctx context.Context, ask func(done func([]byte, error)) (id uint64, err error)) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	a, err := handling.Await(ctx, func(got func(answer)) (func(), error) {
		id, err := ask(func(b []byte, err error) { got(answer{bytes.Clone(b), err}) })
		return func() {
			f.mu.Lock()
			f.forget(id)
			f.mu.Unlock()
		}, err
	})
	if err != nil {
		return nil, err
	}
	return a.b, a.err
}

// ask1 is Ask. It returns the number of the question; 0 if the session is on this node.
func (f *Fleet) ask1(name, request string, b []byte, done func([]byte, error)) (uint64, error) {
	if c := f.askable(name); c != nil {
		if _, err := c.Ask(request, b, func(r session.Result) { done(r.Data, r.Err()) }); !errors.Is(err, session.ErrClosed) {
			return 0, err
		}
	}
	switch {
	case len(request) == 0 || len(request) > session.MaxName:
		return 0, session.ErrName
	case len(b) > session.MaxRequest:
		return 0, session.ErrPayload
	}
	return f.askOthers(name, kindAsk, append(appendString(nil, request), b...), done)
}

// A question is a message that another node answers. Fleet.mu guards what follows body; the rest does not change.
type question struct {
	done  func([]byte, error)
	until time.Time
	node  string // the ID of the node that it is for, if it ends when the node is gone: see nodeOf
	state bool   // of kindState: it ends only if the node has left

	// Of a question for a player: see seek.go.
	kind    kind // 0 means that it is not one
	name    string
	body    []byte    // of kindAsk, for a node that the player comes to; nil if there was no room for it
	seeking bool      // a node has said that the player has left it
	found   bool      // a node has said that it has got the question
	again   bool      // a node has said answerAgain
	sure    bool      // and there was time for answers of other nodes to the same probe
	nobody  time.Time // from when on NATS has said that nobody has the player; zero if it has not
	probe   time.Time // when the last probe was published of which NATS has said that
}

// over calls done. Package handling knows it: calls that wait return session.ErrInHandler in done, because the goroutine that runs done
// may be the one that they wait for.
func (q question) over(b []byte, err error) { q.done(b, err) }

// askOthers publishes a question for a player of another node, and returns its number.
func (f *Fleet) askOthers(name string, k kind, rest []byte, done func([]byte, error)) (uint64, error) {
	body := append(appendString(nil, name), rest...)
	f.mu.Lock()
	defer f.mu.Unlock()
	id, err := f.question(f.playerSubject(token(name)), k, body, done)
	if err != nil {
		return 0, err
	}
	q := f.questions[id]
	q.kind, q.name = k, name
	if k == kindAsk && f.kept+len(body) <= f.config.MaxPendingBytes {
		q.body = body
		f.kept += len(body)
	}
	return id, nil
}

// question publishes a question, and returns its number. f.mu is held.
func (f *Fleet) question(subject string, k kind, body []byte, done func([]byte, error)) (uint64, error) {
	if len(f.questions) >= f.config.MaxRequests {
		return 0, ErrFull
	}
	f.asked++
	id := f.asked
	err := f.publish(subject, f.replySubject(id), append(appendHeader(f.buffer(), k, f.me), body...))
	if err != nil {
		return 0, err
	}
	f.counts.Requests++
	f.questions[id] = &question{done: done, until: time.Now().Add(f.config.RequestTimeout), node: f.nodeOf(subject), state: k == kindState}
	return id, nil
}

// forget removes a question and returns it; nil if it is over already. f.mu is held.
func (f *Fleet) forget(id uint64) *question {
	q := f.questions[id]
	if q != nil {
		delete(f.questions, id)
		f.kept -= len(q.body)
	}
	return q
}

// replySubject returns the subject for answers to a question.
func (f *Fleet) replySubject(id uint64) string {
	return f.inboxSubject("r", strconv.FormatUint(id, 36))
}

// The answers to a question. The number is the first byte of the body of kindAnswer.
const (
	answerReplied  = 0 // bytes
	answerAcked    = 1
	answerFailed   = 2 // status, text
	answerNotHere  = 3
	answerRejected = 4 // text: the session's node could not send the request

	// The question goes on. Nodes of earlier commits take these for answerNotHere.
	answerLeft  = 5 // the node has no session of the player any more
	answerGot   = 6 // to kindElse: the node has got the request already
	answerAgain = 7 // to kindElse: the node has a session of the player, and has not got the request
)

// answered handles kindAnswer, and a question that NATS says nobody has got.
func (f *Fleet) answered(m message) bool {
	_, number, _ := strings.Cut(strings.TrimPrefix(m.subject, f.inboxPrefix), ".")
	number, what, _ := strings.Cut(number, ".")
	id, err := strconv.ParseUint(number, 36, 64)
	if err != nil {
		return false
	}
	nobody := len(m.body) == 0 // NATS says that nobody has got the question
	switch {
	case nobody && f.nobodyHas(id, what):
		return true
	case !nobody && m.body[0] >= answerLeft && m.body[0] <= answerAgain && f.sought(id, m.from, m.body[0]):
		return true
	}
	f.mu.Lock()
	q := f.forget(id)
	f.mu.Unlock()
	if q == nil {
		return true // too late, or the second one
	}
	if nobody {
		q.over(nil, ErrNotHere)
		return true
	}
	switch b := m.body[1:]; m.body[0] {
	case answerReplied:
		q.over(b, nil)
	case answerAcked:
		q.over(nil, nil)
	case answerFailed:
		e := &session.RequestError{Status: session.StatusResponseLost}
		if len(b) > 0 {
			e.Status, e.Text = session.Status(b[0]), string(b[1:])
		}
		q.over(nil, e)
	case answerRejected:
		q.over(nil, errors.New("fleet: the player's node: "+string(b)))
	default:
		q.over(nil, ErrNotHere)
	}
	return true
}

// answer answers a question.
func (f *Fleet) answer(to string, code byte, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.answerable(to) {
		f.publish(to, "", append(append(appendHeader(f.buffer(), kindAnswer, f.me), code), body...))
	}
}

// expire ends the questions that have no answer in time; all of them with ErrAway if away is true.
func (f *Fleet) expire(now time.Time, away bool) {
	var over []*question
	f.mu.Lock()
	for id, q := range f.questions {
		if away || now.After(q.until) {
			over = append(over, f.forget(id))
			f.counts.TimedOut++
		}
	}
	f.mu.Unlock()
	for _, q := range over {
		if away {
			q.over(nil, ErrAway)
		} else {
			q.over(nil, ErrTimeout)
		}
	}
}

// nodeOf returns the ID of the node of nodeSubject; empty if a subject is another one. That of kindCheck is: a node that was not heard for too
// long may have its sessions still.
func (f *Fleet) nodeOf(subject string) string {
	rest, ok := strings.CutPrefix(subject, f.config.Prefix+".n.")
	id, asks := strings.CutSuffix(rest, ".q")
	if !ok || !asks {
		return ""
	}
	return id
}

// endQuestionsTo ends the questions for a node that is gone, on a goroutine of its own: f.mu is held. NATS may know of the node for longer, and
// gives a question that comes while the node leaves to nobody: then none has an answer. A node that was not heard for too long may have got a state, and
// may answer later: unless it has left, its states have their RequestTimeout.
func (f *Fleet) endQuestionsTo(node string, left bool) {
	var over []*question
	for id, q := range f.questions {
		if q.node == node && (left || !q.state) {
			over = append(over, f.forget(id))
		}
	}
	if len(over) > 0 {
		f.running.Go(func() {
			for _, q := range over {
				q.over(nil, ErrNotHere)
			}
		})
	}
}

// named returns the open sessions of this node with a name.
func (f *Fleet) named(name string) []*godwit.Conn {
	srv := f.server.Load()
	if srv == nil {
		return nil
	}
	return srv.Named(name)
}

// onlyHere reports whether no other node can have sessions with the name of here.
func (f *Fleet) onlyHere(here []*godwit.Conn) bool {
	return len(here) > 0 && f.duplicates != godwit.DuplicatesAllow
}

func (f *Fleet) playerSubject(token string) string { return f.config.Prefix + ".p." + token }

// opened notes that a session has opened.
func (f *Fleet) opened(c *godwit.Conn) {
	name := c.Identity().Name
	if name == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.players[name]
	if p == nil {
		p = &player{name: name, token: token(name)}
		f.players[name] = p
	}
	if p.sessions++; p.sub == nil {
		p.sub = f.subscribe(f.playerSubject(p.token))
	}
	f.settle(p)
}

// ended notes that a session is over.
func (f *Fleet) ended(c *godwit.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leaveAll(c)
	p := f.players[c.Identity().Name]
	if p == nil {
		return
	}
	if p.sessions--; p.sessions == 0 {
		f.unsubscribe(p.sub)
		p.sub = nil
	}
	f.settle(p)
}

// receivePlayer handles kindSend, kindSendOld, kindAsk, kindKick and kindWhere.
func (f *Fleet) receivePlayer(m message) bool {
	r := reader{b: m.body}
	name := r.string()
	here := f.named(name)
	switch m.kind {
	case kindSend, kindSendOld:
		var table uint32
		if m.kind == kindSend {
			table = r.uint32()
		}
		ch := r.uint()
		if r.bad || ch > channel.MaxChannels {
			return false
		}
		if len(here) > 0 && table != 0 && table != f.table {
			f.count(&f.counts.Foreign)
			break
		}
		for _, c := range here {
			if c.Send(godwit.ChannelID(ch), r.b) != nil {
				f.count(&f.counts.Unsent)
			}
		}
	case kindKick:
		if r.bad {
			return false
		}
		for _, c := range here {
			c.Kick(string(r.b))
		}
	case kindWhere:
		if r.bad {
			return false
		}
		if len(here) == 0 {
			f.leave(name)
			f.answer(m.reply, answerLeft, nil)
			break
		}
		p := placeOf(f.config.Name, here[len(here)-1])
		f.answer(m.reply, answerReplied, p.append(nil))
	case kindAsk:
		request := r.string()
		if r.bad {
			return false
		}
		f.receiveAsk(m, name, request, r.b)
	}
	return true
}
