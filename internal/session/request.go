package session

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/channel"
)

// A Status is what is known of a request that this end sent.
type Status uint8

// The statuses. From Responded on they are final.
const (
	Sending      Status = iota // the peer's link has not acknowledged it
	Waiting                    // the peer has it and has not answered
	Responded                  // it answered with bytes
	Acknowledged               // it answered: done
	Rejected                   // it answered: no
	SendFailed                 // the session ended, and the peer did not get it
	ResponseLost               // the session ended; the peer may have acted on it
)

var statusNames = [...]string{"sending", "waiting", "responded", "acknowledged", "rejected", "send failed", "response lost"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// call is a request of this end that waits.
type call struct {
	status  Status
	place   uint64 // among the control messages, from 0
	message channel.MessageID
}

// Request sends a request. Its result comes as an event, unless an error is returned.
func (s *Session) Request(now time.Time, name string, payload []byte) (uint32, error) {
	switch {
	case s.closing.begun:
		return 0, channel.ErrClosed
	case name == "" || len(name) > MaxName || !utf8.ValidString(name):
		return 0, ErrName
	case len(payload) > MaxPayload:
		return 0, ErrPayload
	case len(s.waiting) >= s.config.MaxWaiting:
		return 0, ErrTooMany
	}
	if !s.roomFor(len(payload)) {
		return 0, channel.ErrBudget
	}
	id := s.freeID()
	place := s.controls
	m, err := s.say(now, appendRequest(s.scratch[:0], id, name, payload), channel.Options{Receipt: true})
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

// freeID returns the next id that no request waits with.
func (s *Session) freeID() uint32 {
	id := s.lastID + 1
	for s.waiting[id] != nil || id == 0 {
		id++
	}
	return id
}

// Status returns what is known of a request, if it waits.
func (s *Session) Status(id uint32) (Status, bool) {
	if c := s.waiting[id]; c != nil {
		return c.status, true
	}
	return 0, false
}

// Forget makes the answer to a request of no interest. There is no result then.
func (s *Session) Forget(id uint32) {
	if c := s.waiting[id]; c != nil {
		delete(s.byReport, c.message)
		delete(s.waiting, id)
	}
}

// answered takes an answer.
func (s *Session) answered(f *frame) {
	if s.waiting[f.id] == nil {
		return
	}
	s.Forget(f.id)
	ev := Event{Type: EventResult, Request: f.id}
	switch f.kind {
	case typeReply:
		ev.Status, ev.Data = Responded, f.payload
	case typeAck:
		ev.Status = Acknowledged
	case typeReject:
		ev.Status, ev.Reason.Text = Rejected, string(f.payload)
	}
	s.emit(ev)
}

// loseRequests gives what waits its final status, in the order it was sent. Who asked
// waits for it, also if the session never opened.
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
		status := ResponseLost
		// The control channel is ordered, so messages leave in the order they
		// were queued, and the number that left tells which did.
		if waiting[id].place >= sent {
			status = SendFailed
		}
		s.emit(Event{Type: EventResult, Request: id, Status: status})
	}
}

// requested takes a request of the peer.
func (s *Session) requested(now time.Time, f *frame) {
	if !s.allow(now, channel.Control, len(f.payload)) {
		return
	}
	if s.serves(f.id) {
		s.fail(now, ProtocolError, "a request has the id of another that is unanswered")
		return
	}
	if n := s.config.Limits.Requests; n >= 0 && len(s.serving) >= n {
		s.stats.Refused++
		s.reject(now, f.id, "too many requests in flight")
		return
	}
	if s.serving == nil {
		s.serving = make(map[uint32]struct{})
	}
	s.serving[f.id] = struct{}{}
	s.emit(Event{Type: EventRequest, Request: f.id, Name: string(f.name), Data: f.payload})
}

// reject refuses a request. A peer that lets even refusals pile up is put out.
func (s *Session) reject(now time.Time, id uint32, text string) {
	b := append(appendNumbered(s.scratch[:0], typeReject, id), cut(text)...)
	if _, err := s.say(now, b, channel.Options{}); err != nil {
		s.fail(now, LimitRequests, "too many requests, and their answers are not taken")
	}
}

// Reply answers a request of the peer with bytes.
func (s *Session) Reply(now time.Time, id uint32, payload []byte) error {
	switch {
	case len(payload) > MaxPayload:
		return ErrPayload
	case s.serves(id) && !s.roomFor(len(payload)):
		return channel.ErrBudget
	}
	return s.answer(now, id, append(appendNumbered(s.scratch[:0], typeReply, id), payload...))
}

// maxOwn is how much of the control channel's queue, 256 KiB, requests and replies may
// take. The rest takes more than 64 rejections, which would else fail because of what
// the program itself has sent.
const maxOwn = 224 << 10

// roomFor reports whether the program may queue a request or a reply of n bytes.
func (s *Session) roomFor(n int) bool {
	return s.mux.ChannelStats(channel.Control).QueueBytes+n <= maxOwn
}

func (s *Session) serves(id uint32) bool {
	_, ok := s.serving[id]
	return ok
}

// Ack answers a request of the peer: done.
func (s *Session) Ack(now time.Time, id uint32) error {
	return s.answer(now, id, appendNumbered(s.scratch[:0], typeAck, id))
}

// Reject answers a request of the peer: no. It cannot fail for want of space, so it
// can be the answer when the others do.
func (s *Session) Reject(now time.Time, id uint32, text string) error {
	if !s.serves(id) {
		return ErrAnswered
	}
	delete(s.serving, id)
	s.reject(now, id, text)
	return nil
}

func (s *Session) answer(now time.Time, id uint32, b []byte) error {
	if !s.serves(id) {
		return ErrAnswered
	}
	if _, err := s.say(now, b, channel.Options{}); err != nil {
		return err
	}
	delete(s.serving, id)
	return nil
}
