package metrics_test

import (
	"log"
	"net/http"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/metrics"
)

// Players connect at one address, Prometheus asks at another that the world does not
// reach. One ServeMux for both does as well, where a reverse proxy keeps /metrics to
// itself.
func ExampleHandler() {
	srv, err := godwit.Listen(":7777", godwit.Config{ // UDP
		Channels: godwit.Channels{{Name: "move", Mode: godwit.Sequenced}},
	})
	if err != nil {
		log.Fatal(err)
	}
	inner := http.NewServeMux()
	inner.Handle("/metrics", metrics.Handler(srv))
	go http.ListenAndServe("localhost:9100", inner)

	outer := http.NewServeMux()
	outer.Handle("/godwit/", srv)
	log.Fatal(http.ListenAndServe(":8080", outer))
}
