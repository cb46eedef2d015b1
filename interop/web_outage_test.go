package interop

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// Traffic between a page and a server through an outage: the page sends 60 messages a second on each of three channels
// and gets their echoes; the server sends 30 a second on each of three other channels.
const (
	outageRate = 60
	pourRate   = 30
	outageSize = 200
	stale      = 250 * time.Millisecond // an unreliable message that is older must not arrive after an outage

	outageDrain = 2 * time.Minute // time for the messages that must still arrive; a busy machine is slow
)

// TestClientOutlivesOutages interrupts the link between pages and servers that exchange messages. Reliable messages must
// arrive once and in order; unreliable messages must not arrive when they are stale.
func TestClientOutlivesOutages(t *testing.T) {
	t.Parallel()
	for _, o := range []struct {
		name string
		slow bool
		run  func(t *testing.T, kind browser.Kind)
	}{
		{name: "blackout of 6 s", run: func(t *testing.T, kind browser.Kind) { blackout(t, kind, 6*time.Second) }},
		{name: "blackout of 20 s", slow: true, run: func(t *testing.T, kind browser.Kind) { blackout(t, kind, 20*time.Second) }},
		{name: "cut in the middle", run: cutInTheMiddle},
		{name: "freeze of 20 s", slow: true, run: freeze},
		{name: "hidden for 20 s", slow: true, run: hidden},
	} {
		for _, kind := range browser.Kinds {
			t.Run(o.name+"/"+string(kind), func(t *testing.T) {
				if o.slow {
					slow(t)
				}
				t.Parallel()
				o.run(t, kind)
			})
		}
	}
}

// blackout interrupts the link for d, 2 s after the beginning.
func blackout(t *testing.T, kind browser.Kind, d time.Duration) {
	w := newWebWorld(t, browser.Start(t, kind), netsim.Link{Delay: oneWay})
	p := w.tab()
	talk := startTalk(p, w, 4*time.Second+d)
	p.do(`await until(Infinity, () => performance.now() - begun > 2000);`, nil, nil)
	talk.check(talk.during(w.blackout(d)))
	if log := p.log(); len(log) < 2 || log[0].Type != "interrupted" || log[1].Type != "resumed" {
		t.Errorf("the page was told %v, want interrupted, then resumed", log)
	}
}

// blackout is for during: the relay loses everything for d.
func (w *webWorld) blackout(d time.Duration) func() (from, to time.Time) {
	return func() (from, to time.Time) {
		before := time.Now()
		w.relay.BlackoutFor(d)
		from = time.Now()
		<-time.After(d)
		return from, before.Add(d)
	}
}

// cutInTheMiddle interrupts the link for 10 s when 300 of the server's 1,000 reliable messages have arrived, and about
// as many of the page's.
func cutInTheMiddle(t *testing.T, kind browser.Kind) {
	const count = 1000
	w := newWebWorld(t, browser.Start(t, kind), netsim.Link{Delay: oneWay})
	p := w.tab()
	p.do(`await join(); window.begun = performance.now(); listen(["news"], arg.size); window.going = exchange(arg);`, map[string]any{
		"channels": []string{"chat"}, "rate": 100, "size": outageSize, "count": count, "drain": outageDrain.Milliseconds(),
	}, nil)
	pour := startPour(t, receive(t, w.conns, "the connection"), 100, count, "news")
	p.do(`await until(Infinity, () => heard[0].seen.size >= 300);`, nil, nil)
	w.relay.BlackoutFor(10 * time.Second)

	var got []exchanged
	p.doWithin(time.Minute+outageDrain, `return await going;`, nil, &got)
	receive(t, pour.done, "the end of what the server sends")
	var news []exchanged
	p.doWithin(outageDrain+patience, `
		await until(arg.drain, () => heard[0].seen.size >= arg.count);
		return heard.map((b) => b.result());`, map[string]any{"count": count, "drain": outageDrain.Milliseconds()}, &news)
	news[0].Sent = len(pour.sent)
	for _, e := range append(got, news...) {
		t.Logf("%-5s %d sent, %d came", e.Name, e.Sent, e.Echoed)
		e.check(t)
		if e.Sent != count {
			t.Errorf("%s: %d were sent, want %d", e.Name, e.Sent, count)
		}
	}
	t.Log(p.log())
}

// freeze stops the browser for 20 s, in which the server goes on.
func freeze(t *testing.T, kind browser.Kind) {
	b := browser.Own(t, kind)
	w := newWebWorld(t, b, netsim.Link{Delay: oneWay})
	p := w.tab()
	talk := startTalk(p, w, 24*time.Second)
	p.do(`await until(Infinity, () => performance.now() - begun > 2000);`, nil, nil)
	out := talk.during(func() (from, to time.Time) { return b.FreezeFor(t, 20*time.Second) })
	talk.check(out)
	t.Log(p.log())
}

// hidden puts another tab in front for 20 s. The page's timers then fire once a second; the connection stays open.
func hidden(t *testing.T, kind browser.Kind) {
	w := newWebWorld(t, browser.Own(t, kind), netsim.Link{Delay: oneWay})
	p := w.tab()
	talk := startTalk(p, w, 20*time.Second)
	p.Hide()
	talk.check(outage{})
	// The test is valid only if the browser has delayed the timers.
	var ticks int
	p.do(`let n = 0;
		for (const stop = performance.now() + 3000; performance.now() < stop; n++) await pause(10);
		return n;`, nil, &ticks)
	if ticks > 10 {
		t.Errorf("a timer of 10 ms ran %d times in 3 s of a hidden page, want at most 10", ticks)
	}
	if log := p.log(); len(log) > 0 {
		t.Errorf("the page was told %v while it was hidden, want nothing", log)
	}
}

// logged is an event of the page's connection.
type logged struct {
	Type string
	At   float64 // ms since the page began to talk
}

func (p *tab) log() []logged {
	p.t.Helper()
	var log []logged
	p.do(`return conn.log.map(({ type, at }) => ({ type, at: Math.round(at - begun) }));`, nil, &log)
	return log
}

// A pour sends numbered messages of a server on some channels, in the format of a Book.
type pour struct {
	sent  []time.Time // by number
	since time.Time   // zero of the times in the messages
	done  chan struct{}
}

// startPour sends count messages, rate a second, or as many as the test leaves time for.
func startPour(t testing.TB, c *godwit.Conn, rate, count int, channels ...string) *pour {
	p := &pour{since: time.Now(), done: make(chan struct{})}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	go func() {
		defer close(p.done)
		defer tick.Stop()
		for n := range count {
			select {
			case now := <-tick.C:
				p.sent = append(p.sent, now)
			case <-t.Context().Done():
				return
			}
			for _, name := range channels {
				id, _ := webTable.ID(name)
				c.Send(id, p.message(n)) // unreliable messages get an error while the session is interrupted
			}
		}
	}()
	return p
}

// message returns a message as Book.write of web_page.js makes it.
func (p *pour) message(n int) []byte {
	b := make([]byte, outageSize)
	for i := range b {
		b[i] = byte(n*31 + i*7)
	}
	binary.BigEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint64(b[4:], math.Float64bits(p.ms(p.sent[n])))
	return b
}

func (p *pour) ms(at time.Time) float64 { return at.Sub(p.since).Seconds() * 1000 }

// A talk is a page and a server that exchange messages.
type talk struct {
	*tab
	pour *pour
}

func startTalk(p *tab, w *webWorld, d time.Duration) *talk {
	p.do(`await join();
		window.begun = performance.now();
		listen(["sparks", "world", "news"], arg.size);
		window.going = exchange(arg);`, map[string]any{
		"channels": []string{"effects", "positions", "chat"},
		"rate":     outageRate, "size": outageSize, "count": int(d.Seconds() * outageRate), "drain": outageDrain.Milliseconds(),
	}, nil)
	c := receive(p.t, w.conns, "the connection")
	return &talk{p, startPour(p.t, c, pourRate, int(d.Seconds()*pourRate), "sparks", "world", "news")}
}

// An outage is a time in which no message can have arrived, in ms of both ends' clocks.
type outage struct{ pageFrom, pageTo, serverFrom, serverTo float64 }

// during runs f, which returns a time in which the outage lasted, from soon after its beginning to its end.
func (k *talk) during(f func() (from, to time.Time)) outage {
	var page float64
	before := time.Now()
	k.do(`return performance.now();`, nil, &page)
	after := time.Now()
	from, to := f()
	// Both clocks are of one machine. The page's clock was read at some time between before and after, so the computed
	// outage is shorter than the true one by that time.
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	return outage{
		pageFrom: page + ms(from.Sub(before)), pageTo: page + ms(to.Sub(after)),
		serverFrom: k.pour.ms(from), serverTo: k.pour.ms(to),
	}
}

// finish waits for the end, and returns the figures of the page's echoes and of the server's messages.
func (k *talk) finish() (echoes, heard []exchanged) {
	k.t.Helper()
	k.doWithin(time.Minute+outageDrain, `return await going;`, nil, &echoes)
	receive(k.t, k.pour.done, "the end of what the server sends")
	k.doWithin(outageDrain+patience, `
		await until(arg.drain, () => heard[2].seen.size >= arg.count);
		return heard.map((b) => b.result());`, map[string]any{"count": len(k.pour.sent), "drain": outageDrain.Milliseconds()}, &heard)
	for i := range heard {
		heard[i].Sent = len(k.pour.sent)
	}
	return echoes, heard
}

// check waits for the end and compares everything that has arrived with the guarantees.
func (k *talk) check(o outage) {
	k.t.Helper()
	echoes, heard := k.finish()
	for _, e := range echoes {
		k.t.Logf("%-9s %s, %d refused while interrupted", e.Name, e.figures(), e.Refused)
		e.check(k.t)
		e.checkFresh(k.t, o.pageFrom, o.pageTo)
	}
	for _, e := range heard {
		k.t.Logf("%-9s %d of %d came", e.Name, e.Echoed, e.Sent)
		e.check(k.t)
		e.checkFresh(k.t, o.serverFrom, o.serverTo)
	}
}

// checkFresh looks for unreliable messages that arrived although they were sent too long before the end of an outage.
func (e exchanged) checkFresh(t testing.TB, from, to float64) {
	t.Helper()
	id, _ := webTable.ID(e.Name)
	if webTable[id-1].Mode >= godwit.ReliableUnordered {
		return
	}
	old, oldest := 0, 0.0
	for _, c := range e.Came {
		if at := c[0]; at > from && at < to-float64(stale.Milliseconds()) {
			old, oldest = old+1, max(oldest, to-at)
		}
	}
	if old > 0 {
		t.Errorf("%s: %d stale messages came after the outage, want 0; one was %.0f ms too old", e.Name, old, oldest)
	}
}
