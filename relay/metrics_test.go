package relay

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// The counters have each sample once, under the head of its family.
func TestMetrics(t *testing.T) {
	st := Stats{
		Clients: 103, Proved: 3, Up: Traffic{4, 5}, Down: Traffic{6, 7}, Nodes: []NodeStats{{node1, 8, 9}, {node3, 0, 10}},
		Public: SocketStats{Lost: 11, Cut: 12, NoRoom: 13, TooLarge: 14, Unsent: 15}, Inner: SocketStats{Lost: 16, Cut: 17, NoRoom: 18, TooLarge: 19, Unsent: 20},
	}
	var samples []string
	for why := range dropReasons {
		st.Drops[why] = 21 + uint64(why)
		samples = append(samples, fmt.Sprintf("drops_total{cause=%q} %d", why.String(), 21+why))
	}
	samples = append(samples,
		`clients{proved="true"} 3`, `clients{proved="false"} 100`,
		`datagrams_total{direction="up"} 4`, `bytes_total{direction="up"} 5`, `datagrams_total{direction="down"} 6`, `bytes_total{direction="down"} 7`,
		`node_datagrams_total{node="1",direction="up"} 8`, `node_datagrams_total{node="1",direction="down"} 9`,
		`node_datagrams_total{node="3",direction="up"} 0`, `node_datagrams_total{node="3",direction="down"} 10`,
	)
	for i, cause := range []string{"receive-full", "truncated", "send-full", "send-too-large", "send-other"} {
		samples = append(samples, fmt.Sprintf(`socket_drops_total{socket="public",cause=%q} %d`, cause, 11+i),
			fmt.Sprintf(`socket_drops_total{socket="inner",cause=%q} %d`, cause, 16+i))
	}
	text := string(st.appendMetrics(nil))
	for _, want := range samples {
		if strings.Count(text, "\ngodwit_relay_"+want+"\n") != 1 {
			t.Errorf("%s is not there once:\n%s", want, text)
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

// Each drop of a socket is in SocketStats, and under its own name.
func TestStatsOfASocket(t *testing.T) {
	u := udpio.Stats{
		KernelDrops: 1, Truncated: 2, SendFull: 3, SendTooLarge: 4, SendUnreachable: 50, SendDenied: 600, SendFailed: 7000, Batched: true,
	}
	if got, want := socketStats(u), (SocketStats{Lost: 1, Cut: 2, NoRoom: 3, TooLarge: 4, Unsent: 7650, Batched: true}); got != want {
		t.Errorf("%+v are counted, want %+v", got, want)
	}
}

// Stats counts the bytes of what a client sends and gets, and has the nodes in the order of their numbers.
func TestStats(t *testing.T) {
	s := newScript(t, Config{Nodes: []Node{node5, node3, node1, node4, node2}})
	b := check(1)
	s.wantUp("a check", clientAt(1), b, node1)
	s.wantDown("its answer", node1, clientAt(1), false, answer(b), true)
	s.wantDown("a record", node1, clientAt(1), true, record, true)
	st := s.r.ownStats()
	if up, down := (Traffic{1, uint64(len(b))}), (Traffic{2, uint64(len(answer(b)) + len(record))}); st.Up != up || st.Down != down {
		t.Errorf("%+v and %+v are counted, want %+v and %+v", st.Up, st.Down, up, down)
	}
	for range 20 { // the order of a map is random
		for i, n := range s.r.ownStats().Nodes {
			if n.Number != uint32(i+1) {
				t.Fatalf("node %d is at place %d", n.Number, i)
			}
		}
	}
}
