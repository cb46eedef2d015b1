package relay

import (
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// STUN messages: the type, and the transaction ID after the magic cookie.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-5
const (
	stunIDAt  = 8
	stunIDLen = 12
	stunLen   = stunIDAt + stunIDLen

	responseByte = 0x01 // first byte of the types of a response to a Binding request
	successByte  = 0x01 // second byte of a success; an error has another one
)

// Datagrams by their first byte. https://www.rfc-editor.org/rfc/rfc9443.html#section-3
func isDTLS(b []byte) bool { return len(b) > 0 && b[0] >= 20 && b[0] <= 63 }
func isQUIC(b []byte) bool { return len(b) > 0 && b[0]&0x40 != 0 }

// fromClient appends to out the datagrams that leave for one that has come to the public port: none, or one
// for each node that gets it.
func (r *Relay) fromClient(now time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
	switch {
	case d.Remote.Port() == 0 || d.Remote.Addr().Zone() != "": // no header can have such an address
		r.stats.drop(DropNotOurs)
	case isDTLS(d.B):
		return r.record(now, d, out)
	case icelite.IsSTUN(d.B):
		return r.check(now, d, out)
	case isQUIC(d.B):
		r.stats.drop(DropQUIC)
	default:
		r.stats.drop(DropNotOurs)
	}
	return out
}

// check gives a connectivity check to the node that it names.
func (r *Relay) check(now time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
	if r.request.Parse(d.B) != icelite.DropNone {
		r.stats.drop(DropBadCheck)
		return out
	}
	number, ok := ufrag.Node(r.request.LocalUfrag())
	if !ok {
		r.stats.drop(DropBadCheck)
		return out
	}
	n := r.nodes[number]
	if n == nil {
		r.stats.drop(DropUnknownNode)
		return out
	}
	r.table.noteVisit(now, d.Remote, d.Local, [stunIDLen]byte(d.B[stunIDAt:]), n)
	return r.toNode(n, d, out)
}

// record gives a DTLS datagram to the nodes that the client has reached.
func (r *Relay) record(now time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
	i := r.table.live(now, d.Remote)
	if i == 0 {
		r.stats.drop(DropUnknownClient)
		return out
	}
	e := &r.table.entries[i]
	e.unclaim(now, false)
	if e.claims[0].node == nil {
		r.stats.drop(DropUnknownNode)
		return out
	}
	for _, c := range e.claims {
		if c.node != nil {
			out = r.toNode(c.node, d, out)
		}
	}
	return out
}

// toNode appends a datagram of a client, in its header, to those that leave.
func (r *Relay) toNode(n *node, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
	out = out[:len(out)+1]
	to := &out[len(out)-1]
	to.Remote, to.B = n.addr, append(envelope.Append(to.B[:0], d.Remote, false), d.B...)
	n.up++
	r.stats.up.count(len(d.B))
	return out
}

// fromNode appends to out the datagram for the client that is in a datagram of a node, if it may be sent.
// A node can send only to a client that has sent it a valid check, or whose address it has proved.
func (r *Relay) fromNode(now time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram {
	n := r.byAddr[d.Remote]
	if n == nil {
		r.stats.drop(DropForeign)
		return out
	}
	client, proved, b, ok := envelope.Parse(d.B)
	if !ok || !isDTLS(b) && !icelite.IsSTUN(b) {
		r.stats.drop(DropBadHeader)
		return out
	}
	local, ok := r.wayTo(now, client, n, proved, b)
	if !ok {
		return out
	}
	out = out[:len(out)+1]
	out[len(out)-1] = udpio.Datagram{Remote: client, Local: local, B: b}
	n.down++
	r.stats.down.count(len(b))
	return out
}

// wayTo learns from a datagram of a node, and returns the address of the relay from which it leaves. It
// returns false if it may not be sent.
func (r *Relay) wayTo(now time.Duration, client netip.AddrPort, n *node, proved bool, b []byte) (local netip.Addr, ok bool) {
	var v *visit
	if len(b) >= stunLen && b[0] == responseByte {
		v = r.table.answer(now, client, [stunIDLen]byte(b[stunIDAt:]), n)
	}
	granted := v != nil && b[1] == successByte
	learns := granted || proved // a proof teaches a relay that has been restarted, too
	i := r.table.live(now, client)
	if i == 0 && learns {
		if i = r.table.add(now, client); i == 0 {
			r.stats.drop(DropFull)
			return netip.Addr{}, false
		}
	}
	e := &r.table.entries[i]
	switch {
	case learns:
		if !e.claim(now, n) {
			r.stats.drop(DropTaken)
			return netip.Addr{}, false
		}
	case i != 0 && e.has(n):
	case v != nil: // a refusal of the check
		return v.local, true
	default:
		r.stats.drop(DropUnknownClient)
		return netip.Addr{}, false
	}
	if granted {
		e.local = v.local
	}
	r.table.hear(now, i, proved)
	return e.local, true
}
