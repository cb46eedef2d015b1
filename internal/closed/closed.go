// Package closed has the error of calls on something that is closed. It is one value for
// the whole module, so that a program compares it with one name, whatever was closed.
package closed

import "net"

// Err is the error. errors.Is finds net.ErrClosed in it.
var Err error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "godwit: the session, connection or server is closed" }

// Server reports whether a *godwit.Server is closed or shuts down. Package godwit sets it, for package fleet.
var Server func(server any) bool

func (closedError) Is(target error) bool { return target == net.ErrClosed }
