// Package testkit has the helpers that the tests of several packages share: measurements
// of memory, checks for goroutines that are left, networks in memory, ledgers, captures, logs,
// HTTP without a network, and waiting for an event.
//
// Only tests import it; the linter refuses it elsewhere. It imports nothing of this module
// except netsim, so that tests inside the packages below may use it too.
package testkit
