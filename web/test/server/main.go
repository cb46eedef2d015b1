// Server is godwit's signaling for the tests of the built scripts. It prints its URL, has
// one server for each way to be refused, by path, and ends with its stdin:
//
//	/godwit/  of version "7" with the secret "hush"
//	/full/    that has no room
//	/other/   with another table
//	/seen     is what the last request to one of them said: its query, and its Authorization
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

type seen struct {
	Query         map[string][]string
	Authorization string
	Body          bool // is an offer
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run() error {
	table := godwit.Channels{{Name: "moves", Mode: godwit.Sequenced}, {Name: "chat", Mode: godwit.ReliableOrdered}}
	configs := map[string]godwit.Config{
		"/godwit/": {Channels: table, Version: "7", Secret: "hush"},
		"/full/":   {Channels: table, Authorize: full},
		"/other/":  {Channels: table[:1]},
	}
	var mu sync.Mutex
	var last seen
	mux := http.NewServeMux()
	for path, c := range configs {
		s, err := godwit.Listen("127.0.0.1:0", c)
		if err != nil {
			return err
		}
		defer s.Close()
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
			if err != nil {
				return
			}
			mu.Lock()
			last = seen{r.URL.Query(), r.Header.Get("Authorization"), strings.HasPrefix(string(b), "v=0")}
			mu.Unlock()
			r.Body = io.NopCloser(strings.NewReader(string(b)))
			s.ServeHTTP(w, r)
		})
	}
	mux.HandleFunc("/seen", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		json.NewEncoder(w).Encode(last)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, mux)
	fmt.Printf("http://%s\n", l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// full refuses as a server does that has no room, and says when to come again.
func full(*http.Request) (godwit.Identity, error) {
	return godwit.Identity{}, &rtcserver.StatusError{Status: http.StatusServiceUnavailable, Code: "full", Text: "no room"}
}
