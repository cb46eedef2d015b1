// Package metrics shows the figures of a godwit.Server to Prometheus, in its text
// format, without any dependency.
//
//	http.Handle("/metrics", metrics.Handler(srv))
//
// Every family begins with godwit_ and says in its HELP line what it is. Those of
// godwit_session_ and godwit_channel_ are of all sessions together, and counters keep
// what sessions that are over have counted. Those of godwit_rtc_ and godwit_udp_ are
// of the WebRTC side, and there are none if the server has no port. There is no label
// for a session, an identity or an address, so the number of series is bounded: about
// 160, and 15 for each channel of godwit.Config.Channels. Channels that
// godwit.Conn.OpenChannel added are one, called "opened later".
//
// # Round trips and loss
//
// How sessions are spread over round trips and loss is a figure of the present: a
// session is in it as long as it is open. So these are gauges with the label "le", and
// not histograms, whose buckets are counters that Prometheus expects to grow. They
// are cumulative nevertheless and add up over servers, so that quantiles are at hand,
// without rate:
//
//	histogram_quantile(0.95, sum by (le) (godwit_sessions_by_rtt))
//
// # What a scrape costs
//
// A scrape locks one session after the other, twice and each time for about a
// microsecond, and never the server: 2 ms for 1,000 sessions on one core of a small
// machine, and 16 KB (BenchmarkScrape). Calls that want the lock of the same shard at
// that time wait 0.1 ms longer in one case of ten, and were not seen to wait longer
// than 0.6 ms.
//
// The page tells how many play and how well; it is for an address that only the
// monitoring reaches.
//
// # Elsewhere
//
// A program that has package expvar publishes the same figures as JSON in one line:
//
//	expvar.Publish("godwit", expvar.Func(func() any { return []any{srv.Stats(), srv.Totals()} }))
package metrics
