package rtcserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A signalingFlood is a server with its signaling on a real socket, behind an http.Server with
// the limits that docs/security.md recommends, and its attackers.
type signalingFlood struct {
	t      *testing.T
	server *Server
	web    *httptest.Server
	over   chan struct{}

	refused, cut atomic.Uint64 // junk that was answered, and that was not
}

func newSignalingFlood(t *testing.T) *signalingFlood {
	server, err := Listen("127.0.0.1:0", Config{
		Settings: unhurried(Settings{Certificate: serverCertificate, MaxPerIP: -1, MaxOffers: -1}), // or only the limits are tested
		Handler:  Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	s := &signalingFlood{t: t, server: server, web: httptest.NewUnstartedServer(server), over: make(chan struct{})}
	s.web.Config.ReadHeaderTimeout, s.web.Config.IdleTimeout = 5*time.Second, time.Minute
	s.web.Start()
	t.Cleanup(s.web.Close)
	return s
}

// A thousand slow sockets and junk at full speed over loopback, with bodies of 10 MB and of
// a million lines, while pages send at 60 Hz. A page sends when it has its echo, so an echo
// that does not come was lost and not late. Long form: a minute.
func TestSignalingUnderSiegeLeavesLiveTrafficAlone(t *testing.T) {
	s := newSignalingFlood(t)
	const pages = 20
	conns, echoes := make([]*client.Conn, pages), make([]chan string, pages)
	for i := range pages {
		conns[i], echoes[i] = dial(t, s.web.URL)
		defer conns[i].Close()
	}
	var all sync.WaitGroup
	times := make([][]time.Duration, pages)
	for i := range pages {
		all.Go(func() { times[i] = s.play(conns[i], echoes[i]) })
	}
	for range 2 {
		all.Go(s.junk)
	}
	const sockets = 1000
	rounds := count(1, 6)
	for range rounds {
		s.hold(sockets)
	}
	close(s.over)
	all.Wait()

	took := slices.Sorted(slices.Values(slices.Concat(times...)))
	if len(took) == 0 {
		t.Fatal("no message has come back")
	}
	st := s.server.Stats()
	t.Logf("%d echoes: p50 %v, p99 %v, the slowest %v; junk: %d refused, %d cut off; %d slow offers",
		len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1],
		s.refused.Load(), s.cut.Load(), st.Refused[http.StatusRequestTimeout])
	if st.Conns != pages || st.Opened != pages || st.Pending != 0 {
		t.Errorf("%+v, want %d connections and none pending", st, pages)
	}
	if n := st.Refused[http.StatusRequestTimeout]; n != uint64(rounds*sockets/2) {
		t.Errorf("%d slow offers were refused, want half of the sockets", n)
	}
}

// play is a page: 60 messages a second, each of which must come back. It returns
// how long they took.
func (s *signalingFlood) play(c *client.Conn, echo chan string) (took []time.Duration) {
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	for {
		select {
		case <-s.over:
			return took
		case <-tick.C:
		}
		began, text := time.Now(), fmt.Sprint(len(took))
		c.Send(0, client.Text, []byte(text))
		select {
		case got := <-echo:
			if got != text {
				s.t.Errorf("%q has come back for %q", got, text)
			}
		case <-time.After(testkit.Patience):
			s.t.Errorf("message %s of %v was lost", text, c.LocalAddr())
			return took
		}
		took = append(took, time.Since(began))
	}
}

// hold opens sockets that send a byte four times a second: a quarter of them in their
// headers, a quarter nothing at all, half in their body. It returns when the
// server has given up all of them.
func (s *signalingFlood) hold(sockets int) {
	beginnings := []string{
		"POST / HTTP/1.1\r\nHost: game.example\r\nX: ", "",
		"POST / HTTP/1.1\r\nHost: game.example\r\nContent-Length: 2000\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: game.example\r\nContent-Length: 2000\r\n\r\nv=0\r\n",
	}
	var held sync.WaitGroup
	conns := make([]net.Conn, 0, sockets)
	for i := range sockets {
		c, err := net.Dial("tcp", s.web.Listener.Addr().String())
		if err != nil {
			s.t.Errorf("socket %d: %v", i, err)
			break
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(testkit.Patience))
		io.WriteString(c, beginnings[i%4])
		conns = append(conns, c)
		held.Go(func() {
			_, err := io.Copy(io.Discard, bufio.NewReader(c))
			if e, ok := err.(net.Error); ok && e.Timeout() {
				s.t.Errorf("socket %d was open for %v", i, testkit.Patience)
			}
		})
	}
	given := make(chan struct{})
	go func() { held.Wait(); close(given) }()
	drip := time.NewTicker(time.Second / 4)
	defer drip.Stop()
	for {
		select {
		case <-given:
			return
		case <-drip.C:
			for i, c := range conns {
				if i%4 != 1 {
					io.WriteString(c, "v") // to one that is closed nothing happens
				}
			}
		}
	}
}

// junk sends invalid offers as fast as they are refused.
func (s *signalingFlood) junk() {
	offer := browserOffer(s.t)
	anonymous := strings.Replace(offer, "a=fingerprint:", "a=thumb:", 1)
	bodies := []string{
		"", "hello", anonymous, anonymous, anonymous,
		strings.Repeat("x", 10<<20),
		offer + strings.Repeat("a=x\r\n", 1_000_000),
		offer + "a=" + strings.Repeat("x", 12<<10) + "\r\n",
		`{"sdp":` + strings.Repeat("[", 10_000),
	}
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for i := 0; ; i++ {
		select {
		case <-s.over:
			return
		default:
		}
		resp, err := c.Post(s.web.URL, "application/sdp", strings.NewReader(bodies[i%len(bodies)]))
		if err != nil { // the server closed before all of it was written
			s.cut.Add(1)
			continue
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		s.refused.Add(1)
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestEntityTooLarge {
			s.t.Errorf("invalid bytes get the status %d, want 400 or 413", resp.StatusCode)
		}
	}
}
