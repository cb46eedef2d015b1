package metrics

import "iter"

// AppendBad appends the numbers of messages that could not be decoded, which typed.Bad yields for a
// table of typed messages. A program that has such a table answers with both:
//
//	b := metrics.AppendBad(metrics.Append(nil, srv), typed.Bad(game))
//
// The numbers are those of the process, not of one server.
func AppendBad[S interface {
	ByCause() iter.Seq2[string, uint64]
}](b []byte, rows iter.Seq2[string, S]) []byte {
	p := &page{b: b}
	p.counter("godwit_bad_messages_total", "Typed messages that could not be decoded, by cause.")
	for name, stats := range rows {
		for cause, n := range stats.ByCause() {
			p.add(n, "row", name, "cause", cause)
		}
	}
	return p.b
}
