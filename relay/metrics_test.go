package relay

import (
	"regexp"
	"strings"
	"testing"
)

// The counters have each sample once, under the head of its family.
func TestMetrics(t *testing.T) {
	s := newScript(t, Config{})
	s.enter(clientAt(1), node1)
	s.wantDown("a record", node1, clientAt(1), true, record, true)
	s.client(stranger, record)
	st := s.r.ownStats()
	text := string(st.appendMetrics(nil))
	for _, want := range []string{
		"godwit_relay_clients{proved=\"true\"} 1\n", "godwit_relay_clients{proved=\"false\"} 0\n",
		"godwit_relay_datagrams_total{direction=\"down\"} 2\n",
		"godwit_relay_node_datagrams_total{node=\"1\",direction=\"up\"} 1\n",
		"godwit_relay_node_datagrams_total{node=\"3\",direction=\"up\"} 0\n",
		"godwit_relay_drops_total{cause=\"unknown-client\"} 1\n", "godwit_relay_drops_total{cause=\"bad-header\"} 0\n",
		"godwit_relay_socket_drops_total{socket=\"inner\",cause=\"send-too-large\"} 0\n",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is %d times in\n%s", want, strings.Count(text, want), text)
		}
	}
	line := regexp.MustCompile(`^(# HELP (godwit_relay_\w+) [^\n]+\.|# TYPE godwit_relay_\w+ (counter|gauge)|(godwit_relay_\w+)\{[^}]+\} \d+)$`)
	family := ""
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		switch {
		case m == nil:
			t.Errorf("the line is malformed: %q", l)
		case m[2] != "":
			family = m[2]
		case m[4] != "" && m[4] != family:
			t.Errorf("%q is under the head of %s", l, family)
		}
	}
}
