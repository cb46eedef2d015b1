package fleet

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// A question for a player goes to the nodes with a session of the player. A node whose session is just over may get the question, too,
// and says so. Then the node that asks seeks the player: it publishes probes on the subject of the player, at once, after seekSoon and
// then once a second. It does so once a second without any answer, too: nats.go drops what comes between the end of a subscription
// and the time at which NATS knows of that. NATS answers if no node has a session: ErrNotHere. But the node of a client that has the request may have lost its
// connection to NATS for a moment, and its subscriptions with it. So if no node has said that the player has left it, a request ends only after NATS has said that for
// backWithin. A node that has got the question says so: its answer comes, or
// has come, because what one node sends to another stays in order. A node that the player has come to since tells where the player is, or
// gets the request from the node that asks. If no node has said that the player has left it, that waits for the next probe, so that a node which has got the
// request can say so. Each node remembers the requests that it has got, so no client of it gets one twice.

const (
	seekSoon   = 100 * time.Millisecond // from the first probe to the second one
	backWithin = 3 * time.Second        // a node whose connection to NATS has ended has a new one
	maxHeard   = 65_536                 // limits a generation of requests
)

// What follows the number in the reply subject of a question, behind a dot.
const (
	directly = "d" // it goes to one node, which said that the player is there
	againAt  = "s" // it is a probe without an answer of a node before: the milliseconds since the question, to the base 36
)

// An asking is a question of another node.
type asking struct {
	from   instance
	number uint64
}

// askingOf returns which question m is, or is about. ok is false if its reply subject is not one of question.
func askingOf(m message) (a asking, ok bool) {
	_, number, _ := strings.Cut(m.reply, ".r.")
	number, _, _ = strings.Cut(number, ".")
	n, err := strconv.ParseUint(number, 36, 64)
	return asking{m.from, n}, err == nil
}

// requests are some requests of other nodes to players of this node.
type requests struct {
	seen   map[asking]struct{}
	missed bool // there were more than maxHeard
}

// heard is which requests of other nodes this node has given to its players, for Config.RequestTimeout at least. Fleet.mu guards it.
type heard struct {
	young, old requests
	turned     time.Time // when young was new
}

func (h *heard) note(a asking) {
	if len(h.young.seen) >= maxHeard {
		h.young.missed = true
		return
	}
	if h.young.seen == nil {
		h.young.seen = make(map[asking]struct{})
	}
	h.young.seen[a] = struct{}{}
}

// has reports whether the node has got a request. sure is false if the node may have forgotten that.
func (h *heard) has(a asking) (has, sure bool) {
	_, young := h.young.seen[a]
	_, old := h.old.seen[a]
	return young || old, !h.young.missed && !h.old.missed
}

// turn forgets what is older than keep. The node calls it once a second.
func (h *heard) turn(now time.Time, keep time.Duration) {
	if now.Sub(h.turned) >= keep {
		h.old, h.young, h.turned = h.young, requests{}, now
	}
}

// askable returns the session of this node that gets the next request to a player: the newest one that is not being closed; nil if
// there is none.
func (f *Fleet) askable(name string) *godwit.Conn {
	here := f.named(name)
	for i := len(here) - 1; i >= 0; i-- {
		if here[i].State() < session.StateClosing {
			return here[i]
		}
	}
	return nil
}

// leave ends the subscription to the subject of a player whose sessions are over, if ended was not called yet. So NATS knows before the
// node that asks gets an answer that is published next.
func (f *Fleet) leave(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.players[name]; p != nil && len(f.named(name)) == 0 { // a session that opens now calls opened later
		f.unsubscribe(p.sub)
		p.sub = nil
	}
}

// receiveAsk handles a kindAsk that is well formed.
func (f *Fleet) receiveAsk(m message, name, request string, b []byte) {
	a, numbered := askingOf(m)
	if numbered {
		f.mu.Lock()
		has, _ := f.heard.has(a)
		f.mu.Unlock()
		if has {
			return
		}
	}
	c := f.askable(name)
	if c == nil {
		f.leave(name)
		f.answer(m.reply, answerLeft, nil)
		return
	}
	_, err := c.Ask(request, b, func(r session.Result) {
		switch r.Status {
		case session.StatusResponded:
			f.answer(m.reply, answerReplied, r.Data)
		case session.StatusAcknowledged:
			f.answer(m.reply, answerAcked, nil)
		default:
			f.answer(m.reply, answerFailed, append([]byte{byte(r.Status)}, r.Text...))
		}
	})
	if errors.Is(err, session.ErrClosed) {
		f.answer(m.reply, answerLeft, nil)
		return
	}
	if numbered {
		f.mu.Lock()
		f.heard.note(a) // probes come to this goroutine, too
		f.mu.Unlock()
	}
	if err != nil {
		f.answer(m.reply, answerRejected, []byte(err.Error()))
	}
}

// receiveElse handles kindElse. One without a body is of an older node, which asks NATS and not this node.
func (f *Fleet) receiveElse(m message) bool {
	if len(m.body) == 0 {
		return true
	}
	r := reader{b: m.body}
	what := kind(r.take(1)[0])
	name := r.string()
	a, ok := askingOf(m)
	if r.bad || !ok {
		return false
	}
	switch what {
	case kindWhere:
		if here := f.named(name); len(here) > 0 {
			p := placeOf(f.config.Name, here[len(here)-1])
			f.answer(m.reply, answerReplied, p.append(nil))
		} else {
			f.leave(name) // the question came before NATS had the subscription
		}
	case kindAsk:
		f.mu.Lock()
		has, sure := f.heard.has(a)
		f.mu.Unlock()
		switch {
		case has:
			f.answer(m.reply, answerGot, nil)
		case f.askable(name) == nil:
			f.leave(name)
		case sure:
			f.answer(m.reply, answerAgain, nil)
		}
	}
	return true
}

// sought handles an answer to a question that does not end the question. It returns false if that is not an answer to this question.
func (f *Fleet) sought(id uint64, from instance, code byte) bool {
	f.mu.Lock()
	q := f.questions[id]
	if q == nil || q.kind == 0 || q.found {
		f.mu.Unlock()
		return q == nil || q.kind != 0
	}
	first := false
	switch {
	case code == answerLeft:
		first = !q.seeking
		q.seeking = true
	case code == answerGot:
		q.found = true
	case !q.seeking && !q.sure: // answerAgain
		q.again, q.nobody = true, time.Time{}
	case q.body != nil:
		f.publish(f.nodeSubject(from.String()), f.replySubject(id)+"."+directly, append(appendHeader(f.buffer(), kindAsk, f.me), q.body...))
	}
	f.mu.Unlock()
	if code == answerLeft {
		f.seek(id)
	}
	if first {
		time.AfterFunc(seekSoon, func() { f.seek(id) })
	}
	return true
}

// seek asks which node has the player of a question now, unless the question is over or a node has got it. A node has said that the player has left.
func (f *Fleet) seek(id uint64) {
	f.mu.Lock()
	q := f.questions[id]
	ok := q != nil && !q.found
	f.mu.Unlock()
	if !ok || f.answerHere(id, q) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probe(q, f.replySubject(id))
}

// probe publishes a probe. f.mu is held.
func (f *Fleet) probe(q *question, reply string) {
	data := appendString(append(appendHeader(f.buffer(), kindElse, f.me), byte(q.kind)), q.name)
	f.publish(f.playerSubject(token(q.name)), reply, data)
}

// seekAgain publishes probes for all questions for players that no node is known to have got, except new ones. A request does not go to
// a session of this node before another node, or NATS, has said something.
func (f *Fleet) seekAgain(now time.Time) {
	here := make(map[uint64]*question)
	f.mu.Lock()
	for id, q := range f.questions {
		age := now.Sub(f.begin(q))
		switch {
		case q.kind == 0 || q.found || age < seekSoon:
		case q.kind == kindWhere && len(f.named(q.name)) > 0:
			here[id] = q
		default:
			q.sure = q.again
			f.probe(q, f.replySubject(id)+"."+againAt+strconv.FormatInt(age.Milliseconds(), 36))
		}
	}
	f.mu.Unlock()
	for id, q := range here {
		f.answerHere(id, q)
	}
}

// begin returns when a question was asked.
func (f *Fleet) begin(q *question) time.Time { return q.until.Add(-f.config.RequestTimeout) }

// nobodyHas handles the report of NATS that no other node has a session of the player of a question. what follows the number in the
// subject. It returns false if that ends the question with ErrNotHere. If a node has got the question its answer has come, or is lost.
func (f *Fleet) nobodyHas(id uint64, what string) bool {
	if what == directly { // the node has gone: others may have the player
		return true
	}
	f.mu.Lock()
	q := f.questions[id]
	wait := q != nil && q.found
	if age, probe := strings.CutPrefix(what, againAt); q != nil && probe {
		ms, err := strconv.ParseUint(age, 36, 32)
		wait = wait || err != nil || !q.gone(time.Now(), f.begin(q).Add(time.Duration(ms)*time.Millisecond))
	}
	f.mu.Unlock()
	return wait || q != nil && f.answerHere(id, q)
}

// gone notes that NATS has said that nobody has the player, to a probe that was published at a time without an answer of a node before. It
// reports whether that is true of a player whose node has lost its connection to NATS for a moment, too. Fleet.mu is held.
func (q *question) gone(now, probe time.Time) bool {
	if q.kind == kindWhere || q.seeking {
		return true
	}
	if q.nobody.IsZero() || probe.Sub(q.probe) >= backWithin { // nobody has said anything since: a node may have had a subscription
		q.nobody = now
	}
	q.probe = probe
	return probe.Sub(q.nobody) >= backWithin
}

// answerHere ends a question for a player who has come to this node. It returns false if the player is not here.
func (f *Fleet) answerHere(id uint64, q *question) bool {
	var c *godwit.Conn
	if q.kind == kindAsk {
		c = f.askable(q.name)
	} else if here := f.named(q.name); q.kind == kindWhere && len(here) > 0 {
		c = here[len(here)-1]
	}
	if c == nil {
		return false
	}
	f.mu.Lock()
	over := f.forget(id) == nil
	f.mu.Unlock()
	switch {
	case over:
	case q.kind == kindWhere:
		p := placeOf(f.config.Name, c)
		q.over(p.append(nil), nil)
	case q.body == nil:
		q.over(nil, ErrFull)
	default:
		r := reader{b: q.body}
		r.string() // the name
		request := r.string()
		_, err := c.Ask(request, r.b, func(r session.Result) { q.done(r.Data, r.Err()) })
		if errors.Is(err, session.ErrClosed) {
			err = ErrNotHere
		}
		if err != nil {
			q.over(nil, err)
		}
	}
	return true
}
