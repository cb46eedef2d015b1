// Package version has the version of this repository: of its Go modules and of the client for npm.
package version

// Version is the version of the release that is prepared here, with its v. go run ./ci/release -set changes it
// here and in the files of npm and of the other modules, and a test compares them.
const Version = "v0.1.0"
