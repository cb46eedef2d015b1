package rtcserver

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Whoever attacks here can send from any address: netsim's Inject asks for none.
var (
	attackerAddr = netip.MustParseAddrPort("203.0.113.66:6666")
	victimAddr   = netip.MustParseAddrPort("203.0.113.99:9999")
)

// An offered is an attacker that has made an offer and read the answer, but has no browser.
type offered struct {
	w         *world
	conn      *Conn
	ours, pwd string // the server's credentials
	theirs    string
}

// offer makes an offer of a page without a browser, whose certificate nobody has. setup replaces
// its a=setup line.
func (w *world) offer(setup string) *offered {
	w.t.Helper()
	text := browserOffer(w.t)
	if setup != "" {
		text = testkit.Replace("a=setup:actpass", setup)(text)
	}
	answer, err := w.signal(netip.MustParseAddr("203.0.113.9"), text)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.offeredWith(text, string(answer))
}

// offeredWith returns the attacker that has made this offer and read its answer.
func (w *world) offeredWith(offer, answer string) *offered {
	o := &offered{w: w, ours: testkit.Attribute(answer, "ice-ufrag"), pwd: testkit.Attribute(answer, "ice-pwd"), theirs: testkit.Attribute(offer, "ice-ufrag")}
	w.server.registry.mu.RLock()
	defer w.server.registry.mu.RUnlock()
	o.conn = w.server.registry.byUfrag[o.ours]
	return o
}

// request returns a check as Chromium makes it, with pwd, or with the right password if pwd is
// empty.
func (o *offered) request(pwd string, nominate bool) []byte {
	if pwd == "" {
		pwd = o.pwd
	}
	return checkFor(o.ours+":"+o.theirs, pwd, nominate)
}

func checkFor(username, pwd string, nominate bool) []byte {
	attributes := []attribute16{{0x802a, 8}, {0x0024, 4}} // ICE-CONTROLLING, PRIORITY
	if nominate {
		attributes = append(attributes, attribute16{0x0025, 0}) // USE-CANDIDATE
	}
	return signedCheck(username, pwd, attributes...)
}

// An attribute16 is a STUN attribute of so many zero bytes.
type attribute16 struct {
	kind uint16
	size int
}

// signedCheck is a Binding request with those attributes.
func signedCheck(username, pwd string, attributes ...attribute16) []byte {
	m := stun.New()
	m.SetType(stun.BindingRequest)
	rand.Read(m.TransactionID[:])
	m.WriteHeader()
	m.Add(stun.AttrUsername, []byte(username))
	for _, a := range attributes {
		m.Add(stun.AttrType(a.kind), make([]byte, a.size))
	}
	if err := stun.NewShortTermIntegrity(pwd).AddTo(m); err != nil {
		panic(err)
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		panic(err)
	}
	return m.Raw
}

// check sends a nominating check from an address and returns its length.
func (o *offered) check(from netip.AddrPort, pwd string) int {
	b := o.request(pwd, true)
	o.w.network.Inject(from, serverAddr, b)
	return len(b)
}

// record returns a DTLS record as a forger makes it.
func record(kind byte, epoch uint16, number uint64, body []byte) []byte {
	b := []byte{kind, 0xfe, 0xfd}
	b = binary.BigEndian.AppendUint64(b, uint64(epoch)<<48|number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return append(b, body...)
}
