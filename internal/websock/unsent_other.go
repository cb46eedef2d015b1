//go:build !linux

package websock

import "syscall"

// LimitUnsent does nothing: only Linux has the option.
func LimitUnsent(syscall.RawConn) {}
