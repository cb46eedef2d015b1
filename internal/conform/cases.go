package conform

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Types of control messages: docs/SESSION.md, section 3.
const (
	typeHello = 1 + iota
	typeWelcome
	typeRequest
	typeReply
	typeAck
	typeReject
	typeHere
	typeOpen
	typeOpened
	typeShut
)

// A Case plays a server, and fails if the client does not do what it must.
type Case struct {
	Name string
	run  func(x *exam)
}

var cases = []Case{
	{"signaling/request", func(x *exam) {
		p := x.post("SESSION 1")
		for name, want := range map[string]string{"v": "1", "channels": tableHash(table)} {
			if got := p.query[name]; len(got) != 1 || got[0] != want {
				x.fail("SESSION 1", "parameter %s is %q, want %q", name, got, want)
			}
		}
		switch t := p.header.Get("Content-Type"); {
		case p.method != http.MethodPost:
			x.fail("SESSION 1", "the method is %s, want POST", p.method)
		case !strings.HasPrefix(t, "text/plain") && !strings.HasPrefix(t, "application/sdp"):
			x.fail("SESSION 1", "the Content-Type is %q, want text/plain", t)
		case !strings.Contains(p.body, "m=application"):
			x.fail("SESSION 1", "the body is no offer of a data channel: %.80q", p.body)
		}
		x.start()
	}},
	{"signaling/refused", func(x *exam) {
		x.answering(refusal(http.StatusConflict, `{"error":"the tables differ","code":"channels","channels":"1 other unreliable both 16384 65536\n"}`))
		x.post("SESSION 1")
		x.noPost(2*time.Second, "SESSION 1, Refusals", "though code channels means to stop", func(post) bool { return true })
	}},
	{"signaling/retry-after", func(x *exam) {
		x.answering(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "2")
			return refusal(http.StatusTooManyRequests, `{"error":"too many offers","code":"rate"}`)(w, r)
		})
		x.post("SESSION 1")
		x.noPost(1900*time.Millisecond, "SESSION 1, Refusals", "before the 2 s of Retry-After were over", func(post) bool { return true })
	}},
	{"opening/hello", func(x *exam) { x.start() }},
	{"opening/early", func(x *exam) {
		l := x.begin()
		x.say(l, chOrdered, "before WELCOME")
		l.silent(chOrdered, "SESSION 2", "though WELCOME has not come and the program must not hear of a message before")
		x.welcome(l)
		l.echo(chOrdered, "before WELCOME", "SESSION 2")
	}},
	{"opening/too-early", func(x *exam) {
		l := x.begin()
		for range 17 {
			l.sendAll(x.fragments(chOrdered, strings.Repeat("e", 16<<10)))
		}
		l.ends(19, "SESSION 2")
	}},
	{"packet/duplicate", func(x *exam) {
		l := x.start()
		l.echoOf(func() {
			b := x.whole(chUnreliable, "once").append(l.header(l.number(), false))
			l.sent++
			l.transmit(b)
			l.transmit(b)
		}, chUnreliable, "once", "PROTOCOL 3")
		l.silent(chUnreliable, "PROTOCOL 3", "though the packet had come before")
	}},
	{"packet/old", func(x *exam) {
		l := x.start()
		l.sent = 4999
		l.isAcked(l.send(ping()), "PROTOCOL 3")
		old := func(n uint64, text string) { l.transmit(x.whole(chUnreliable, text).append(l.header(n, false))) }
		old(5000-4096, "too old")
		l.silent(chUnreliable, "PROTOCOL 3", "though it is more than 4095 below the largest")
		l.echoOf(func() {
			l.isAcked(l.send(ping()), "PROTOCOL 3") // a number that has not been used, though acknowledgements use numbers too
			old(uint64(l.sent)-4095, "old")
		}, chUnreliable, "old", "PROTOCOL 3")
	}},
	{"packet/numbers", func(x *exam) {
		l := x.start()
		l.width = 1
		for range 400 {
			n := l.send(ping())
			if n%50 == 0 {
				l.isAcked(n, "PROTOCOL 3")
			}
		}
		l.isAcked(uint64(l.sent), "PROTOCOL 3")
		l.width = 4
		l.isAcked(l.send(ping()), "PROTOCOL 3")
	}},
	{"ack/soon", func(x *exam) {
		l := x.start()
		l.within(300*time.Millisecond, never)
		n, began := l.send(ping()), time.Now()
		l.isAcked(n, "PROTOCOL 4")
		if took := time.Since(began); took > 20*time.Millisecond+x.slack {
			x.fail("PROTOCOL 4", "a lone packet was acknowledged after %v, want within 20 ms (and -slack, %v)", took, x.slack)
		}
	}},
	{"ack/not-of-padding", func(x *exam) {
		l := x.start()
		l.noAck(func() { l.send(frame{kind: kindControl, channel: controlPadding}) }, "a packet of nothing but PADDING")
	}},
	{"ack/not-of-acks", func(x *exam) {
		l := x.start()
		l.noAck(func() {
			for range 3 {
				l.transmit(l.ackOnly())
			}
		}, "packets of nothing but acknowledgements")
	}},
	{"ack/ranges", func(x *exam) {
		l := x.start()
		sent, last := map[uint64]bool{}, uint64(0)
		for i := range 60 {
			if i%3 == 1 {
				l.sent++ // lost
				continue
			}
			last = l.send(ping())
			sent[last] = true
		}
		l.isAcked(last, "PROTOCOL 4")
		for n := range l.acked {
			if n > 0 && !sent[n] && n < last && n > last-50 {
				x.fail("PROTOCOL 4", "packet %d was acknowledged and had not been sent", n)
			}
		}
		for n := range sent {
			if n > last-30 && !l.acked[n] {
				x.fail("PROTOCOL 4", "packet %d arrived and is in no ack block", n)
			}
		}
	}},
	{"packet/malformed", malformed},
	{"frame/extension", func(x *exam) {
		l := x.start()
		l.echoOf(func() {
			l.send(frame{kind: kindControl, channel: 63, data: []byte("from a later version")}, x.whole(chUnreliable, "behind it"))
		}, chUnreliable, "behind it", "PROTOCOL 5")
	}},
	{"refused/unknown-channel", func(x *exam) { x.refuses(frame{kind: kindMessage, channel: 60, data: []byte("x")}) }},
	{"refused/bare", func(x *exam) { x.refuses(frame{kind: kindBare, channel: chOrdered, data: []byte("x")}) }},
	{"refused/message", func(x *exam) { x.refuses(frame{kind: kindMessage, channel: chUnreliable, data: []byte("x")}) }},
	{"refused/window", func(x *exam) {
		x.refuses(frame{kind: kindMessage, channel: chOrdered, id: 5000, data: []byte("x")})
	}},
	{"refused/size", func(x *exam) {
		x.refuses(frame{kind: kindFragment, channel: chUnreliable, total: 20000, data: make([]byte, pieceLen)})
	}},
	{"delivery/unreliable-fragments", func(x *exam) {
		l := x.start()
		text := strings.Repeat("0123456789", 500)
		l.echoOf(func() {
			for _, f := range slices.Backward(x.fragments(chUnreliable, text)) {
				l.send(f)
			}
		}, chUnreliable, text, "PROTOCOL 7")
	}},
	{"delivery/sequenced", func(x *exam) {
		l := x.start()
		send := func(id uint64, text string) {
			l.send(frame{kind: kindMessage, channel: chSequenced, id: id, data: []byte(text)})
		}
		next := uint64(5) // only a newer one is delivered if the one before was, and its echo was lost
		newer := func(text string) {
			l.echoOf(func() { send(next, text); next++ }, chSequenced, text, "PROTOCOL 7")
		}
		newer("five")
		send(3, "three")
		l.silent(chSequenced, "PROTOCOL 7", "though a newer one had been delivered")
		newer("nine")
	}},
	{"delivery/unordered", func(x *exam) {
		l := x.start()
		for _, id := range []uint64{2, 0, 2, 1, 0} {
			n := l.send(frame{kind: kindMessage, channel: chUnordered, id: id, data: fmt.Append(nil, id)})
			l.isAcked(n, "PROTOCOL 7: a repeated message is acknowledged")
		}
		for _, want := range []string{"2", "0", "1"} {
			l.echo(chUnordered, want, "PROTOCOL 7")
		}
		l.silent(chUnordered, "PROTOCOL 7", "though each message had been delivered")
	}},
	{"delivery/ordered", func(x *exam) {
		l := x.start()
		send := func(id uint64) {
			l.send(frame{kind: kindMessage, channel: chOrdered, id: id, data: fmt.Append(nil, id)})
		}
		send(2)
		send(1)
		l.silent(chOrdered, "PROTOCOL 7", "though message 0 has not come")
		send(0)
		for _, want := range []string{"0", "1", "2"} {
			l.echo(chOrdered, want, "PROTOCOL 7")
		}
	}},
	{"delivery/large", func(x *exam) {
		l := x.start()
		text := strings.Repeat("large message ", 4000)
		list := x.fragments(chOrdered, text)
		l.sendAll(list)
		for _, f := range list[:3] { // and again
			l.send(f)
		}
		l.echo(chOrdered, text, "PROTOCOL 5, 7")
	}},
	{"delivery/again", func(x *exam) {
		l := x.start()
		x.say(l, chOrdered, "warm")
		l.echo(chOrdered, "warm", "PROTOCOL 7")
		l.deaf = true
		x.say(l, chOrdered, "lost")
		l.echo(chOrdered, "lost", "PROTOCOL 7")
		times, id := 0, uint64(1)
		if !l.within(x.patience(), func() bool { times = x.seen(l, id); return times >= 2 }) {
			x.fail("PROTOCOL 7", "a reliable message that was not acknowledged came %d times, want it again and again", times)
		}
	}},
	{"requests/answers", func(x *exam) {
		l := x.start()
		x.say(l, control, request(1, "echo", "payload"))
		expectControl(x, l, typeReply, 1, "payload")
		x.say(l, control, request(2, "ack", ""))
		expectControl(x, l, typeAck, 2, "")
		x.say(l, control, request(3, "no such request", ""))
		if m := l.message(control, "SESSION 4"); m.data[0] != typeReject || binary.BigEndian.Uint32(m.data[1:]) != 3 {
			x.fail("SESSION 4", "a request that nobody answers must be rejected; %x came", m.data)
		}
	}},
	{"requests/stray-answer", func(x *exam) {
		l := x.start()
		x.say(l, control, "\x05\x00\x00\x03\xe7")
		x.say(l, control, "\x04\x00\x00\x03\xe7bytes")
		x.say(l, control, request(1, "echo", "still here"))
		expectControl(x, l, typeReply, 1, "still here")
	}},
	{"control/unknown-is-ignored", func(x *exam) {
		l := x.start()
		x.say(l, control, "\x81from a later version")
		x.say(l, control, request(1, "echo", "still here"))
		expectControl(x, l, typeReply, 1, "still here")
	}},
	{"control/unknown-is-an-error", func(x *exam) { x.closes("\x7f", 3) }},
	{"control/too-short", func(x *exam) { x.closes("\x03\x00\x00", 3) }},
	{"control/wrong-end", func(x *exam) { x.closes("\x01\x00\x00", 3) }},
	{"control/open", func(x *exam) {
		l := x.begin()
		if !x.supports(1) {
			panic(skipped("the client takes no channels at run time (SESSION 3)"))
		}
		x.welcome(l)
		x.openLate(l, "late", ordered)
		x.say(l, chLate, "on the new channel")
		l.echo(chLate, "on the new channel", "SESSION 3")
	}},
	{"control/shut", func(x *exam) {
		l := x.begin()
		if !x.supports(4) {
			panic(skipped("the client does not close channels at run time (SESSION 3)"))
		}
		x.welcome(l)
		for _, mode := range []string{ordered, unreliable, sequenced, ordered} { // one after the other, with the same number
			x.openLate(l, "late-"+mode, mode)
			late := l.number()
			l.sent = int64(late) // this packet comes late
			l.echoOf(func() { x.say(l, chLate, "on the new channel") }, chLate, "on the new channel", "SESSION 3")
			x.say(l, control, string([]byte{typeShut, chLate}))
			if m := l.message(control, "SESSION 3"); string(m.data) != string([]byte{typeShut, chLate}) {
				x.fail("SESSION 3", "SHUT for channel 5 must follow, %x came", m.data)
			}
			l.transmit(x.whole(chLate, "late").append(l.header(late, false)))
			l.isAcked(late, "SESSION 3: a late frame of a closed channel is ignored, and acknowledged")
			l.silent(chLate, "SESSION 3", "though the channel is closed")
			x.forget(chLate)
		}
		x.say(l, control, string([]byte{typeShut, chLate}))
		l.ends(3, "SESSION 3")
	}},
	{"close/heard", func(x *exam) {
		l := x.start()
		x.say(l, chOrdered, "warm")
		l.echo(chOrdered, "warm", "PROTOCOL 7")
		n := l.send(frame{kind: kindControl, channel: 32, data: []byte{5}}, frame{kind: kindControl, channel: controlClose, code: 1, data: []byte("out")})
		l.closed = &frame{} // the link may end now
		l.within(x.patience(), func() bool { return l.acked[n] })
		if !l.acked[n] {
			x.fail("PROTOCOL 8", "CLOSE was not acknowledged")
		}
		x.noPost(2*time.Second, "SESSION 5", "though a client begins no new session after code 1", post.resumes)
	}},
	{"silence/ping", func(x *exam) {
		l := x.start()
		l.within(300*time.Millisecond, never)
		l.pings = 0
		if !l.within(2*time.Second+x.slack, func() bool { return l.pings > 0 }) {
			x.fail("SESSION 6", "no PING within 2 s (and -slack, %v) of silence", x.slack)
		}
	}},
	{"resume/moves", func(x *exam) { x.resume(func(post) {}) }},
	{"resume/another-instance", func(x *exam) {
		x.afterFirst(refusal(http.StatusGone, `{"error":"not here","code":"resume","reason":"unknown","instance":"00000000000000aa"}`))
	}},
	{"resume/a-gate-answers", func(x *exam) {
		x.afterFirst(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<html>no such page</html>")
			return true
		})
	}},
	{"resume/a-page-with-200", func(x *exam) {
		x.afterFirst(func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, "<html>log in</html>")
			return true
		})
	}},
	{"resume/ended", func(x *exam) {
		l := x.start()
		x.say(l, chOrdered, "warm")
		l.echo(chOrdered, "warm", "PROTOCOL 7")
		x.drainPosts()
		x.answering(refusal(http.StatusGone, `{"error":"over","code":"resume","reason":"ended"}`))
		l.conn.Close("cut")
		if p := x.post("SESSION 7"); p.credentials() != x.resumeToken() {
			x.fail("SESSION 7", "the request shows %q, want %q", p.credentials(), x.resumeToken())
		}
		x.noPost(3*time.Second, "SESSION 1, Refusals", "though reason ended means that the session is over", post.resumes)
	}},
}

// malformed sends packets that are malformed behind a message that is not. The message
// must not count, so another one with its id is taken afterwards.
func malformed(x *exam) {
	l := x.start()
	bad := func() []byte {
		f := x.whole(chOrdered, "bad")
		x.next[chOrdered]-- // its id is free
		return f.append(nil)
	}
	for _, c := range []struct {
		what string
		tail []byte
	}{
		{"a reserved control kind", []byte{3}},
		{"a frame that is cut off", []byte{0xc1, 5, 'x'}},
		{"a varint longer than it needs", []byte{0xc1, 0x81, 0x00, 'x'}},
		{"a varint above 2^53-1", []byte{0x43, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0}},
		{"a BARE of more than 1024 bytes", append([]byte{0xc1, 0x81, 0x08}, make([]byte, 1025)...)},
		{"a FRAGMENT of a small message", append([]byte{0x84, 9, 0, 0x80, 0x08}, make([]byte, 1024)...)},
		{"a FRAGMENT past the end", append([]byte{0x84, 9, 2, 0x80, 0x10}, make([]byte, 1024)...)},
		{"a CLOSE whose text is no UTF-8", []byte{2, 0, 1, 0xff}},
	} {
		x.malformed(l, c.what, l.sendRaw(append(bad(), c.tail...)))
	}
	for _, c := range []struct {
		what   string
		change func(b []byte) []byte
	}{
		{"version 2", func(b []byte) []byte { b[0] = b[0]&15 | 2<<4; return b }},
		{"ranges without an ack block", func(b []byte) []byte { b[0] |= 8; return b }},
		{"an ack block of what was not sent", func(b []byte) []byte {
			b[0] |= 4
			never := uint16(l.expected + 1000)
			return append(append(append([]byte{}, b[:1+l.width]...), byte(never>>8), byte(never), 0, 0), b[1+l.width:]...)
		}},
	} {
		n := l.number()
		l.sent++
		l.transmit(c.change(append(l.header(n, false), bad()...)))
		x.malformed(l, c.what, n)
	}
}

// refuses sends a frame that goes with no channel, beside one that does. The client may
// drop the frame, or close the session for it.
func (x *exam) refuses(f frame) {
	l := x.start()
	n := l.send(f, x.whole(chUnordered, "beside"))
	m := l.send(ping())
	if !l.within(x.patience(), func() bool { return l.acked[m] || l.closed != nil }) {
		x.fail("PROTOCOL 4", "packet %d was not acknowledged", m)
	}
	l.within(300*time.Millisecond, func() bool { return l.closed != nil })
	switch {
	case l.closed != nil && l.closed.code != 3 && l.closed.code != 18:
		x.fail("SESSION 5", "the client closed with code %d; for a peer that breaks the protocol it is 3, or 18 for a size", l.closed.code)
	case l.closed == nil && l.acked[n]:
		x.fail("PROTOCOL 5", "a packet was acknowledged though a frame of it must be refused: %v", f)
	case l.closed == nil:
		l.echo(chUnordered, "beside", "PROTOCOL 5: a packet's other frames count")
	}
}

// malformed sees to it that packet n had no effect.
func (x *exam) malformed(l *link, name string, n uint64) {
	x.say(l, chOrdered, "good")
	l.echo(chOrdered, "good", "PROTOCOL 3: a packet that is malformed is ignored as a whole: "+name)
	l.isNotAcked(n, "PROTOCOL 3", "though it is malformed: "+name)
}

// refusal answers with a status and a body.
func refusal(status int, body string) answerer {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
		return true
	}
}

// request is a REQUEST.
func request(id uint32, name, payload string) string {
	b := binary.BigEndian.AppendUint32([]byte{typeRequest}, id)
	return string(b) + string(rune(len(name))) + name + payload
}

func expectControl(x *exam, l *link, typ byte, id uint32, payload string) {
	want := string(binary.BigEndian.AppendUint32([]byte{typ}, id)) + payload
	if m := l.message(control, "SESSION 4"); string(m.data) != want {
		x.fail("SESSION 4", "the answer is %x, want %x", m.data, want)
	}
}

// closes sends a control message that is an error.
func (x *exam) closes(text string, code uint64) {
	l := x.start()
	x.say(l, control, text)
	l.ends(code, "SESSION 3")
}

// supports reports whether HELLO has a bit of what the client supports.
func (x *exam) supports(bit byte) bool {
	rest := x.hello.data[3+binary.BigEndian.Uint16(x.hello.data[1:]):]
	return len(rest) > 0 && rest[0]&bit != 0
}

// openLate opens the channel chLate.
func (x *exam) openLate(l *link, name, mode string) {
	line := fmt.Sprintf("%d %s %s both 16384 65536", chLate, name, mode)
	if x.supports(2) {
		line += " 3 0 1"
	}
	x.extra = []string{mode}
	x.say(l, control, string(rune(typeOpen))+line)
	if m := l.message(control, "SESSION 3"); string(m.data) != string([]byte{typeOpened, chLate}) {
		x.fail("SESSION 3", "OPENED for channel %d must follow, %x came", chLate, m.data)
	}
}

// forget begins the ids of a channel again: it is closed.
func (x *exam) forget(channel int) {
	x.next[channel] = 0
	for key := range x.ids {
		if key[0] == uint64(channel) {
			delete(x.ids, key)
		}
	}
}

// seen counts the packets that carried a message of the ordered channel.
func (x *exam) seen(l *link, id uint64) int { return l.times[[2]uint64{chOrdered, id}] }

func (x *exam) drainPosts() {
	for len(x.posts) > 0 {
		<-x.posts
	}
}

// resume cuts the client's link with a message under way each way, and sees it go on.
func (x *exam) resume(check func(post)) {
	l := x.start()
	x.say(l, chOrdered, "zero")
	l.echo(chOrdered, "zero", "PROTOCOL 7")
	l.isAcked(l.send(ping()), "PROTOCOL 4")
	l.deaf = true
	x.say(l, chOrdered, "one")
	l.echo(chOrdered, "one", "PROTOCOL 7")
	delete(x.ids, [2]uint64{chOrdered, 1}) // our end forgets it: it was never acknowledged
	x.drainPosts()
	l.closed = &frame{}
	l.conn.Close("cut")

	p := x.post("SESSION 7")
	if p.credentials() != x.resumeToken() {
		x.fail("SESSION 7", "the request shows %q, want %q", p.credentials(), x.resumeToken())
	}
	check(p)
	l = x.link("SESSION 7")
	first, ok := l.next(x.patience())
	if !ok || first.truncated != 0 {
		x.fail("SESSION 7, PROTOCOL 8", "the first packet on the new link has number %d, want 0", first.truncated)
	}
	m := l.message(control, "SESSION 7")
	if string(m.data) != "\x07\x00\x00\x00\x01" {
		x.fail("SESSION 7", "the first control message on the new link is %x, want HERE with count 1", m.data)
	}
	x.welcome(l)
	if m := l.echo(chOrdered, "one", "SESSION 7: what was not acknowledged is sent again"); m.id != 1 {
		x.fail("SESSION 7", "the message that is sent again has id %d, want 1", m.id)
	}
	x.say(l, chOrdered, "two")
	l.echo(chOrdered, "two", "SESSION 7")
}

// afterFirst is resume, with the first attempt answered by something else.
func (x *exam) afterFirst(first answerer) {
	tried := 0
	x.answering(func(w http.ResponseWriter, r *http.Request) bool {
		if !(post{header: r.Header}).resumes() {
			return false
		}
		tried++
		return tried == 1 && first(w, r)
	})
	x.resume(func(post) {
		if p := x.post("SESSION 7: one more attempt while the grace time lasts"); p.credentials() != x.resumeToken() {
			x.fail("SESSION 7", "the second attempt shows %q, want %q", p.credentials(), x.resumeToken())
		}
	})
}
