package sessioncore

import (
	"bytes"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// call is a request of this end without an answer.
type call struct {
	status  session.Status
	place   uint64 // number of control messages sent before it
	message channel.MessageID
}

// Request sends a request and returns its id. If it returns no error, an EventResult
// follows.
func (s *Session) Request(now time.Time, name string, payload []byte) (uint32, error) {
	switch {
	case s.closing.begun:
		return 0, channel.ErrClosed
	case name == "" || len(name) > session.MaxName || !utf8.ValidString(name):
		return 0, session.ErrName
	case len(payload) > session.MaxRequest:
		return 0, session.ErrPayload
	case len(s.waiting) >= s.config.MaxWaiting:
		return 0, session.ErrTooMany
	}
	if !s.roomFor(len(payload)) {
		s.refuse(len(payload))
		return 0, channel.ErrBudget
	}
	id := s.freeID()
	place := s.controls
	m, err := s.sendControl(now, appendRequest(s.scratch[:0], id, name, payload), channel.Options{Receipt: true})
	if err != nil {
		return 0, err
	}
	if s.waiting == nil {
		s.waiting, s.byReport = make(map[uint32]*call), make(map[channel.MessageID]uint32)
	}
	s.lastID = id
	s.waiting[id] = &call{place: place, message: m}
	s.byReport[m] = id
	return id, nil
}

// freeID returns the next id that no waiting request has.
func (s *Session) freeID() uint32 {
	id := s.lastID + 1
	for s.waiting[id] != nil || id == 0 {
		id++
	}
	return id
}

// Status returns the status of a request without an answer, and false if there is no such
// request.
func (s *Session) Status(id uint32) (session.Status, bool) {
	if c := s.waiting[id]; c != nil {
		return c.status, true
	}
	return 0, false
}

// Forget drops a request of this end: no EventResult follows.
func (s *Session) Forget(id uint32) {
	if c := s.waiting[id]; c != nil {
		delete(s.byReport, c.message)
		delete(s.waiting, id)
	}
}

// receiveAnswer processes an answer of the peer.
func (s *Session) receiveAnswer(f *frame) {
	if s.waiting[f.id] == nil {
		return
	}
	s.Forget(f.id)
	ev := Event{Type: EventResult, Request: f.id}
	switch f.kind {
	case typeReply:
		ev.Status, ev.Data = session.StatusResponded, f.payload
	case typeAck:
		ev.Status = session.StatusAcknowledged
	case typeReject:
		ev.Status, ev.Reason.Text = session.StatusRejected, string(f.payload)
	}
	s.emit(ev)
}

// loseRequests emits the results of the requests without an answer, in the order in
// which they were sent, also if the session never opened.
func (s *Session) loseRequests() {
	waiting := s.waiting
	s.serving, s.byReport, s.waiting = nil, nil, nil
	if len(waiting) == 0 {
		return
	}
	sent := s.mux.ChannelStats(channel.Control).MessagesOut
	ids := make([]uint32, 0, len(waiting))
	for id := range waiting {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint32) int { return int(waiting[a].place) - int(waiting[b].place) })
	for _, id := range ids {
		status := session.StatusResponseLost
		// The control channel is ordered: its messages leave in the order of place, and
		// sent of them have left.
		if waiting[id].place >= sent {
			status = session.StatusSendFailed
		}
		s.emit(Event{Type: EventResult, Request: id, Status: status})
	}
}

// receiveRequest processes a request of the peer.
func (s *Session) receiveRequest(now time.Time, f *frame) {
	if !s.allow(now, channel.Control, len(f.payload)) {
		return
	}
	if s.serves(f.id) {
		s.fail(now, session.CloseProtocolError, "a request has the id of another request without an answer")
		return
	}
	if n := s.config.Limits.Requests; n >= 0 && len(s.serving) >= n {
		s.counts.rejected++
		s.reject(now, f.id, "too many requests in flight")
		return
	}
	if s.serving == nil {
		s.serving = make(map[uint32]struct{})
	}
	s.serving[f.id] = struct{}{}
	s.emit(Event{Type: EventRequest, Request: f.id, Name: string(f.name), Data: f.payload})
}

// reject sends a REJECT. If there is no room for it in the queue, it ends the session.
func (s *Session) reject(now time.Time, id uint32, text string) {
	b := append(appendNumbered(s.scratch[:0], typeReject, id), cut(text)...)
	if _, err := s.sendControl(now, b, channel.Options{}); err != nil {
		s.fail(now, session.CloseLimitRequests, "too many requests: there is no room to queue their rejections")
	}
}

// Answer answers a request of the peer: with the Data of a reply, an acknowledgement, or
// the Text of a rejection, as r.Status says.
func (s *Session) Answer(now time.Time, id uint32, r session.Result) error {
	switch r.Status {
	case session.StatusResponded:
		return s.Reply(now, id, r.Data)
	case session.StatusAcknowledged:
		return s.Ack(now, id)
	}
	return s.Reject(now, id, r.Text)
}

// Reply answers a request of the peer with bytes.
func (s *Session) Reply(now time.Time, id uint32, payload []byte) error {
	switch {
	case len(payload) > session.MaxRequest:
		return session.ErrPayload
	case s.serves(id) && !s.roomFor(len(payload)):
		s.refuse(len(payload))
		return channel.ErrBudget
	}
	return s.answer(now, id, append(appendNumbered(s.scratch[:0], typeReply, id), payload...))
}

// maxOwn is the part of the control channel's queue of 256 KiB that requests and
// replies of the program may use. The rest has room for more than 64 rejections, which
// would otherwise fail if the program has filled the queue.
const maxOwn = 224 << 10

// roomFor reports whether the program may queue a request or a reply of n bytes.
func (s *Session) roomFor(n int) bool {
	return s.mux.ChannelStats(channel.Control).QueueBytes+n <= maxOwn
}

// refuse notes that a request or a reply of n bytes was refused, for emitRoom.
func (s *Session) refuse(n int) { s.refused, s.wanted = true, n }

// emitRoom emits EventRoom if there is room again for a request or a reply that was
// refused.
func (s *Session) emitRoom() {
	if s.refused && !s.closing.begun && s.roomFor(s.wanted) {
		s.refused = false
		s.emit(Event{Type: EventRoom, Channel: channel.Control})
	}
}

func (s *Session) serves(id uint32) bool {
	_, ok := s.serving[id]
	return ok
}

// Ack answers a request of the peer: done.
func (s *Session) Ack(now time.Time, id uint32) error {
	return s.answer(now, id, appendNumbered(s.scratch[:0], typeAck, id))
}

// Reject answers a request of the peer: no. It never returns ErrBudget, so a program
// can call it when Reply does.
func (s *Session) Reject(now time.Time, id uint32, text string) error {
	if !s.serves(id) {
		return session.ErrAnswered
	}
	delete(s.serving, id)
	s.reject(now, id, text)
	return nil
}

func (s *Session) answer(now time.Time, id uint32, b []byte) error {
	if !s.serves(id) {
		return session.ErrAnswered
	}
	if _, err := s.sendControl(now, b, channel.Options{}); err != nil {
		return err
	}
	delete(s.serving, id)
	return nil
}

// KeepRequest keeps r, with a copy of its Data, for a Poll that yields r at the next call.
func KeepRequest(r *session.Request) *session.Request {
	data := bytes.Clone(r.Data)
	r.Keep()
	r.Data = data
	return r
}
