// Package browser gives a Go test a real Chromium, Firefox or WebKitGTK.
//
// The browser is in its own network namespace, which a veth pair connects to the test: the test serves on [Host], and no packet of the browser can go
// anywhere else. Firefox needs this even for a test on one machine: it gathers
// no loopback candidates. A browser is started once per test binary and shared;
// each test opens its own pages and runs JavaScript in them with [Page.Eval].
// What a page prints goes to the log of the test that opened it.
//
// It needs Linux, root, iproute2, node and the browser itself; the script test
// at the root of the repository installs them. TestMain of a binary that uses
// it must be
//
//	func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }
package browser
