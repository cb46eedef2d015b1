// Package storm simulates a fleet of servers and all its players in one process, in virtual time, over a network in memory:
// a node dies, a region is cut off, and all nodes restart at once. The servers and the clients are those of this module; only
// the front, which gives each player a node, is of the simulation. It has only tests:
//
//	go test -v ./internal/storm -nodes 100 -players 20
//
// docs/scale.md has the results.
package storm
