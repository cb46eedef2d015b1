// Command mutate tests the tests: it changes the code in one place after the other and
// reports the changes that no test notices.
//
//	go run ./ci/mutate [flags] package ...
//
// A package is compiled once, with every change in it behind a switch that an
// environment variable sets, so that a change costs one run of those tests that reach
// it. The changes are: a condition is negated, or its operand ignored; a comparison
// takes the bound in, or leaves it out; a statement is left out; a function returns
// zero values.
//
// What survives is either a test that is missing or a change that makes no difference.
// The second kind is listed in equivalent.txt with its reason.
package main
