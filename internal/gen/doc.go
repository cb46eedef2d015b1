// Package gen makes the code of typed messages: encoders and decoders in Go, and a module in JavaScript
// or TypeScript with the table, the types, and the same encoders and decoders.
//
// Load reads the Go package with the table, without its generated file, and returns a [Package]; Go and
// Script write code for it. docs/messages.md has the format and what the tags of fields mean.
//
// Both emitters walk the same model ([Type]). They write straight code: constants are computed, and
// small values of a fixed number of bits that follow each other are written and read together.
package gen
