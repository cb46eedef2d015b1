package doctor

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v3"
)

// Attributes of a check. https://www.rfc-editor.org/rfc/rfc8445.html#section-16.1
const (
	attrPriority    stun.AttrType = 0x0024
	attrControlling stun.AttrType = 0x802a

	// attrPadding is an attribute that nobody has defined and that a receiver may ignore.
	// https://www.rfc-editor.org/rfc/rfc8489.html#section-14
	attrPadding stun.AttrType = 0xfe0d

	priority = 110<<24 | 65535<<8 | 255 // of a peer-reflexive candidate
)

// credentials are the ICE credentials of the server, and the username fragment of this end.
type credentials struct {
	local, remote, pwd string
}

// request returns a connectivity check of at least size bytes. It does not nominate its address.
func (c credentials) request(size int) (id [stun.TransactionIDSize]byte, b []byte, err error) {
	var tie [8]byte
	rand.Read(tie[:])
	build := func(padding []byte) (*stun.Message, error) {
		setters := []stun.Setter{
			stun.NewTransactionIDSetter(id), stun.BindingRequest,
			stun.NewUsername(c.remote + ":" + c.local),
			stun.RawAttribute{Type: attrPriority, Value: binary.BigEndian.AppendUint32(nil, priority)},
			stun.RawAttribute{Type: attrControlling, Value: tie[:]},
		}
		if padding != nil {
			setters = append(setters, stun.RawAttribute{Type: attrPadding, Value: padding})
		}
		return stun.Build(append(setters, stun.NewShortTermIntegrity(c.pwd), stun.Fingerprint)...)
	}
	id = stun.NewTransactionID()
	m, err := build(nil)
	if more := size - 4; err == nil && len(m.Raw) < more {
		m, err = build(make([]byte, (more-len(m.Raw)+3)&^3))
	}
	if err != nil {
		return id, nil, err
	}
	return id, m.Raw, nil
}

// answer reads the answer to a check, whose transaction ID it returns. mapped is the address from which
// the check came. ok is false if b is something else, or is not made with the server's password.
func (c credentials) answer(b []byte) (id [stun.TransactionIDSize]byte, mapped netip.AddrPort, ok bool) {
	m := stun.New()
	if !stun.IsMessage(b) || stun.Decode(b, m) != nil || m.Type != stun.BindingSuccess {
		return id, mapped, false
	}
	if c.pwd != "" && stun.NewShortTermIntegrity(c.pwd).Check(m) != nil {
		return id, mapped, false
	}
	var x stun.XORMappedAddress
	if x.GetFrom(m) != nil {
		return id, mapped, false
	}
	a, _ := netip.AddrFromSlice(x.IP) // the zero Addr if x.IP is not an address
	return m.TransactionID, netip.AddrPortFrom(a.Unmap(), uint16(x.Port)), a.IsValid()
}
