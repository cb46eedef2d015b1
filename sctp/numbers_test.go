package sctp

import (
	"testing"
	"time"
)

// How far a leap goes, and how many go round all TSNs and beyond.
const (
	leap  = 1 << 29
	leaps = 20
)

// leapIn makes it as if leap messages had come.
func (a *testAssoc) leapIn() {
	a.rx.clear(a.rx.high - a.rx.base)
	a.rx.init(a.rx.high + leap)
	a.ack.windowTSN += leap
}

// leapOut makes it as if leap messages had been sent, and had arrived.
func (a *testAssoc) leapOut() {
	a.nextTSN += leap
	a.acked += leap
	a.topAcked += leap
}

// A page that loses nothing never says FORWARD-TSN, however far its TSNs go. What it
// gave up once, or that it never did, is no reason to drop what comes then.
func TestFragmentsLongAfterTheLastForward(t *testing.T) {
	for name, given := range map[string]bool{"never": false, "once": true} {
		t.Run(name, func(t *testing.T) {
			a := newTestAssoc(t, eager)
			a.use()
			if given {
				a.write(forward(a.rx.cum + 3))
			}
			for i := range leaps {
				for near := range uint32(3) { // around the leap's end
					tsn := a.rx.cum + 1
					a.write(frag(flagBegin|unordered, tsn, "who"), frag(unordered, tsn+1, "l"))
					a.write(frag(flagEnd|unordered, tsn+2, "e"))
					if len(a.events) != 1 {
						t.Fatalf("leap %d, message %d: %d delivered of 1; drops %v", i, near, len(a.events), a.Stats().Drops)
					}
					a.wantMessage("whole", 1, Text, "whole")
				}
				a.leapIn()
			}
			a.wantDrops("nothing was given up", dropForwarded, 0)
		})
	}
}

// A FORWARD-TSN after a long time without one is news: it ends incomplete messages,
// and moves ordered streams on.
func TestForwardLongAfterTheLast(t *testing.T) {
	a := newTestAssoc(t, allowReliable)
	a.write(openChunk(1, 1, channelRetransmits, 1, "ordered, unreliable"))
	a.write(unreliableOpen(2, 3, "fast"))
	a.events = nil
	for i := range uint16(leaps) {
		tsn, ssn := a.rx.cum+1, 1+2*i
		a.write(rawData(flagBegin|unordered, tsn, 3, 0, ppidText, "half"))
		a.write(rawData(flagWhole, tsn+3, 1, ssn+1, ppidText, "second"))
		a.wantNoEvent("the first is missing")
		dropped := a.Stats().Drops[dropForwarded]
		a.write(forward(tsn+2, 1, ssn))
		a.wantMessage("the first was given up", 1, Text, "second")
		a.wantDrops("and the half message", dropForwarded, dropped+1)
		for range 6 { // more than half of all TSNs, in steps as small as messages take
			a.leapIn()
			a.write(text(a.rx.cum+1, "x"))
			a.events = nil
		}
	}
}

// The TSN up to which we gave up messages does not end the samples of the round trip
// when it is half of all TSNs behind, nor later.
func TestSamplesLongAfterTheLastForward(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	for i := range leaps {
		a.rtt = 0
		a.send(1, Text, "x")
		a.now = a.now.Add(50 * time.Millisecond)
		a.ackAll()
		if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
			t.Fatalf("leap %d: the round trip is %v", i, rtt)
		}
		a.leapOut()
	}
}

// A SACK that our FORWARD-TSN made the page send is no sample, near the wrap either.
func TestForwardIsNoSampleAcrossTheWrap(t *testing.T) {
	for d := range uint32(6) {
		a := newTestAssoc(t, func(c *Config) { c.InitialTSN, c.RTT = -d, 50*time.Millisecond })
		a.use()
		a.send(1, Text, "lost")
		a.pass(time.Second) // nothing is heard, so it is given up
		if len(a.drain()) == 0 {
			t.Fatal("no FORWARD-TSN")
		}
		a.ackAll()
		if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
			t.Errorf("the first TSN is %d before the wrap: the round trip is %v", d, rtt)
		}
	}
}
