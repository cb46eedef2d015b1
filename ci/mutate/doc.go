// Command mutate tests the tests: it changes one place of the code at a time and
// reports the changes that no test notices.
//
//	go run ./ci/mutate [flags] package ...
//
// A package is compiled once, with every change in it behind a switch that an
// environment variable sets, so that a change costs one run of those tests that reach
// it. The changes are: a condition is negated, or its operand ignored; a comparison
// includes its bound, or excludes it; a statement is removed; a function returns
// zero values; a field is left out of a literal of a struct.
//
// A change survives if a test is missing, or if the change makes no difference. Changes
// of the second kind are listed in equivalent.txt with its reason.
package main
