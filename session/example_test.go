package session_test

import (
	"fmt"

	"github.com/godwit-rtc/godwit/session"
)

// join is a handler of a program.
func join(r *session.Request) {
	if len(r.Data) == 0 {
		r.Reject("a name is missing")
		return
	}
	r.Reply(append([]byte("welcome "), r.Data...))
}

// A handler of requests is tested without a session.
func ExampleHandleRequest() {
	show := func(r session.Result) error {
		fmt.Printf("%v: %s%s\n", r.Status, r.Data, r.Text)
		return nil
	}
	session.HandleRequest("join", []byte("ada"), show, join)
	session.HandleRequest("join", nil, show, join)
	// Output:
	// responded: welcome ada
	// rejected: a name is missing
}
