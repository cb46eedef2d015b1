package testkit

import "strings"

// Attribute returns the value of the first attribute of that name in an SDP text; it is
// empty if there is none.
func Attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// Replace returns a func that replaces the first from in an SDP text by to. The func panics
// if the text has no from.
func Replace(from, to string) func(string) string {
	return func(sdp string) string {
		if !strings.Contains(sdp, from) {
			panic("the SDP text has no " + from)
		}
		return strings.Replace(sdp, from, to, 1)
	}
}
