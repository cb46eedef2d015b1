package godwit

import (
	"github.com/godwit-rtc/godwit/internal/session"
)

// tell runs the handlers for the news. The caller has set Conn.telling.
func (c *Conn) tell() {
	for c.begun < len(c.news) {
		ev := &c.news[c.begun]
		c.begun++
		switch ev.Type {
		case session.EventOpen:
			c.hello = ev.Data
			c.server.open(c)
			c.event(Event{Type: OpenEvent})
			c.server.opened(c)
		case session.EventMessage:
			c.message(ev)
		case session.EventRequest:
			c.request(ev)
		case session.EventResult:
			q := c.answers[c.answered]
			c.answered++
			if q != nil {
				q.result(ev)
			}
		case session.EventReceipt:
			c.event(Event{Type: ReceiptEvent, Channel: ev.Channel, Message: ev.Message, Fate: ev.Fate})
		case session.EventChannel:
			c.event(Event{Type: ChannelEvent, Channel: ev.Channel})
		case session.EventInterrupted:
			c.server.log(c, "interrupted")
			c.server.away(c, true)
			c.event(Event{Type: InterruptedEvent})
		case session.EventResumed:
			c.server.log(c, "resumed", "remote", c.RemoteAddr())
			c.server.away(c, false)
			c.event(Event{Type: ResumedEvent})
		case session.EventNarrow:
			c.server.log(c, "the path takes no large packets", "limit", c.Stats().PacketLimit)
		case session.EventClosed:
			why := CloseReason(ev.Reason)
			c.server.closed(c, why)
			c.event(Event{Type: CloseEvent, Reason: why})
		}
	}
}

func (c *Conn) message(ev *session.Event) {
	if f := c.handler.Message; f != nil {
		f(c, ev.Channel, ev.Data)
		return
	}
	c.server.yield(c, Event{Type: MessageEvent, Channel: ev.Channel, Data: ev.Data})
}

func (c *Conn) request(ev *session.Event) {
	r := newRequest(c, ev)
	defer r.settle() // also if the handler panics
	if f := c.handler.Request; f != nil {
		f(c, r)
	} else {
		c.server.yield(c, Event{Type: RequestEvent, Request: r})
	}
}

// settle rejects a request that its handler has left without an answer.
func (r *Request) settle() {
	if !r.answer.Kept() {
		r.Reject("no answer")
	}
}

// event calls the handler's func for an event that is neither a message nor a request. If
// there is no func, Poll yields the event.
func (c *Conn) event(ev Event) {
	h := c.handler
	switch {
	case ev.Type == OpenEvent && h.Open != nil:
		h.Open(c)
	case ev.Type == ReceiptEvent && h.Receipt != nil:
		h.Receipt(c, ev.Message, ev.Fate)
	case ev.Type == ChannelEvent && h.Channel != nil:
		h.Channel(c, ev.Channel)
	case ev.Type == InterruptedEvent && h.Interrupted != nil:
		h.Interrupted(c)
	case ev.Type == ResumedEvent && h.Resumed != nil:
		h.Resumed(c)
	case ev.Type == CloseEvent && h.Close != nil:
		h.Close(c, ev.Reason)
	default:
		c.server.yield(c, ev)
	}
}
