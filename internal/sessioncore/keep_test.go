package sessioncore

import (
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/session"
)

// A request that a Poll keeps for the next call is copied, and can still be answered.
func TestRequestThatIsKeptForTheNextPoll(t *testing.T) {
	for _, data := range []string{"red", ""} {
		var answers []session.Status
		answer := func(r session.Result) error { answers = append(answers, r.Status); return nil }
		var b []byte
		if data != "" {
			b = []byte(data)
		}
		var kept *session.Request
		session.HandleRequest("join", b, answer, func(r *session.Request) { kept = KeepRequest(r) })
		clear(b)
		if string(kept.Data) != data || len(answers) > 0 {
			t.Errorf("the bytes are %q, want %q; answers: %v", kept.Data, data, answers)
		}
		if err := kept.Ack(); err != nil || !slices.Equal(answers, []session.Status{session.StatusAcknowledged}) {
			t.Errorf("Ack: %v, want nil; answers: %v, want StatusAcknowledged", err, answers)
		}
	}
}
