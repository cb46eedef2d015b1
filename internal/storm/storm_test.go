package storm

import (
	"cmp"
	"context"
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

var (
	nodes   = flag.Int("nodes", 10, "`number` of nodes of the simulated fleet")
	perNode = flag.Int("players", 4, "`number` of players of each node at the beginning")
)

// longest is how long a player may wait.
const longest = 20 * time.Second

// A node dies, a region of several nodes is cut off, and all nodes restart at once. Every player plays again soon, those of
// other nodes do not notice, and the requests are spread over time.
func TestStorms(t *testing.T) {
	for _, c := range []struct {
		name  string
		knows bool
	}{{"a front that knows the nodes", true}, {"a load balancer", false}} {
		t.Run(c.name, func(t *testing.T) {
			testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
				f := newFleet(t, network, c.knows)
				defer f.close()
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				go f.run(ctx)
				storms(t, f)
				stop()
				synctest.Wait()
			})
		})
	}
}

func storms(t *testing.T, f *fleet) {
	check := func(what string, fault time.Time, players []*player) wave {
		t.Helper()
		w, err := f.untilBack(fault, players)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s: %v", what, &w)
		if last := w.waits[len(w.waits)-1]; last > longest {
			t.Errorf("%s: a player waits for %v, want at most %v", what, last, longest)
		}
		time.Sleep(15 * time.Second) // until all is quiet
		return w
	}
	fault := time.Now()
	f.join(*nodes * *perNode)
	check("all players connect at once", fault, f.players)

	dead := slices.MaxFunc(f.nodes, func(a, b *node) int { return cmp.Compare(len(f.on(a)), len(f.on(b))) }) // now and then a node has no players
	theirs, fault := f.on(dead), time.Now()
	f.cutOff(dead)
	check("a node dies", fault, theirs)
	f.restart(dead)
	f.comeBack(dead)

	var region []*node
	for _, n := range f.nodes {
		if n.region == 1 {
			region = append(region, n)
		}
	}
	theirs, fault = f.on(region...), time.Now()
	f.cutOff(region...)
	check("a region is cut off", fault, theirs)
	f.comeBack(region...)

	fault = time.Now()
	f.restart(f.nodes...)
	w := check("all nodes restart at once", fault, f.players)
	if most := len(f.players) * 8 / 10; w.peak > most { // 40 to 60 % come in the worst 100 ms; without a random part all did
		t.Errorf("%d requests come in 100 ms, want at most %d", w.peak, most)
	}
}
