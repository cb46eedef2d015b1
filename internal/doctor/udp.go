package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/stun/v3"
)

// guessedPorts are ports at which a server may listen if it does not at the one that it tells: those of
// our documents and examples.
var guessedPorts = []uint16{7777, 42424}

// A reach is what checks have found about one address.
type reach struct {
	addr                       netip.AddrPort
	answered, refused, noRoute bool
}

// checkUDP sends checks to the addresses of the answer and, if none of them answers, to others where the
// server may be, to find out why.
func (v *visit) checkUDP(ctx context.Context) bool {
	if v.answer == nil {
		v.skip("udp", "without an answer there is nothing to check")
		return true
	}
	if len(v.told) == 0 {
		return true
	}
	p := newProber(credentials{v.offer.Ufrag, v.answer.Ufrag, v.answer.Pwd})
	defer p.close()
	told := make([]*target, 0, len(v.told))
	for _, a := range v.told {
		told = append(told, p.add(a))
	}
	p.knock(ctx, told, v.config.Wait)
	best := p.best(told)
	if best == nil {
		guesses := v.guess()
		others := make([]*target, 0, len(guesses))
		for _, a := range guesses {
			others = append(others, p.add(a))
		}
		p.knock(ctx, others, v.config.Wait)
		d := diagnose(p.reaches(told), p.reaches(others), v.site.Addr(), v.outside.Addr(), v.silent)
		v.fail("udp", d.fault, d.next, "%s", d.text)
		return true
	}
	v.overUDP = true
	v.reportTargets(p, told, best)
	v.measure(ctx, p, best)
	return true
}

// best returns the first target that has answered, or nil if none has. The server names its best address
// first.
func (p *prober) best(targets []*target) *target {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		if len(t.answers()) > 0 {
			return t
		}
	}
	return nil
}

func (p *prober) reaches(targets []*target) (all []reach) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		all = append(all, reach{t.addr, len(t.answers()) > 0, t.refused, t.noRoute})
	}
	return all
}

// reportTargets reports the addresses of the answer, of which best has answered.
func (v *visit) reportTargets(p *prober, told []*target, best *target) {
	var more []netip.AddrPort
	all := p.reaches(told)
	for _, r := range all {
		if r.answered && r.addr != best.addr {
			more = append(more, r.addr)
		}
	}
	if len(more) > 0 {
		v.ok("udp", "%v answers over UDP, and so does %s", best.addr, list(more))
	} else {
		v.ok("udp", "%v answers over UDP", best.addr)
	}
	for _, r := range all {
		switch a := r.addr.Addr(); {
		case r.answered:
		case r.noRoute && a.Is6():
			v.skip("udp", "%v: this machine has no way to it over IPv6; players here use another address", r.addr)
		case private(a) || private(v.site.Addr()):
			v.skip("udp", "%v does not answer here; players here use another address", r.addr)
		default:
			v.warn("udp", FaultAddress, "see that Config.RTC.Public has only addresses at which players reach the server", "%v does not answer; players here use another address", r.addr)
		}
	}
}

// guess returns addresses where the server may be, except those that it tells: the address of HTTP with
// the told ports, and each of the addresses with other ports.
func (v *visit) guess() (all []netip.AddrPort) {
	add := func(a netip.Addr, port uint16) {
		ap := netip.AddrPortFrom(a.Unmap().WithZone(""), port)
		if a.IsValid() && port != 0 && !slices.Contains(v.told, ap) && !slices.Contains(all, ap) && len(all) < 16 {
			all = append(all, ap)
		}
	}
	for _, t := range v.told {
		add(v.site.Addr(), t.Port())
	}
	hosts := []netip.Addr{v.site.Addr()}
	for _, t := range v.told {
		hosts = append(hosts, t.Addr())
	}
	for _, port := range append(guessedPorts, v.site.Port()) {
		for _, h := range hosts {
			add(h, port)
		}
	}
	return all
}

// A diagnosis says why no address of an answer answers.
type diagnosis struct {
	fault      Fault
	text, next string
}

// diagnose finds out why none of the told addresses answers. others are addresses at which the server may
// be: an answer proves that it is there. site is the address of the server over HTTP. outside is the
// address of this machine as the STUN server sees it; zero if it is not known. silent says that the STUN
// server has not answered.
func diagnose(told, others []reach, site, outside netip.Addr, silent bool) diagnosis {
	at := netip.AddrPort{} // where the server is
	for _, r := range others {
		if r.answered {
			at = r.addr
			break
		}
	}
	addrs := make([]netip.AddrPort, 0, len(told))
	public := true // only addresses of the internet are told
	for _, r := range told {
		addrs = append(addrs, r.addr)
		public = public && !private(r.addr.Addr())
	}
	where := list(addrs)
	setPublic := fmt.Sprintf("set Config.RTC.Public to %v, or leave it empty if that is an address of the server's machine", at)
	if at.IsValid() {
		for _, r := range told {
			if r.addr.Addr() == at.Addr() {
				return diagnosis{FaultPort, fmt.Sprintf("the server tells %s, but answers at %v: the port is wrong", where, at),
					fmt.Sprintf("forward the port %d to the server, or set Config.RTC.Public to %v", r.addr.Port(), at)}
			}
		}
		if private(at.Addr()) && public && (!outside.IsValid() || told[0].addr.Addr() == outside) {
			text := fmt.Sprintf("the server answers at %v in this network, but not at %s, which it tells: the router does not lead packets from inside back to its own public address (no hairpin NAT)", at, where)
			next := "switch on NAT loopback at the router; or use Config.RTC.Discover in place of Public: players in the network then get the private address, too. Players outside are not affected: test from there"
			if !outside.IsValid() {
				next += ". If they cannot connect either, the told address is wrong: -stun says which is yours"
			}
			return diagnosis{FaultHairpin, text, next}
		}
		return diagnosis{FaultPublic, fmt.Sprintf("the server tells %s, where nothing answers, but it is at %v", where, at), setPublic}
	}
	for _, r := range told {
		if r.refused {
			return diagnosis{FaultPort, fmt.Sprintf("the machine at %v says that nobody listens on this UDP port", r.addr),
				"compare the port in Config.RTC.Public with the port of Listen and that of the router's or the container's port mapping; mappings must say udp"}
		}
	}
	if !slices.ContainsFunc(told, func(r reach) bool { return !r.noRoute }) {
		return diagnosis{FaultRoute, "there is no way from here to " + where, "set Config.RTC.Public to an address of the internet, of IPv4 if players have no IPv6"}
	}
	d := diagnosis{FaultUDP, "nothing comes back over UDP from " + where, ""}
	switch {
	case silent:
		d.text += ", and not from the STUN server either"
		d.next = "this network drops UDP, as many offices and hotels do: its players need the WebSocket (below)"
	case outside.IsValid():
		d.next = "this network lets UDP out (the STUN server answers): let UDP through the firewall of the server and of its cloud, in both directions"
	default:
		d.next = "let UDP through the firewall of the server and of its cloud; then look at this network: -stun stun.l.google.com:19302 says whether it lets UDP out at all"
	}
	if len(told) > 0 && site.IsValid() && !private(site) && !slices.ContainsFunc(told, func(r reach) bool { return r.addr.Addr() == site.Unmap() }) {
		d.next += fmt.Sprintf(". The address is another one than that of HTTP, %v: see that it is right", site)
	}
	return d
}

// askSTUN asks the STUN server for the address of this machine.
func (v *visit) askSTUN(ctx context.Context) bool {
	if v.config.STUN == "" {
		return true
	}
	out, err := stunAddress(ctx, v.config.STUN, v.config.Wait)
	if err != nil {
		v.silent = true
		v.warn("internet", FaultSTUN, "if the name is right, this network drops UDP: its players need the WebSocket (below)", "the STUN server %s does not answer: %v", v.config.STUN, rootCause(err))
		return true
	}
	v.outside = out
	v.ok("internet", "UDP leaves this network: the STUN server sees it as %v", out.Addr())
	return true
}

// stunAddress returns the address of this machine as a STUN server sees it.
func stunAddress(ctx context.Context, server string, limit time.Duration) (netip.AddrPort, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Close()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := make([]byte, 1500)
	for range 3 {
		if _, err = conn.Write(request.Raw); err != nil {
			return netip.AddrPort{}, err
		}
		conn.SetReadDeadline(time.Now().Add(limit / 3))
		n, e := conn.Read(b)
		if err = e; err != nil {
			continue
		}
		if id, mapped, ok := (credentials{}).answer(b[:n]); ok && id == request.TransactionID {
			return mapped, nil
		}
	}
	return netip.AddrPort{}, err
}
