package session

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// Names, texts and the numbers on the wire are those of docs/SESSION.md, sections 4 and 5.
func TestNamesAreThoseOfTheProtocol(t *testing.T) {
	for code, want := range map[CloseCode]string{
		0: "normal", 1: "kicked", 2: "shutdown", 3: "protocol error", 4: "auth", 5: "replaced", 6: "timeout", 7: "duplicate", 8: "moved",
		16: "limit: messages", 17: "limit: bytes", 18: "limit: size", 19: "limit: early", 20: "limit: requests",
		9: "code 9", CloseProgram: "code 256", math.MaxUint32: "code 4294967295",
	} {
		if got := code.String(); got != want {
			t.Errorf("code %d prints %q, want %q", uint32(code), got, want)
		}
	}
	for status, want := range map[Status]string{
		StatusSending: "sending", StatusWaiting: "waiting", StatusResponded: "responded", StatusAcknowledged: "acknowledged",
		StatusRejected: "rejected", StatusSendFailed: "send failed", StatusResponseLost: "response lost", 7: "unknown",
	} {
		if got := status.String(); got != want {
			t.Errorf("status %d prints %q, want %q", uint8(status), got, want)
		}
	}
	if MaxHello != 1024 || MaxName != 64 || MaxRequest != 65466 || MaxText != 256 || MaxMove != 4096 {
		t.Errorf("a limit differs from the protocol: %d, %d, %d, %d, %d", MaxHello, MaxName, MaxRequest, MaxText, MaxMove)
	}
	for id, want := range map[ID]string{0: "0000000000000000", 0xff: "00000000000000ff", math.MaxUint64: "ffffffffffffffff"} {
		if got := id.String(); got != want {
			t.Errorf("session %d prints %q, want %q", uint64(id), got, want)
		}
	}
}

// A reason prints what it has, and nothing for what it has not.
func TestReasonsPrintInWords(t *testing.T) {
	for _, c := range []struct {
		want string
		of   fmt.Stringer
	}{
		{"closed here: normal", CloseReason{}},
		{"closed by the other end: kicked: too slow", CloseReason{Code: CloseKicked, Text: "too slow", Remote: true}},
		{"closed here: code 300 (gave up 5 bytes) (7 bytes did not arrive)", CloseReason{Code: 300, LostOut: 5, LostIn: 7}},
	} {
		if got := c.of.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// A reply and an acknowledgement are no errors; every other result is one.
func TestResultsAndTheirErrors(t *testing.T) {
	for _, c := range []struct {
		r    Result
		want string
	}{
		{Result{Status: StatusResponded, Data: []byte("yes")}, ""},
		{Result{Status: StatusAcknowledged}, ""},
		{Result{Status: StatusRejected, Text: "no"}, "session: request: rejected: no"},
		{Result{Status: StatusRejected}, "session: request: rejected"},
		{Result{Status: StatusSendFailed}, "session: request: send failed"},
		{Result{Status: StatusResponseLost}, "session: request: response lost"},
	} {
		err := c.r.Err()
		if c.want == "" {
			if err != nil {
				t.Errorf("%v: %v", c.r.Status, err)
			}
			continue
		}
		e, ok := errors.AsType[*RequestError](err)
		if !ok || e.Error() != c.want || e.Status != c.r.Status || e.Text != c.r.Text {
			t.Errorf("%v: %v, want %q", c.r.Status, err, c.want)
		}
	}
}

// answers collects the answers of a request, and fails with errs, one after the other.
type answers struct {
	got  []string
	errs []error
}

func (a *answers) take(r Result) error {
	a.got = append(a.got, fmt.Sprintf("%v %s%s", r.Status, r.Data, r.Text))
	if len(a.errs) == 0 {
		return nil
	}
	err := a.errs[0]
	a.errs = a.errs[1:]
	return err
}

func (a *answers) want(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(a.got, ", "); got != want {
		t.Errorf("the answers are %q, want %q", got, want)
	}
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	for _, c := range []struct {
		name, want string
		handle     func(*Request)
	}{
		{"reply", "responded red", func(r *Request) { r.Reply(r.Data) }},
		{"ack", "acknowledged ", func(r *Request) { r.Ack() }},
		{"reject", "rejected full", func(r *Request) { r.Reject("full") }},
		{"nothing", "rejected no answer", func(*Request) {}},
		{"two answers", "acknowledged ", func(r *Request) {
			r.Ack()
			if err := r.Reply(nil); err != ErrAnswered {
				t.Errorf("a second answer: %v, want ErrAnswered", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a answers
			HandleRequest("join", []byte("red"), a.take, func(r *Request) {
				if r.Name != "join" {
					t.Errorf("the name is %q, want join", r.Name)
				}
				c.handle(r)
			})
			a.want(t, c.want)
		})
	}
}

// A request is open again after an error of its answer, unless that is ErrAnswered.
func TestAnswerThatFailsMayBeRepeated(t *testing.T) {
	a := answers{errs: []error{ErrBudget}}
	HandleRequest("join", nil, a.take, func(r *Request) {
		if err := r.Reply([]byte("a map")); err != ErrBudget {
			t.Errorf("Reply: %v, want ErrBudget", err)
		}
		if err := r.Reject("too large"); err != nil {
			t.Errorf("Reject: %v, want nil", err)
		}
	})
	a.want(t, "responded a map, rejected too large")

	a = answers{errs: []error{ErrAnswered}}
	HandleRequest("join", nil, a.take, func(r *Request) {
		for range 2 {
			if err := r.Ack(); err != ErrAnswered {
				t.Errorf("Ack: %v, want ErrAnswered", err)
			}
		}
	})
	a.want(t, "acknowledged ")
}

func TestRequestIsRejectedWhenItsHandlerPanics(t *testing.T) {
	var a answers
	func() {
		defer func() { recover() }()
		HandleRequest("join", nil, a.take, func(*Request) { panic("a mistake") })
	}()
	a.want(t, "rejected no answer")
}

// A kept request is open after its handler. If the program drops it, the garbage
// collector rejects it.
func TestKeptRequestIsAnsweredLater(t *testing.T) {
	var a answers
	var kept *Request
	HandleRequest("join", []byte("red"), a.take, func(r *Request) {
		r.Keep()
		r.Keep() // the second does nothing
		if kept = r; r.Data != nil {
			t.Error("a kept request still has its bytes, which change after the handler")
		}
	})
	a.want(t, "")
	if err := kept.Reply([]byte("later")); err != nil {
		t.Error(err)
	}
	a.want(t, "responded later")

	dropped := make(chan Result, 2)
	HandleRequest("join", nil, func(r Result) error { dropped <- r; return nil }, func(r *Request) { r.Keep() })
	runtime.GC()
	if r := <-dropped; r.Status != StatusRejected || r.Text != "no answer" {
		t.Errorf("the result of a request without an answer is %v %s, want StatusRejected, no answer", r.Status, r.Text)
	}
}

// A Request that a program has made itself is of no session.
func TestRequestOfNoSession(t *testing.T) {
	if err := new(Request).Ack(); err != ErrAnswered {
		t.Errorf("Ack: %v, want ErrAnswered", err)
	}
}
