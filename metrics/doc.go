// Package metrics shows the figures of a godwit.Server to Prometheus, in its text
// format. It has no dependencies.
//
//	http.Handle("/metrics", metrics.Handler(srv))
//
// The name of every family begins with godwit_, and its HELP line says what it is. The
// families godwit_session_ and godwit_channel_ are sums over all sessions; their
// counters include the sessions that are over. The families godwit_rtc_ and godwit_udp_
// are of the WebRTC side; there are none if the server has no port. The families
// godwit_links are of the other links, and godwit_sessions_by_link says which link carries
// how many sessions. There is no label
// for a session, an identity or an address, so the number of series is limited: about
// 170, and 15 for each channel of godwit.Config.Channels. All channels that
// godwit.Conn.OpenChannel has added are one channel, with the label "opened later".
//
// # Round trips and loss
//
// godwit_sessions_by_rtt and godwit_sessions_by_loss count the sessions that are open
// now. So they are gauges with the label "le". They are not histograms: the buckets of a
// histogram are counters, and Prometheus expects counters to increase. But they are
// cumulative and can be added over servers, so that a query for a quantile needs no rate:
//
//	histogram_quantile(0.95, sum by (le) (godwit_sessions_by_rtt))
//
// # What a scrape costs
//
// A scrape locks each session twice, for about a microsecond each time, one session
// after the other. It never locks the whole server. It takes 2 ms for 1,000 sessions on
// one core of a small machine, and 16 KB (BenchmarkScrape). Calls that need the lock of
// the same shard at that time wait 0.1 ms longer in one of ten cases; the longest wait
// that was measured is 0.6 ms.
//
// The page says how many players there are and how good their connections are. Serve it
// at an address that only the monitoring can reach.
//
// # Other systems
//
// A program that uses package expvar publishes the same figures as JSON in one line:
//
//	expvar.Publish("godwit", expvar.Func(func() any { return []any{srv.Stats(), srv.Totals()} }))
package metrics
