// Package version has the version of this repository: of its Go modules and of the client for npm.
package version

// Version is the version of the next release, with its v. What else has this number is compared with it by the
// tests of this package.
const Version = "v0.1.0"
