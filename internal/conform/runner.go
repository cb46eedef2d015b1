package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/rtcserver"
)

// A runner hands its cases out, one to each GET of /next, and plays the server of each.
type runner struct {
	rtc   *rtcserver.Server
	cases []Case
	slack time.Duration
	files http.Handler
	tell  func(name, verdict, text string) // of each case when it is over; calls do not overlap
	over  chan struct{}                    // closed when all cases are

	mu      sync.Mutex
	exams   map[string]*exam
	handed  int
	waiting int // cases that are not over
	failed  int
}

type examKey struct{}

func newRunner(list []Case, slack time.Duration, files http.Handler, tell func(name, verdict, text string)) (*runner, error) {
	r := &runner{cases: list, slack: slack, files: files, tell: tell, over: make(chan struct{}), exams: map[string]*exam{}, waiting: len(list)}
	var err error
	r.rtc, err = rtcserver.Listen(":0", rtcserver.Config{
		Settings: rtcserver.Settings{Origins: []string{"*"}, MaxOffers: -1, MaxPerIP: -1, HandshakeTimeout: 10*time.Second + slack},
		Logger:   slog.New(slog.DiscardHandler),
		Handler: rtcserver.Handler{Open: opened, Message: came, Close: func(c *rtcserver.Conn, _ *rtcserver.CloseError) {
			if l, ok := c.User.(*link); ok {
				close(l.gone)
			}
		}},
		Engine: func(c *rtcserver.Conn, q *http.Request) (rtcserver.Engine, error) {
			if x, ok := q.Context().Value(examKey{}).(*exam); ok {
				c.User = newLink(x, c)
			}
			return nil, nil
		},
	})
	return r, err
}

func opened(c *rtcserver.Conn) {
	l, ok := c.User.(*link)
	if !ok {
		return
	}
	x := l.x
	x.mu.Lock()
	x.open = append(x.open, l)
	x.mu.Unlock()
	select {
	case x.links <- l:
	default:
	}
}

func came(c *rtcserver.Conn, m rtcserver.Message) {
	l, ok := c.User.(*link)
	if !ok {
		return
	}
	b := append([]byte{}, m.Data...)
	if m.Stream != 0 || m.Kind != rtcserver.Binary {
		b = nil // malformed: packets are binary messages of the channel with id 0
	}
	select {
	case l.in <- b:
	default:
	}
}

// ServeHTTP answers the driver's requests and the clients' offers.
func (r *runner) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch name, isCase := strings.CutPrefix(q.URL.Path, "/case/"); {
	case isCase:
		r.mu.Lock()
		x := r.exams[name]
		r.mu.Unlock()
		if x == nil {
			http.NotFound(w, q)
			return
		}
		r.offer(w, q, x)
	case q.URL.Path == "/next":
		w.Header().Set("Access-Control-Allow-Origin", "*")
		r.next(w)
	case q.URL.Path == "/":
		io.WriteString(w, Driver)
	case r.files != nil:
		r.files.ServeHTTP(w, q)
	default:
		http.NotFound(w, q)
	}
}

// offer takes a client's request.
func (r *runner) offer(w http.ResponseWriter, q *http.Request, x *exam) {
	if q.Method == http.MethodOptions {
		r.rtc.ServeHTTP(w, q)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 64<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	select {
	case x.posts <- post{time.Now(), q.Method, q.URL.Query(), q.Header.Clone(), string(body)}:
	default:
	}
	x.mu.Lock()
	answer := x.answer
	x.mu.Unlock()
	select {
	case <-x.done: // the case is over, and so is its session
		answer = refusal(http.StatusGone, `{"error":"the case is over","code":"resume","reason":"ended"}`)
	default:
	}
	if answer != nil {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "Retry-After")
		if answer(w, q) {
			return
		}
	}
	r.rtc.ServeHTTP(w, q.WithContext(context.WithValue(q.Context(), examKey{}, x)))
}

// next hands out a case.
func (r *runner) next(w http.ResponseWriter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handed == len(r.cases) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	c := r.cases[r.handed]
	r.handed++
	x := newExam(r.slack)
	r.exams[c.Name] = x
	go r.run(c, x)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"case": c.Name, "path": "/case/" + c.Name, "channels": table})
}

// run runs a case, and tells what came of it.
func (r *runner) run(c Case, x *exam) {
	verdict, text := "ok", ""
	func() {
		defer func() {
			switch e := recover().(type) {
			case nil:
			case failure:
				verdict, text = "FAIL", e.String()
			case skipped:
				verdict, text = "NOT RUN", string(e)
			default:
				panic(e)
			}
		}()
		c.run(x)
	}()
	x.finish()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(c.Name, verdict, text)
	if verdict == "FAIL" {
		r.failed++
	}
	if r.waiting--; r.waiting == 0 {
		close(r.over)
	}
}

// end sums up. What cases that still run find out afterwards is not told.
func (r *runner) end() (failed int, summary string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = func(_, _, _ string) {}
	ended := len(r.cases) - r.waiting
	return r.failed, fmt.Sprintf("%d of %d cases passed or do not apply, %d failed, %d not run", ended-r.failed, len(r.cases), r.failed, r.waiting)
}
