//go:build !linux

package udpio

import (
	"errors"
	"net"
)

// A Poll waits for datagrams of several sockets. This system has none.
type Poll struct{}

// NewPoll returns [errors.ErrUnsupported].
func NewPoll(...*Conn) (*Poll, error) { return nil, errors.ErrUnsupported }

// Wait is not reached.
func (p *Poll) Wait() (ready uint, err error) { return 0, net.ErrClosed }

// Close does nothing.
func (p *Poll) Close() error { return nil }
