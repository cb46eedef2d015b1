// Package pack is the bit stream of typed messages: what the code that godwit-gen writes stands on.
//
// A [Writer] appends values of any number of bits to a slice, and a [Reader] takes them out again.
// Both keep the first thing that is wrong, so generated code has no check after each field: End
// reports it. docs/messages.md has the format, which web/src/pack.ts implements as well.
//
// The package does no I/O, keeps no state, and allocates only the strings and byte slices that a
// Reader returns. Programs use it through the methods AppendBinary and UnmarshalBinary of their
// types, and have [Evolving] and [Error] of it.
package pack

// Evolving marks, as a blank field of a message type, that the fields below it were added later:
//
//	type Input struct {
//		Left, Right bool
//		_           pack.Evolving
//		Jump        bool
//	}
//
// An end that does not know these fields ignores them, and an end that misses them takes zeros.
type Evolving struct{}
