package client

import (
	"context"
	"iter"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// An Event is something that happened to a session and that its SessionHandler has no func
// for. [Endpoint.Poll] yields it.
type Event struct {
	Type    session.EventType
	Session *Session            // nil with EventEnded
	Channel channel.ID          // of EventMessage, EventReceipt, EventChannel, EventChannelClosed and EventRoom
	Data    []byte              // of EventMessage; valid until the next event
	Request *session.Request    // of EventRequest; rejected at the next event unless answered or kept
	Message channel.MessageID   // of EventReceipt
	Fate    channel.Fate        // of EventReceipt
	Reason  session.CloseReason // of EventClose and EventRenewing
	Err     error               // of EventEnded

	from *sessioncore.Session // of EventChannelClosed: which session of Session has the channel
}

// Poll waits at most d for datagrams, timers or calls, processes them, runs the handlers,
// and yields the events of sessions that their SessionHandler has no func for. A game
// calls it in every frame, with a d of zero:
//
//	for ev := range endpoint.Poll(0) {
//		switch ev.Type {
//		case session.EventMessage:
//			...
//		}
//	}
//	... // the frame
//	endpoint.Flush()
//
// Poll returns after it has processed the first datagrams that arrived; see
// [github.com/godwit-rtc/godwit.Server.Poll], which works the same way. Poll needs
// Config.Manual, and only one goroutine may call it. Dial, Connect, Join and Close run the
// handlers, too, while they wait: with Manual call them on the goroutine that calls Poll.
// Events that come meanwhile, and that the handlers have no func for, are yielded by the next
// Poll.
//
// When the endpoint is closed or its socket has failed (Event.Err is session.ErrClosed),
// without Manual (session.ErrManual), and while another Poll or one of those calls runs
// (session.ErrInHandler), Poll yields session.EventEnded, whose Session is nil.
func (e *Endpoint) Poll(d time.Duration) iter.Seq[Event] {
	if !e.config.Manual {
		return func(yield func(Event) bool) { yield(endedEvent(session.ErrManual)) }
	}
	return e.polling.Poll(d, session.ErrInHandler)
}

// endedEvent is the event of a Poll that cannot work.
func endedEvent(err error) Event { return Event{Type: session.EventEnded, Err: err} }

// turns takes turns for at most d; see loop.Poll. When the loop has ended it runs the last
// handlers and returns ErrClosed.
func (e *Endpoint) turns(d time.Duration) error {
	if err := e.loop.Poll(d); err != nil {
		e.shutDown()
		return session.ErrClosed
	}
	return nil
}

// Flush sends the messages of sessions that are queued with Config.Manual. Without Manual
// messages leave by themselves, and the program need not call Flush.
func (e *Endpoint) Flush() { e.loop.Flush() }

// await waits until done is closed or ctx is done. If turns is set it takes the turns
// meanwhile; events that no handler gets are kept for the next Poll.
func (e *Endpoint) await(ctx context.Context, done <-chan struct{}, turns bool) error {
	if !turns {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !e.polling.Start() {
		return session.ErrInHandler // another goroutine takes the turns
	}
	defer e.polling.End()
	stop := context.AfterFunc(ctx, func() {
		e.loop.Lock()
		defer e.loop.Unlock()
		e.loop.Wake()
	})
	defer stop()
	for {
		select {
		case <-done:
			return nil
		default:
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e.turns(time.Hour) != nil {
			return e.await(ctx, done, false) // the endpoint has ended, which closes done, if it is not nil
		}
	}
}

// yielded ends an event that the body of a range over Poll has processed.
func yielded(ev Event) {
	if ev.Type == session.EventChannelClosed {
		ev.Session.channelDelivered(ev.from, ev.Channel)
	}
}

// Yield has Poll yield an event that a func of the SessionHandler was called for, as if there
// were no such func; see [github.com/godwit-rtc/godwit.Conn.Yield].
func (s *Session) Yield(ev Event) { s.yield(ev) }

// yield gives Poll an event that the SessionHandler has no func for. It returns false
// without Config.Manual: the program does not get the event.
func (s *Session) yield(ev Event) bool {
	if !s.endpoint.config.Manual {
		return false
	}
	ev.Session = s
	s.endpoint.polling.Yield(ev)
	return true
}

// keep copies the bytes of an event that the next Poll yields.
func keep(ev Event) Event {
	if ev.Data != nil {
		ev.Data = append([]byte{}, ev.Data...)
	}
	if ev.Request != nil {
		ev.Request = sessioncore.KeepRequest(ev.Request)
	}
	return ev
}
