package sctp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestMessagesThatAreNotSent(t *testing.T) {
	idle, a := newIdleAssoc(t), newTestAssoc(t)
	for _, tt := range []struct {
		name   string
		a      *testAssoc
		stream uint16
		size   int
		want   error
	}{
		{"before the handshake", idle, 0, 1, ErrNotOpen},
		{"on a stream that does not exist", a, maxStream, 1, ErrNotOpen},
		{"a byte too much", a, 0, MaxPayload + 1, ErrTooLarge},
	} {
		prefix := []byte("kept")
		b, err := tt.a.AppendMessage(tt.a.now, prefix, tt.stream, Binary, make([]byte, tt.size))
		if !errors.Is(err, tt.want) || string(b) != "kept" {
			t.Errorf("%s: error %v, want %v; buffer %q, want kept", tt.name, err, tt.want, b)
		}
	}
	if !strings.Contains(ErrTooLarge.Error(), fmt.Sprint(MaxPayload)) {
		t.Errorf("ErrTooLarge does not say the limit: %q", ErrTooLarge)
	}
	a.want("none of them took a TSN", a.send(0, Text, "x"), `DATA(tsn=1000 stream=0 ssn=0 ppid=51 flags=7 "x")`)
}

// An empty message is sent as one zero byte with its own payload protocol.
func TestKindsOfMessages(t *testing.T) {
	a := newTestAssoc(t)
	a.want("text", a.send(4, Text, "t"), `DATA(tsn=1000 stream=4 ssn=0 ppid=51 flags=7 "t")`)
	a.want("binary", a.send(4, Binary, "b"), `DATA(tsn=1001 stream=4 ssn=0 ppid=53 flags=7 "b")`)
	a.want("empty text", a.send(4, Text, ""), `DATA(tsn=1002 stream=4 ssn=0 ppid=56 flags=7 "\x00")`)
	a.want("empty binary", a.send(4, Binary, ""), `DATA(tsn=1003 stream=4 ssn=0 ppid=57 flags=7 "\x00")`)
}

// The caller's bytes stay first, for example a record header.
func TestPacketsAreAppended(t *testing.T) {
	a := newTestAssoc(t)
	a.receive(text(1, "x"))
	b, err := a.AppendMessage(a.now, []byte("header"), 1, Text, []byte("y"))
	if err != nil || string(b[:6]) != "header" {
		t.Fatalf("the packet is %q, error %v; want the caller's header first", b, err)
	}
	a.want("after the header", b[6:], `SACK(cum=1) DATA(tsn=1000 stream=1 ssn=0 ppid=51 flags=7 "y")`)
	a.write(text(2, "x"), text(2, "x"))
	b = a.Append(a.now, []byte("header"))
	a.want("after the header", b[6:], "SACK(cum=2 dup=2)")
}
