package relay

import (
	"net/http"
	"strconv"
)

// ServeHTTP answers with the counters in the text format of Prometheus.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func (r *Relay) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s := r.Stats()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(s.appendMetrics(nil))
}

// appendMetrics appends the counters as text.
func (s *Stats) appendMetrics(b []byte) []byte {
	family := func(name, kind, help string) {
		b = append(b, "# HELP godwit_relay_"+name+" "+help+"\n# TYPE godwit_relay_"+name+" "+kind+"\n"...)
	}
	sample := func(name, labels string, v uint64) {
		b = append(b, "godwit_relay_"+name+labels+" "...)
		b = append(strconv.AppendUint(b, v, 10), '\n')
	}
	family("clients", "gauge", "Clients that the relay knows, by whether their nodes have proved their addresses.")
	sample("clients", `{proved="true"}`, uint64(s.Proved))
	sample("clients", `{proved="false"}`, uint64(s.Clients-s.Proved))
	family("datagrams_total", "counter", "Datagrams that were passed on.")
	sample("datagrams_total", `{direction="up"}`, s.Up.Datagrams)
	sample("datagrams_total", `{direction="down"}`, s.Down.Datagrams)
	family("bytes_total", "counter", "Bytes of the datagrams that were passed on, without headers.")
	sample("bytes_total", `{direction="up"}`, s.Up.Bytes)
	sample("bytes_total", `{direction="down"}`, s.Down.Bytes)
	family("node_datagrams_total", "counter", "Datagrams that were passed on, by node.")
	for _, n := range s.Nodes {
		label := `{node="` + strconv.FormatUint(uint64(n.Number), 10) + `",direction="`
		sample("node_datagrams_total", label+`up"}`, n.Up)
		sample("node_datagrams_total", label+`down"}`, n.Down)
	}
	family("drops_total", "counter", "Datagrams that were dropped, by cause; anyone can send them.")
	for i, n := range s.Drops {
		sample("drops_total", `{cause="`+DropReason(i).String()+`"}`, n)
	}
	family("socket_drops_total", "counter", "Datagrams that a socket has lost or not sent, by cause.")
	for _, socket := range []struct {
		name string
		SocketStats
	}{{"public", s.Public}, {"inner", s.Inner}} {
		label := `{socket="` + socket.name + `",cause="`
		sample("socket_drops_total", label+`receive-full"}`, socket.Lost)
		sample("socket_drops_total", label+`truncated"}`, socket.Cut)
		sample("socket_drops_total", label+`send-full"}`, socket.NoRoom)
		sample("socket_drops_total", label+`send-too-large"}`, socket.TooLarge)
		sample("socket_drops_total", label+`send-other"}`, socket.Unsent)
	}
	return b
}
