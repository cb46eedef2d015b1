package dashboard_test

import (
	"crypto/subtle"
	"log"
	"net/http"
	"os"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/dashboard"
)

// The dashboard on a port of its own, which only this machine reaches.
func Example() {
	srv, err := godwit.Listen(":7777", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		log.Fatal(http.ListenAndServe("localhost:6060", dashboard.Handler(srv)))
	}()
	http.Handle("/godwit/", srv)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

// The dashboard beside the game's page, behind a password. Serve it over HTTPS: the
// browser sends the password with each poll.
func ExampleHandler() {
	srv, err := godwit.Listen(":7777", godwit.Config{})
	if err != nil {
		log.Fatal(err)
	}
	password := []byte(os.Getenv("OPS_PASSWORD"))
	graphs := dashboard.Handler(srv, "game.example")
	http.HandleFunc("/ops/dashboard/", func(w http.ResponseWriter, r *http.Request) {
		_, got, _ := r.BasicAuth()
		if len(password) == 0 || subtle.ConstantTimeCompare([]byte(got), password) == 0 {
			w.Header().Set("WWW-Authenticate", `Basic realm="ops"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		graphs.ServeHTTP(w, r)
	})
}
