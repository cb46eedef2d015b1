package fleet

import (
	"reflect"
	"strings"
	"testing"
)

// Each counter of Stats is in the metrics, once.
func TestMetricsHaveEveryCounter(t *testing.T) {
	n := newNode(t, Config{}, testConfig)
	ada := n.join("ada")
	mustJoin(n, n.Group("lobby"), ada)
	text := string(n.AppendMetrics([]byte("before 1\n")))
	if !strings.HasPrefix(text, "before 1\n# HELP godwit_fleet_connected ") {
		t.Errorf("the text begins with %.60q", text)
	}
	for _, line := range []string{"connected 1", "groups 1", "members 1", "players 1", "lost_messages_total 0"} {
		if strings.Count(text, "\ngodwit_fleet_"+line+"\n") != 1 {
			t.Errorf("%q is not there", line)
		}
	}
	if got, want := strings.Count(text, "# TYPE"), reflect.TypeFor[Stats]().NumField(); got != want {
		t.Errorf("%d metrics for %d counters", got, want)
	}
}
