package godwit

import (
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// deliver runs the handlers for the news. The caller has set Conn.delivering.
func (c *Conn) deliver() {
	for c.begun < len(c.news) {
		ev := &c.news[c.begun]
		c.begun++
		switch ev.Type {
		case sessioncore.EventOpen:
			c.hello = ev.Data
			c.server.addOpen(c)
			c.deliverEvent(Event{Type: session.EventOpen})
			c.server.endIfShutdown(c)
		case sessioncore.EventMessage:
			c.deliverMessage(ev)
		case sessioncore.EventRequest:
			c.deliverRequest(ev)
		case sessioncore.EventResult:
			q := c.answers[c.answered]
			c.answered++
			if q != nil {
				q.result(ev)
			}
		case sessioncore.EventReceipt:
			c.deliverEvent(Event{Type: session.EventReceipt, Channel: ev.Channel, Message: ev.Message, Fate: ev.Fate})
		case sessioncore.EventChannel:
			c.deliverEvent(Event{Type: session.EventChannel, Channel: ev.Channel})
		case sessioncore.EventChannelClosed:
			c.deliverChannelClosed(ev.Channel)
		case sessioncore.EventRoom:
			c.deliverEvent(Event{Type: session.EventRoom, Channel: ev.Channel})
		case sessioncore.EventInterrupted:
			c.server.log(c, "interrupted")
			c.server.setAway(c, true)
			c.deliverEvent(Event{Type: session.EventInterrupted})
		case sessioncore.EventResumed:
			c.server.log(c, "resumed", "remote", c.RemoteAddr())
			c.server.setAway(c, false)
			c.deliverEvent(Event{Type: session.EventResumed})
		case sessioncore.EventNarrow:
			c.server.log(c, "the path takes no large packets", "limit", c.Stats().PacketLimit)
		case sessioncore.EventClosed:
			why := ev.Reason
			c.closeDelivered = true
			c.server.removeOpen(c, why)
			c.deliverEvent(Event{Type: session.EventClose, Reason: why})
		}
	}
}

// deliverChannelClosed tells the program that a channel is closed. The number of the channel
// is free when the handler, or the body of a range over Poll, has returned or panicked.
func (c *Conn) deliverChannelClosed(ch ChannelID) {
	if f := c.handler.ChannelClosed; f != nil {
		defer c.channelDelivered(ch)
		f(c, ch)
	} else if !c.server.yield(c, Event{Type: session.EventChannelClosed, Channel: ch}) {
		c.channelDelivered(ch)
	}
}

func (c *Conn) channelDelivered(ch ChannelID) {
	a := c.acquire()
	defer c.release(a)
	c.session.ChannelDelivered(ch)
}

func (c *Conn) deliverMessage(ev *sessioncore.Event) {
	if f := c.handler.Message; f != nil {
		f(c, ev.Channel, ev.Data)
		return
	}
	c.server.yield(c, Event{Type: session.EventMessage, Channel: ev.Channel, Data: ev.Data})
}

func (c *Conn) deliverRequest(ev *sessioncore.Event) {
	id := ev.Request
	answer := func(r Result) error { return c.answer(id, r) }
	session.HandleRequest(ev.Name, ev.Data, answer, func(r *Request) {
		if f := c.handler.Request; f != nil {
			f(c, r)
		} else {
			c.server.yield(c, Event{Type: session.EventRequest, Request: r})
		}
	})
}

// deliverEvent calls the handler's func for an event that is neither a message nor a request. If
// there is no func, Poll yields the event.
func (c *Conn) deliverEvent(ev Event) {
	h := c.handler
	switch {
	case ev.Type == session.EventOpen && h.Open != nil:
		h.Open(c)
	case ev.Type == session.EventReceipt && h.Receipt != nil:
		h.Receipt(c, ev.Message, ev.Fate)
	case ev.Type == session.EventChannel && h.Channel != nil:
		h.Channel(c, ev.Channel)
	case ev.Type == session.EventRoom && h.Room != nil:
		h.Room(c, ev.Channel)
	case ev.Type == session.EventInterrupted && h.Interrupted != nil:
		h.Interrupted(c)
	case ev.Type == session.EventResumed && h.Resumed != nil:
		h.Resumed(c)
	case ev.Type == session.EventClose && h.Close != nil:
		h.Close(c, ev.Reason)
	default:
		c.server.yield(c, ev)
	}
}
