package metrics

import (
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/typed"
)

func TestBadMessages(t *testing.T) {
	bad := func(yield func(string, typed.BadStats) bool) {
		_ = yield("input", typed.BadStats{Truncated: 3}) && yield("ch\"at", typed.BadStats{Other: 1})
	}
	const before = "# before\n"
	text, isThere := strings.CutPrefix(string(AppendBad([]byte(before), bad)), before)
	if !isThere {
		t.Error("what was there before is not there any more")
	}
	got, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		row, cause string
		want       float64
	}{{"input", "truncated", 3}, {"input", "form", 0}, {"ch\"at", "other", 1}} {
		if n, err := got.get("godwit_bad_messages_total", "row", tt.row, "cause", tt.cause); err != nil || n != tt.want {
			t.Errorf("%s of %s: %v, %v; want %v", tt.cause, tt.row, n, err, tt.want)
		}
	}
}
