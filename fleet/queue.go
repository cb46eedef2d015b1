package fleet

import (
	"time"

	"github.com/nats-io/nats.go"
)

// An op is something that the writing goroutine does with the connection to NATS. Handlers do not do it
// themselves: a call of nats.Conn waits while its socket takes nothing.
type op struct {
	subject string
	reply   string
	data    []byte        // the message to publish; nil for another op
	at      time.Time     // when data was queued
	sub     *subscription // to begin or, if end is true, to end
	end     bool
}

// A subscription is interest in a subject. Only the writing goroutine uses sub.
type subscription struct{ sub *nats.Subscription }

// outbox has what waits for the writing goroutine. Fleet.mu guards it.
type outbox struct {
	ops         []op
	spare       []op      // memory of the ops before
	beat        op        // what tells of this node; without data if there is nothing new
	looked      time.Time // when the writing goroutine, which owns it, looked for a beat
	msgs, bytes int       // messages that wait or are being written
	free        [][]byte
	wake        chan struct{} // holds a token if there are ops or a beat, or after Close
}

// beatLook is how often the writing goroutine looks for a beat while it writes messages.
const beatLook = 100 * time.Millisecond

// Limits of the memory that is used again.
const (
	maxFree    = 64
	maxFreeCap = 64 << 10
)

// buffer returns an empty buffer for the message of publish. f.mu is held.
func (f *Fleet) buffer() []byte {
	if n := len(f.out.free); n > 0 {
		b := f.out.free[n-1]
		f.out.free = f.out.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, 512)
}

// publish queues a message, whose bytes it owns from now on. It returns ErrClosed, ErrAway, ErrTooLarge or ErrFull if the
// message is dropped. f.mu is held.
func (f *Fleet) publish(subject, reply string, data []byte) error {
	switch o := &f.out; {
	case f.closed:
		return ErrClosed
	case f.away.Load():
		f.counts.Away++
		return ErrAway
	case len(data) > min(f.maxPayload+envelope, f.config.MaxPendingBytes): // there is never room for it
		return ErrTooLarge
	case o.msgs >= f.config.MaxPending || o.bytes+len(data) > f.config.MaxPendingBytes:
		f.counts.OutDropped++
		return ErrFull
	default:
		o.msgs++
		o.bytes += len(data)
		f.do(op{subject: subject, reply: reply, data: data, at: time.Now()})
		return nil
	}
}

// publishBeat queues what tells of this node, whose bytes it owns from now on. A beat has room of its own and no MaxDelay, and does not
// wait for the messages before it: a node that has more to say than NATS takes does not count as gone. It replaces a beat
// that still waits. f.mu is held.
func (f *Fleet) publishBeat(data []byte) {
	switch {
	case f.closed:
	case f.away.Load():
		f.counts.Away++
	default:
		f.out.beat = op{subject: f.beatSubject(), data: data}
		f.wakeWriter()
	}
}

// subscribe begins to receive the messages of a subject. f.mu is held.
func (f *Fleet) subscribe(subject string) *subscription {
	s := new(subscription)
	f.do(op{subject: subject, sub: s})
	return s
}

// unsubscribe ends a subscription; s may be nil. f.mu is held.
func (f *Fleet) unsubscribe(s *subscription) {
	if s != nil {
		f.do(op{sub: s, end: true})
	}
}

// do queues an op. After Close nobody takes ops: do drops them then. f.mu is held.
func (f *Fleet) do(o op) {
	if f.closed {
		return
	}
	f.out.ops = append(f.out.ops, o)
	f.wakeWriter()
}

func (f *Fleet) wakeWriter() {
	select {
	case f.out.wake <- struct{}{}:
	default:
	}
}

// write is the writing goroutine. It ends when Close has been called and everything is written.
func (f *Fleet) write() {
	for range f.out.wake {
		f.mu.Lock()
		ops := f.out.ops
		f.out.ops, f.out.spare = f.out.spare[:0], nil
		closed := f.closed
		f.mu.Unlock()
		var sent, sentBytes, old, away uint64
		msgs, bytes := 0, 0
		for i := range ops {
			o := &ops[i]
			switch {
			case o.data != nil:
				now := time.Now()
				if now.Sub(f.out.looked) >= beatLook {
					f.out.looked = now
					f.writeBeat(true)
				}
				msgs++
				bytes += len(o.data)
				if now.Sub(o.at) > f.config.MaxDelay {
					old++
				} else if err := f.put(o); err != nil {
					away++
				} else {
					sent++
					sentBytes += uint64(len(o.data))
				}
			case o.end:
				if o.sub.sub != nil {
					o.sub.sub.Unsubscribe()
				}
			default:
				o.sub.sub, _ = f.nc.ChanSubscribe(o.subject, f.in.arrived) // fails only if the connection is closed
			}
		}
		f.writeBeat(false) // after the subscription of appear
		f.mu.Lock()
		for i := range ops {
			f.recycle(ops[i].data)
		}
		f.out.msgs -= msgs
		f.out.bytes -= bytes
		clear(ops)
		f.out.spare = ops[:0]
		f.counts.Sent += sent
		f.counts.SentBytes += sentBytes
		f.counts.OutOld += old
		f.counts.Away += away
		f.mu.Unlock()
		if closed {
			return
		}
	}
}

// writeBeat gives NATS the beat that waits, if there is one. early says that messages which were queued before wait still: the last beat of a
// node that leaves does not overtake them.
func (f *Fleet) writeBeat(early bool) {
	f.mu.Lock()
	if early && f.closed {
		f.mu.Unlock()
		return
	}
	o := f.out.beat
	f.out.beat = op{}
	f.mu.Unlock()
	if o.data == nil {
		return
	}
	err := f.put(&o)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.counts.Away++
	} else {
		f.counts.Sent++
		f.counts.SentBytes += uint64(len(o.data))
	}
	f.recycle(o.data)
}

// recycle keeps the memory of a message for buffer; b may be nil. f.mu is held.
func (f *Fleet) recycle(b []byte) {
	if b != nil && cap(b) <= maxFreeCap && len(f.out.free) < maxFree {
		f.out.free = append(f.out.free, b)
	}
}

// put gives a message to nats.go, which copies it.
func (f *Fleet) put(o *op) error {
	if o.reply == "" {
		return f.nc.Publish(o.subject, o.data)
	}
	return f.nc.PublishRequest(o.subject, o.reply, o.data)
}

// inbox has the messages of other nodes that wait for the goroutine that processes them. Fleet.mu guards msgs and
// bytes.
type inbox struct {
	arrived chan *nats.Msg // from all subscriptions but that of beats, so that messages of one node stay in order
	beats   chan *nats.Msg // of the other nodes
	msgs    []*nats.Msg
	spare   []*nats.Msg // memory of the messages before
	waiting int         // messages that wait or are being processed
	bytes   int         // their bytes
	wake    chan struct{}
	mark    nats.Msg // of prove, in beats; only its address is used
}

// minArrived is the least capacity of inbox.arrived, which collect empties all the time.
const minArrived = 1024

// collect moves the messages that arrive to the inbox, or drops them if it is full. A channel of nats.go has no
// limit of bytes. What NATS says has twice the room: it ends questions.
func (f *Fleet) collect() {
	for {
		var m *nats.Msg
		select {
		case <-f.stop:
			return
		case m = <-f.in.arrived:
		}
		f.mu.Lock()
		for m != nil {
			room := 1
			if len(m.Data) == 0 && m.Header != nil {
				room = 2
			}
			f.counts.Received++
			f.counts.ReceivedBytes += uint64(len(m.Data))
			if f.in.waiting >= room*f.config.MaxPending || f.in.bytes+len(m.Data) > room*f.config.MaxPendingBytes {
				f.counts.InDropped++
			} else {
				f.in.msgs = append(f.in.msgs, m)
				f.in.waiting++
				f.in.bytes += len(m.Data)
			}
			select {
			case m = <-f.in.arrived:
			default:
				m = nil
			}
		}
		f.mu.Unlock()
		select {
		case f.in.wake <- struct{}{}:
		default:
		}
	}
}

// hearBeats is the goroutine that processes beats and the marks of prove. They do not wait for other messages: a node that cannot keep up with those,
// or that is held up by a func of the program, does not take the other nodes for gone.
func (f *Fleet) hearBeats() {
	for {
		select {
		case <-f.stop:
			return
		case m := <-f.in.beats:
			if m == &f.in.mark {
				f.heardAll()
				continue
			}
			f.mu.Lock()
			f.counts.Received++
			f.counts.ReceivedBytes += uint64(len(m.Data))
			f.mu.Unlock()
			f.receive(m)
		}
	}
}

// process is the goroutine that processes what other nodes send, in order.
func (f *Fleet) process() {
	for {
		select {
		case <-f.stop:
			return
		case <-f.in.wake:
		}
		f.mu.Lock()
		msgs := f.in.msgs
		f.in.msgs, f.in.spare = f.in.spare[:0], nil
		f.mu.Unlock()
		bytes := 0
		for _, m := range msgs {
			bytes += len(m.Data)
			f.receive(m)
		}
		f.mu.Lock()
		f.in.waiting -= len(msgs)
		f.in.bytes -= bytes
		clear(msgs)
		f.in.spare = msgs[:0]
		f.mu.Unlock()
	}
}

// receive processes a message of NATS.
func (f *Fleet) receive(n *nats.Msg) {
	m := message{subject: n.Subject, reply: n.Reply, body: n.Data}
	if len(n.Data) == 0 && n.Header.Get("Status") == "503" {
		f.handleNobody(m)
		return
	}
	if !m.parseHeader() {
		f.count(&f.counts.Malformed)
		return
	}
	if m.from == f.me {
		return // of this node's connection before the present one, which NATS took for another client
	}
	handle := handlers[m.kind]
	if handle == nil {
		f.count(&f.counts.Malformed)
		return
	}
	if !handle(f, m) {
		f.count(&f.counts.Malformed)
	}
}

// count adds one to a counter.
func (f *Fleet) count(n *uint64) {
	f.mu.Lock()
	*n++
	f.mu.Unlock()
}
