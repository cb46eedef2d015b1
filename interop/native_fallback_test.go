package interop

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// A nativeClient is a Go client in the browsers' namespace, and what it has received.
type nativeClient struct {
	t        testing.TB
	world    *webWorld
	endpoint *client.Endpoint
	session  *client.Session
	events   chan string
	came     chan nativeMessage
}

// A nativeMessage is one that a nativeClient has received.
type nativeMessage struct {
	channel channel.ID
	n       int // its number
	at      time.Time
}

func newNativeClient(t testing.TB) *nativeClient {
	t.Helper()
	p := &nativeClient{t: t, world: newWebWorld(t, nil, netsim.Link{Delay: oneWay}, allLinks),
		events: make(chan string, 16), came: make(chan nativeMessage, 4*endCount)}
	e, err := client.Serve(browser.ListenInside(t), client.Config{HTTP: browser.HTTPInside(t)})
	if err != nil {
		t.Fatal(err)
	}
	atEnd(t, "the end of the endpoint", e.Close)
	p.endpoint = e
	return p
}

// join opens a session and returns the server's end.
func (p *nativeClient) join() *godwit.Conn {
	p.t.Helper()
	began := time.Now()
	s, err := p.endpoint.Join(patient(p.t), p.world.url+"godwit/", client.SessionConfig{Channels: webTable, Handler: client.SessionHandler{
		Message: func(_ *client.Session, ch channel.ID, b []byte) {
			note(p.came, nativeMessage{ch, int(binary.BigEndian.Uint32(b)), time.Now()})
		},
		Interrupted: func(*client.Session) { note(p.events, "interrupted") },
		Resumed:     func(*client.Session) { note(p.events, "resumed") },
		Close:       func(_ *client.Session, why session.CloseReason) { note(p.events, why.String()) },
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("the session was open after %d ms", time.Since(began).Milliseconds())
	p.session = s
	return receive(p.t, p.world.conns, "the connection")
}

// send sends a message with a number.
func (p *nativeClient) send(n int) {
	p.t.Helper()
	id, _ := webTable.ID("chat")
	if err := p.session.Send(id, binary.BigEndian.AppendUint32(nil, uint32(n))); err != nil {
		p.t.Error(err)
	}
}

// waitLink waits until a link carries the session, and returns when.
func (p *nativeClient) waitLink(name string) time.Time {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for give := time.After(90 * time.Second); p.session.Link() != name; {
		select {
		case <-tick.C:
		case <-give:
			p.t.Fatalf("the session is on %s, want %s", p.session.Link(), name)
		}
	}
	return time.Now()
}

// fallsBackNative is fallsBack of a native client.
func fallsBackNative(t *testing.T) {
	p := newNativeClient(t)
	p.world.dropUDP()
	for i, which := range []string{"first", "second"} {
		c := p.join()
		if ours, theirs := p.session.Link(), c.Link(); ours != session.LinkWebSocket || theirs != session.LinkWebSocket {
			t.Errorf("the %s session is on %q and %q, want a WebSocket", which, ours, theirs)
		}
		p.send(i)
		if m := receive(t, p.came, "the echo"); m.n != i {
			t.Errorf("the echo is %d, want %d", m.n, i)
		}
		if which == "first" {
			p.session.Close(session.CloseNormal, "")
			receive(t, p.session.Done(), "the end of the session")
			receive(t, p.events, "the close")
		}
	}
	p.world.passUDP()
	p.waitLink(session.LinkWebRTC)
	p.send(2)
	if m := receive(t, p.came, "the echo"); m.n != 2 {
		t.Errorf("the echo is %d, want 2", m.n)
	}
	if len(p.events) > 0 {
		t.Errorf("the program was told %s, want nothing", <-p.events)
	}
}

// outlivesTheEndNative is outlivesTheEnd of a native client.
func outlivesTheEndNative(t testing.TB) endTimes {
	p := newNativeClient(t)
	pour := startPour(t, p.join(), endRate, endCount, "news")
	begun := time.Now()
	going := make(chan struct{})
	go func() {
		defer close(going)
		tick := time.NewTicker(time.Second / endRate)
		defer tick.Stop()
		for n := range endCount {
			<-tick.C
			p.send(n)
		}
	}()
	<-time.After(time.Second * endAfter / endRate)
	p.world.dropUDP()
	cut := time.Now()
	socket := p.waitLink(session.LinkWebSocket)
	<-time.After(endLasts - time.Since(cut))
	p.world.passUDP()
	returned := time.Now()
	back := p.waitLink(session.LinkWebRTC)
	receive(t, going, "the end of what the client sends")
	receive(t, pour.done, "the end of what the server sends")

	chat, _ := webTable.ID("chat")
	next := make(map[channel.ID]int)
	heard := time.Time{}
	for range 2 * endCount {
		m := receive(t, p.came, "a message")
		if m.n != next[m.channel] {
			t.Fatalf("message %d of channel %d has arrived, want %d", m.n, m.channel, next[m.channel])
		}
		next[m.channel]++
		if m.channel != chat && heard.IsZero() && pour.sent[m.n].After(cut) {
			heard = m.at
		}
	}
	if n := len(p.came); n > 0 {
		t.Errorf("%d messages came twice", n)
	}
	told := []string{}
	for len(p.events) > 0 {
		told = append(told, <-p.events)
	}
	if want := []string{"interrupted", "resumed"}; !slices.Equal(told, want) {
		t.Errorf("the program was told %v, want %v", told, want)
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	took := endTimes{ms(socket.Sub(cut)), ms(heard.Sub(cut)), ms(back.Sub(returned))}
	t.Logf("%v; %v in all", took, time.Since(begun).Round(time.Second))
	return took
}
