package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// longestSearch limits the search for the MTU. A server waits 10 s for a handshake, which does not come, and
// then answers no more checks.
const longestSearch = 5 * time.Second

// ended is the advice if checks are not answered any more.
const ended = "look at the firewalls on the way, and at the network of this machine: something has ended UDP after the first datagrams"

const (
	spacing = 20 * time.Millisecond // between the checks of measure

	// muchLoss is the share of lost checks that players notice.
	muchLoss = 0.03

	// Bytes of UDP payload that the packets of channels need, and a plain datagram of 1160 bytes
	// (README).
	channelPayload  = 1141
	datagramPayload = 1225

	ethernet = 1500 // the largest MTU that is tried, in bytes
	minMTU   = 1280 // the least MTU of IPv6; every path of IPv4 should have it, too
	mtuStep  = 4    // lengths of STUN messages are multiples of 4
)

// measure measures the path to a target that answers.
func (v *visit) measure(ctx context.Context, p *prober, t *target) {
	p.mu.Lock()
	begin := len(t.shots)
	p.mu.Unlock()
	for range v.config.Checks {
		p.send(t, 0)
		if !pause(ctx, spacing) {
			return
		}
	}
	p.await(ctx, v.config.Wait, func() bool { return !slices.ContainsFunc(t.shots[begin:], unanswered) })
	p.mu.Lock()
	shots := slices.Clone(t.shots[begin:])
	s := summarize(shots)
	mapped := mappings(t.shots)
	p.mu.Unlock()
	v.mapped = mapped[len(mapped)-1]
	v.judgeSource(t, mapped)
	if s.answered == 0 {
		v.fail("trip", FaultLoss, ended, "the server has answered at first, but none of %d further checks", s.sent)
		return
	}
	v.report(Result{Check: "trip", Text: fmt.Sprintf("%s for the round trip (%s to %s)", brief(s.median), brief(s.min), brief(s.max)),
		Data: map[string]any{"median": ms(s.median), "min": ms(s.min), "max": ms(s.max)}})
	v.judgeLoss(s)
	v.measureMTU(ctx, p, t, s.median)
}

// pause waits, and returns false if ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func unanswered(s *shot) bool { return s.trip == 0 }
func answered(s *shot) bool   { return s.trip > 0 }

// A summary has the figures of many checks.
type summary struct {
	sent, answered   int
	min, median, max time.Duration
}

func summarize(shots []*shot) summary {
	s := summary{sent: len(shots)}
	var trips []time.Duration
	for _, one := range shots {
		if one.trip > 0 {
			trips = append(trips, one.trip)
		}
	}
	if s.answered = len(trips); s.answered > 0 {
		slices.Sort(trips)
		s.min, s.median, s.max = trips[0], trips[len(trips)/2], trips[len(trips)-1]
	}
	return s
}

// mappings returns the addresses of this end in the answers, without repetitions in a row.
func mappings(shots []*shot) (all []netip.AddrPort) {
	for _, s := range shots {
		if s.trip > 0 && (len(all) == 0 || all[len(all)-1] != s.mapped) {
			all = append(all, s.mapped)
		}
	}
	return all
}

// judgeSource compares the address of this machine with the one that the server sees.
func (v *visit) judgeSource(t *target, mapped []netip.AddrPort) {
	local, now := t.local, mapped[len(mapped)-1]
	switch {
	case len(mapped) > 1:
		v.warn("source", FaultNAT, "look at the router or VPN between; a session follows each change, but a datagram under way may be lost", "the server has seen this machine under %s", list(mapped))
	case private(now.Addr()) && !private(t.addr.Addr()):
		v.warn("source", FaultHidden, "unless this machine is in the server's own network, something before the server replaces the addresses of players (Docker's userland proxy, a UDP load balancer), and all count as one address in the limits: use the host's network, or a load balancer that keeps addresses",
			"the server sees this machine as %v, a private address, though its own is public", now)
	case now == local:
		v.ok("source", "no NAT between: the server sees %v, as it is here", now)
	case now.Port() == local.Port():
		v.ok("source", "a NAT makes %v of %v, and keeps the port", now.Addr(), local)
	default:
		v.ok("source", "a NAT makes %v of %v, with another port", now, local)
	}
}

func (v *visit) judgeLoss(s summary) {
	share := float64(s.sent-s.answered) / float64(s.sent)
	r := Result{Check: "loss", Text: fmt.Sprintf("%.1f %% lost: %d of %d checks or answers", 100*share, s.sent-s.answered, s.sent), Data: map[string]any{"sent": s.sent, "lost": s.sent - s.answered}}
	switch {
	case s.answered == s.sent:
		r.Text = fmt.Sprintf("none of %d checks", s.sent)
	case share > muchLoss:
		r.Status, r.Fault = Warn, FaultLoss
		r.Next = "try a cable in place of Wi-Fi; at the server see the drops of godwit-doctor -server"
	}
	v.report(r)
}

// measureMTU looks for the largest datagram that reaches the server in one piece.
func (v *visit) measureMTU(ctx context.Context, p *prober, t *target, trip time.Duration) {
	if !forbidFragments(t.conn) {
		v.skip("mtu", "not measured: this system cannot send datagrams that nobody may cut into fragments")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, longestSearch)
	defer cancel()
	headers := 20 + 8 // of IPv4 and UDP
	if t.addr.Addr().Is6() {
		headers = 40 + 8
	}
	arrives := func(payload int) bool {
		var shots []*shot
		for range 3 {
			s := p.send(t, payload)
			if s == nil {
				return false // the system says that it is too large for the first link
			}
			shots = append(shots, s)
			if p.await(ctx, max(4*trip, v.config.Wait/8), func() bool { return slices.ContainsFunc(shots, answered) }) {
				return true
			}
		}
		return false
	}
	most, size := (ethernet-headers)&^3, 0
	switch {
	case arrives(most):
		size = most
	case arrives(channelPayload):
		size = largest((channelPayload+3)&^3, most-mtuStep, mtuStep, arrives)
	case !arrives(0) && ctx.Err() == nil:
		v.fail("mtu", FaultLoss, ended, "the server has answered at first, but does not any more, not even short checks")
		return
	}
	if ctx.Err() != nil {
		v.skip("mtu", "not measured: the answers to checks come too late")
		return
	}
	p.mu.Lock()
	for _, s := range t.answers() { // also the answers that came late
		size = max(size, s.size)
	}
	p.mu.Unlock()
	if size < channelPayload {
		size = 0
	}
	v.judgeMTU(size, headers)
}

// largest returns the largest size from low on, in steps, that fits, if low fits. It bisects.
func largest(low, high, step int, fits func(int) bool) int {
	for low+step <= high {
		middle := low + ((high-low)/step+1)/2*step
		if fits(middle) {
			low = middle
		} else {
			high = middle - step
		}
	}
	return low
}

// judgeMTU says what a largest payload means; 0 is less than channelPayload.
func (v *visit) judgeMTU(payload, headers int) {
	mtu := payload + headers
	r := Result{Check: "mtu", Data: map[string]any{"mtu": mtu, "payload": payload}}
	switch {
	case payload == 0:
		r = Result{Check: "mtu", Status: Fail, Fault: FaultMTU, Text: fmt.Sprintf("datagrams with %d bytes do not reach the server in one piece", channelPayload),
			Next: "there is a tunnel in a tunnel, or a wrong MTU: sessions over UDP end here, and need the WebSocket"}
	case payload < datagramPayload:
		r.Status, r.Fault = Warn, FaultMTU
		r.Text = fmt.Sprintf("the path to the server carries IP packets of %d bytes (%d of payload)", mtu, payload)
		r.Next = fmt.Sprintf("plain datagrams of more than %d bytes are lost here; channels are not affected", payload-(datagramPayload-1160))
	default:
		r.Text = fmt.Sprintf("the path to the server carries IP packets of %d bytes (%d of payload; channels need %d)", mtu, payload, channelPayload)
	}
	v.report(r)
}
