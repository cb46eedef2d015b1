package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
)

// showKeys makes the file of a server's keys, unless there is one, and prints what other programs need
// to make invites.
func (o *options) showKeys(out io.Writer) error {
	if o.keys == "" {
		return fmt.Errorf("-keys is needed\n%s", usage)
	}
	cert, key, err := godwit.LoadKeys(o.keys)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "fingerprint %s\nkey %s\n", cert.Fingerprint(), key.Text())
	return err
}

// invite prints an invite.
func (o *options) invite(out io.Writer) error {
	if o.keys == "" || o.addresses == "" {
		return fmt.Errorf("-keys and -addr are needed\n%s", usage)
	}
	var addresses []netip.AddrPort
	for text := range strings.SplitSeq(o.addresses, ",") {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("-addr: %w", err)
		}
		addresses = append(addresses, a)
	}
	cert, key, err := godwit.LoadKeys(o.keys)
	if err != nil {
		return err
	}
	v := auth.Inviter{Key: key, Addresses: addresses, Fingerprint: [32]byte(cert.Fingerprint().Sum()), Channels: o.channels, Node: uint32(min(o.node, 1<<32-1))}
	made, err := v.Invite(time.Now(), rand.Reader, auth.InviteClaims{Subject: o.subject, Data: []byte(o.data), For: o.lifetime})
	if err != nil {
		return err
	}
	text := made.Text()
	if _, err := auth.ParseInvite(text); err != nil {
		return err // -channels is no hash, or an address cannot be sent to
	}
	if o.json {
		b, err := made.MarshalJSON()
		if err != nil {
			return err
		}
		text = string(b)
	}
	_, err = fmt.Fprintln(out, text)
	return err
}
