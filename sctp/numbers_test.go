package sctp

import (
	"testing"
	"time"
)

// How many TSNs one leap has, and how many leaps are more than all TSNs.
const (
	leap  = 1 << 29
	leaps = 20
)

// leapIn changes the state as if leap messages had been received.
func (a *testAssoc) leapIn() {
	a.rx.clear(a.rx.high - a.rx.base)
	a.rx.init(a.rx.high + leap)
	a.ack.windowTSN += leap
}

// leapOut changes the state as if leap messages had been sent and acknowledged.
func (a *testAssoc) leapOut() {
	a.nextTSN += leap
	a.acked += leap
	a.topAcked += leap
}

// A page that loses nothing sends no FORWARD-TSN, however many TSNs it uses. A FORWARD-TSN long
// ago, or none, must not cause drops of later messages.
func TestFragmentsLongAfterTheLastForward(t *testing.T) {
	for name, given := range map[string]bool{"never": false, "once": true} {
		t.Run(name, func(t *testing.T) {
			a := newTestAssoc(t, eager)
			a.use()
			if given {
				a.write(forward(a.rx.cum + 3))
			}
			for i := range leaps {
				for near := range uint32(3) { // around the end of the leap
					tsn := a.rx.cum + 1
					a.write(frag(flagBegin|unordered, tsn, "who"), frag(unordered, tsn+1, "l"))
					a.write(frag(flagEnd|unordered, tsn+2, "e"))
					if len(a.events) != 1 {
						t.Fatalf("leap %d, message %d: %d messages are delivered, want 1; drops %v", i, near, len(a.events), a.Stats().Drops)
					}
					a.wantMessage("whole", 1, Text, "whole")
				}
				a.leapIn()
			}
			a.wantDrops("nothing was given up", dropForwarded, 0)
		})
	}
}

// The first FORWARD-TSN after a long time has its usual effect: it ends incomplete messages,
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
		for range 6 { // more than half of all TSNs, with a message after each leap
			a.leapIn()
			a.write(text(a.rx.cum+1, "x"))
			a.events = nil
		}
	}
}

// The TSN of the last FORWARD-TSN that was sent must not stop the measurement of the round
// trip, also when more than half of all TSNs were used since.
func TestSamplesLongAfterTheLastForward(t *testing.T) {
	a := newTestAssoc(t)
	a.use()
	for i := range leaps {
		a.rtt = 0
		a.send(1, Text, "x")
		a.now = a.now.Add(50 * time.Millisecond)
		a.ackAll()
		if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
			t.Fatalf("leap %d: the round trip is %v, want 50 ms", i, rtt)
		}
		a.leapOut()
	}
}

// A SACK that answers a FORWARD-TSN does not measure the round trip, also near the wrap.
func TestForwardIsNoSampleAcrossTheWrap(t *testing.T) {
	for d := range uint32(6) {
		a := newTestAssoc(t, func(c *Config) { c.InitialTSN, c.RTT = -d, 50*time.Millisecond })
		a.use()
		a.send(1, Text, "lost")
		a.pass(time.Second) // no SACK arrives, so the message is given up
		if len(a.drain()) == 0 {
			t.Fatal("no FORWARD-TSN is sent")
		}
		a.ackAll()
		if rtt := a.Stats().RTT; rtt != 50*time.Millisecond {
			t.Errorf("the first TSN is %d before the wrap: the round trip is %v, want 50 ms", d, rtt)
		}
	}
}
