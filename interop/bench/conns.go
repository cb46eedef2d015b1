//go:build linux

package main

import (
	"slices"
	"sync"

	"github.com/godwit-rtc/godwit/interop/pionserver"
)

// conns are the connections of a pion server, which keeps no list itself.
type conns struct {
	mu  sync.Mutex
	all []*pionserver.Conn
}

func (c *conns) add(conn *pionserver.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn)
}

func (c *conns) list() []*pionserver.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}
