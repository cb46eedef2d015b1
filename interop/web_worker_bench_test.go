package interop

import (
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// BenchmarkEchoesOfABlockedPage measures one message an iteration of 60 × 200 B a second, unreliable, of a session in the
// page and of one in a worker: while the page is idle, and while its thread is blocked for 500 ms of each second.
func BenchmarkEchoesOfABlockedPage(b *testing.B) {
	const block = `setInterval(() => { for (const stop = performance.now() + 500; performance.now() < stop; ); }, 1000);`
	const talk = `return (await exchange(arg))[0];`
	for _, kind := range browser.Kinds {
		for _, state := range []struct{ name, js string }{{"idle", ""}, {"blocked", block}} {
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
			})
		}
	}
}
