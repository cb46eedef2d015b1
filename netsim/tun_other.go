//go:build !linux

package netsim

import (
	"errors"
	"fmt"
	"net/netip"
)

func openTunEnd(TunEnd, []netip.Prefix, int, bool) (tunEnd, error) {
	return tunEnd{}, fmt.Errorf("a link of TUN devices needs Linux: %w", errors.ErrUnsupported)
}

func (n *Namespace) same(*Namespace) bool { return false }

func (n *Namespace) enter(func() error) error { return errors.ErrUnsupported }
