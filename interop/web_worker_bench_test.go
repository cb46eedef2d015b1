package interop

import (
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// BenchmarkEchoesOfABlockedPage measures one message an iteration of 60 × 200 B a second, unreliable, of a session in the
// page and of one in a worker: while the page is idle, and while its thread is blocked for 500 ms of each second. Of the worker
// of a blocked page, in-block-… are the messages that were sent while the page was blocked, and between-… the others: both have the
// same noise of the machine.
func BenchmarkEchoesOfABlockedPage(b *testing.B) {
	const block = `window.blocks = [];
		setInterval(() => {
			const from = performance.now();
			while (performance.now() < from + 500);
			blocks.push([from, performance.now()].map((t) => performance.timeOrigin + t));
		}, 1000);`
	const talk = `return (await exchange(arg))[0];`
	for _, kind := range browser.Kinds {
		for _, state := range []struct{ name, js string }{{"idle", "window.blocks = [];"}, {"blocked", block}} {
			load := func(b *testing.B) map[string]any {
				return map[string]any{"channels": []string{"effects"}, "rate": 60, "size": 200, "count": b.N, "drain": 1000}
			}
			b.Run(string(kind)+"/page/"+state.name, func(b *testing.B) {
				p := newWorkerWorld(b, browser.Start(b, kind), netsim.Link{}).tab()
				var got exchanged
				p.doWithin(benchLimit(b.N, 30), `await join();`+state.js+talk, load(b), &got)
				report(b, got.figures())
			})
			b.Run(string(kind)+"/worker/"+state.name, func(b *testing.B) {
				p, worker := newWorkerWorld(b, browser.Start(b, kind), netsim.Link{}).workerTab()
				worker.do(`await join();`, nil, nil)
				p.do(state.js, nil, nil)
				var got exchanged
				worker.doWithin(benchLimit(b.N, 30), talk, load(b), &got)
				report(b, got.figures())
				var blocks [][2]float64
				var origin float64
				p.do(`return blocks;`, nil, &blocks)
				worker.do(`return performance.timeOrigin;`, nil, &origin)
				if len(blocks) > 0 {
					in, between := got.during(blocks, origin)
					b.ReportMetric(in.quantile(.5), "in-block-p50-ms")
					b.ReportMetric(in.quantile(.99), "in-block-p99-ms")
					b.ReportMetric(between.quantile(.5), "between-p50-ms")
					b.ReportMetric(between.quantile(.99), "between-p99-ms")
				}
			})
		}
	}
}

// during returns the latencies of the messages that were sent in blocks, and of the others. origin is that of the clock of Came.
func (e exchanged) during(blocks [][2]float64, origin float64) (in, between figures) {
	for _, c := range e.Came {
		f := &between
		if slices.ContainsFunc(blocks, func(b [2]float64) bool { return b[0] <= origin+c[0] && origin+c[0] < b[1] }) {
			f = &in
		}
		f.ms = append(f.ms, c[1]-c[0])
	}
	slices.Sort(in.ms)
	slices.Sort(between.ms)
	return in, between
}
