package client_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

func TestEcho(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		w.send(c, "hello")
		w.want("3 0 hello")
		if err := c.Send(0, client.Binary, nil); err != nil {
			t.Fatal(err)
		}
		w.want("0 1 ")
		if got := c.RemoteAddr().String(); got != "192.0.2.1:7777" {
			t.Errorf("RemoteAddr() = %v, want 192.0.2.1:7777", got)
		}
		st := e.Stats()
		if st.Conns != 1 || st.Opened != 1 || st.MessagesIn != 2 || st.MessagesOut != 2 || st.Strangers != 0 {
			t.Errorf("%+v, want 1 connection opened, 2 messages in and 2 out", st)
		}
	})
}

// An offer may insist on a DTLS role.
func TestClientAsDTLSClient(t *testing.T) {
	inWorld(t, func(w *world) {
		w.edit = testkit.Replace("a=setup:actpass", "a=setup:active")
		c := w.connect(w.endpoint(client.Config{}))
		w.send(c, "hello")
		w.want("3 0 hello")
	})
}

func TestConnectsAndEchoesUnderLoss(t *testing.T) {
	inWorld(t, func(w *world) {
		w.network.SetDefault(netsim.Link{Loss: 0.2, Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond})
		c := w.connect(w.endpoint(client.Config{}))
		for range 500 {
			w.send(c, "x")
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := len(w.events); n < 250 || n > 400 {
			t.Errorf("%d of 500 echoes came back, want about 320", n)
		}
	})
}

func TestMessagesInABatch(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.connect(w.endpoint(client.Config{}))
		for _, text := range []string{"a", "b", "c"} {
			w.send(c, text)
		}
		for _, text := range []string{"a", "b", "c"} {
			w.want("3 0 " + text)
		}
		w.wantQuiet()
	})
}

// A message has left when Send returns. If nothing acknowledges it, the client gives it up 300 ms
// later, and tells the server.
func TestSendWaitsForNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		w.send(c, "hello")
		w.want("3 0 hello")
		time.Sleep(time.Second)
		synctest.Wait()   // no turn that was due at this moment runs any more
		var mu sync.Mutex // the tap runs on the goroutine that sends
		var left []time.Duration
		sent := func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(left)
		}
		start := time.Now()
		w.network.SetTap(func(p *netsim.Packet) bool {
			if p.From == e.Addr() && p.Payload[0] == 23 { // a DTLS record with data
				mu.Lock()
				left = append(left, time.Since(start))
				mu.Unlock()
			}
			return false
		})
		w.send(c, "lost")
		if n := len(sent()); n != 1 {
			t.Errorf("%d datagrams have left when Send returns, want 1", n)
		}
		time.Sleep(500 * time.Millisecond)
		if got := sent(); len(got) != 2 || got[1] != 300*time.Millisecond {
			t.Errorf("datagrams have left after %v, want 0 and 300 ms", got)
		}
	})
}

// A message is acknowledged at once.
func TestAcknowledgementsDoNotWait(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		time.Sleep(time.Second)
		synctest.Wait()
		var left atomic.Int32 // the tap runs on the goroutine that sends
		w.network.SetTap(func(p *netsim.Packet) bool {
			if p.From == e.Addr() && p.Payload[0] == 23 {
				left.Add(1)
			}
			return true
		})
		w.send(c, "hello")
		w.want("3 0 hello")
		synctest.Wait()
		if n := left.Load(); n != 2 {
			t.Errorf("%d datagrams have left, want 2: the message and the acknowledgement of its echo", n)
		}
	})
}

func TestCloseIsHeardByTheServer(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.connect(w.endpoint(client.Config{}))
		w.send(c, "so that the server is open too")
		w.want("3 0 so that the server is open too")
		begin := time.Now()
		c.Close()
		w.wantBoth("close: closed by the client", "server: closed by the page")
		if d := time.Since(begin); d > 0 {
			t.Errorf("the end is reported after %v, want at once", d)
		}
		if err := c.Send(0, client.Text, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send on a closed connection: %v, want ErrClosed", err)
		}
		c.Close()
		time.Sleep(time.Minute)
		w.wantQuiet()
	})
}

// A close that is lost is sent again.
func TestACloseThatIsLost(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		w.send(c, "so that the server is open too")
		w.want("3 0 so that the server is open too")
		synctest.Wait() // the acknowledgement of the echo has left
		lost := false
		w.network.SetTap(func(p *netsim.Packet) bool {
			lose := p.From == e.Addr() && !lost
			lost = lost || lose
			return !lose
		})
		begin := time.Now()
		c.Close()
		w.want("close: closed by the client")
		w.want("server: closed by the page")
		if d := time.Since(begin); d == 0 || d > time.Second {
			t.Errorf("the server knows of the end after %v, want at most 1 s", d)
		}
	})
}

// When Close of an endpoint returns, the last handler has returned.
func TestCloseWaitsForTheHandlers(t *testing.T) {
	inWorld(t, func(w *world) {
		var over atomic.Bool
		e := testkit.Must(client.Serve(testkit.Listen(t, w.network, pageAddr), client.Config{Handler: client.Handler{
			Close: func(*client.Conn, *client.CloseError) { time.Sleep(time.Second); over.Store(true) },
		}}))
		testkit.Must(e.Connect(w.t.Context(), w.signal, nil))
		if e.Close(); !over.Load() {
			t.Error("Close has returned before the handler")
		}
		testkit.Listen(t, w.network, e.Addr()) // the socket is closed, too
	})
}

// When the socket fails, the connections end.
func TestTheEndOfTheSocket(t *testing.T) {
	inWorld(t, func(w *world) {
		socket := testkit.Listen(t, w.network, pageAddr)
		ended := make(chan client.CloseCode, 1)
		e := testkit.Must(client.Serve(socket, client.Config{Handler: client.Handler{
			Close: func(_ *client.Conn, err *client.CloseError) { ended <- err.Code },
		}}))
		c := testkit.Must(e.Connect(w.t.Context(), w.signal, nil))
		socket.Close()
		if code := testkit.Next(t, "the end", ended); code != client.CloseByClient {
			t.Errorf("the connection ends with %v", code)
		}
		synctest.Wait()
		if err := c.Send(0, client.Text, nil); err != session.ErrClosed {
			t.Errorf("Send: %v", err)
		}
		if n := e.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// A torn socket sends nothing.
type torn struct{ net.PacketConn }

func (torn) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.New("torn") }

// Stats has the datagrams that the socket has not sent.
func TestSendsThatFailAreCounted(t *testing.T) {
	inWorld(t, func(w *world) {
		e := testkit.Must(client.Serve(torn{testkit.Listen(t, w.network, pageAddr)}, client.Config{}))
		defer e.Close()
		if _, err := e.Connect(w.t.Context(), w.signal, nil); err == nil {
			t.Error("it connects")
		}
		synctest.Wait()
		if st := e.Stats(); st.SendFailed == 0 || st.SendFailed != st.DatagramsOut {
			t.Errorf("%d of %d datagrams have failed", st.SendFailed, st.DatagramsOut)
		}
	})
}

// Serve needs a valid Config and an open socket.
func TestServeThatFails(t *testing.T) {
	if e, err := client.Serve(nil, client.Config{SilenceTimeout: 1}); e != nil || err == nil {
		t.Errorf("the error is %v", err)
	}
	closed := testkit.Must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	closed.Close()
	if e, err := client.Serve(closed, client.Config{}); e != nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket: %v, want net.ErrClosed", err)
	}
}

// The server's ClientHello may overtake its answer to the client's check: the handshake begins with it.
func TestAHandshakeThatOvertakesTheAnswer(t *testing.T) {
	inWorld(t, func(w *world) {
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		e := w.endpoint(client.Config{})
		held, hellos := false, 0
		w.network.SetTap(func(p *netsim.Packet) bool {
			if p.From == gameAddr && p.Payload[0] == 22 {
				hellos++
			}
			hold := p.From == gameAddr && p.Payload[0] < 4 && !held
			if hold {
				held = true
				b := bytes.Clone(p.Payload)
				time.AfterFunc(50*time.Millisecond, func() { w.network.Inject(gameAddr, e.Addr(), b) })
			}
			return !hold
		})
		begin := time.Now()
		w.connect(e)
		if d := time.Since(begin); d > 150*time.Millisecond {
			t.Errorf("it took %v, with %d datagrams of the server's handshake", d, hellos)
		}
	})
}

// STUN that does not answer a check of the client, from the server's address, begins no handshake.
func TestAnswersThatNobodyAskedFor(t *testing.T) {
	inWorld(t, func(w *world) {
		w.network.SetDefault(netsim.Link{Loss: 1})
		e := w.endpoint(client.Config{})
		time.AfterFunc(time.Second, func() {
			w.network.Inject(gameAddr, e.Addr(), append([]byte{1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...))
		})
		_, err := e.Connect(w.t.Context(), w.signal, nil)
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoAnswer {
			t.Errorf("Connect: %v, want CloseNoAnswer", err)
		}
	})
}

func TestServersCloseIsHeard(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		w.send(c, "so that the server is open too")
		w.want("3 0 so that the server is open too")
		for c := range w.server.Conns() {
			c.Close("you are out")
		}
		w.wantBoth("close: closed by the server", "server: closed by the server")
		time.Sleep(10 * time.Second)
		if st := e.Stats(); st.Conns != 0 || st.Closed != 1 {
			t.Errorf("%+v, want no connection, 1 closed", st)
		}
	})
}

func TestSilentServer(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.connect(w.endpoint(client.Config{SilenceTimeout: 5 * time.Second}))
		w.network.SetDefault(netsim.Link{Loss: 1})
		begin := time.Now()
		w.want("close: the server does not answer any more")
		if d := time.Since(begin); d < 2*time.Second || d > 5*time.Second {
			t.Errorf("the end is reported after %v, want 2 to 5 s", d)
		}
		if err := c.Send(0, client.Text, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.network.SetDefault(netsim.Link{Loss: 1})
		_, err := w.endpoint(client.Config{}).Connect(w.t.Context(), w.signal, nil)
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoAnswer {
			t.Errorf("Connect: %v, want CloseNoAnswer", err)
		}
		w.wantQuiet()
	})
}

func TestImpostor(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		_, err := e.Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
			answer, err := w.signal(ctx, offer)
			return []byte(testkit.Replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:")(string(answer))), err
		}, nil)
		if err == nil {
			t.Fatal("an answer with a malformed fingerprint is accepted")
		}
		_, err = e.Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
			answer, err := w.signal(ctx, offer)
			return withOtherFingerprint(answer), err
		}, nil)
		if e, ok := errors.AsType[*client.CloseError](err); !ok || e.Code != client.CloseNoHandshake || !errors.Is(err, e.Err) {
			t.Errorf("Connect: %v, want CloseNoHandshake and its cause", err)
		}
	})
}

func TestRefusal(t *testing.T) {
	inWorld(t, func(w *world) {
		w.edit = testkit.Replace("m=application", "m=audio")
		_, err := w.endpoint(client.Config{}).Connect(w.t.Context(), w.signal, nil)
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != 400 {
			t.Errorf("Connect: %v, want status 400", err)
		}
	})
}

func TestContextEndsTheConnecting(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		w.network.SetDefault(netsim.Link{Loss: 1})
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		defer cancel()
		if _, err := e.Connect(ctx, w.signal, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect: %v, want DeadlineExceeded", err)
		}
		time.Sleep(10 * time.Second)
		if st := e.Stats(); st.Conns != 0 {
			t.Errorf("%d connections, want 0", st.Conns)
		}
		w.wantQuiet()
	})
}

func TestSecondConnectionToOneServerNeedsAnAddress(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		if _, err := e.Connect(w.t.Context(), w.signal, nil); !errors.Is(err, client.ErrAddressInUse) {
			t.Errorf("Connect: %v, want ErrAddressInUse", err)
		}
		w.send(c, "the server is open, too")
		w.want("3 0 the server is open, too")
		c.Close()
		w.wantBoth("close: closed by the client", "server: closed by the page")
		time.Sleep(5 * time.Second)
		w.connect(e)
	})
}

// The server gets the close of a connection also if the next connection uses the same address
// before the loop has sent the last datagrams.
func TestGoodbyeBeforeTheNextConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		pc := testkit.Listen(t, w.network, pageAddr)
		next := make(chan error, 1)
		var e *client.Endpoint
		var err error
		e, err = client.Serve(pc, client.Config{Handler: client.Handler{Message: func(c *client.Conn, _ client.Message) {
			c.Close()
			go func() {
				_, err := e.Connect(w.t.Context(), w.signal, nil)
				next <- err
			}()
			time.Sleep(time.Millisecond) // until it waits for this handler
		}}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		c, err := e.Connect(w.t.Context(), w.signal, nil)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		w.send(c, "now")
		w.want("server: closed by the page")
		if d := time.Since(begin); d > time.Second {
			t.Errorf("the end is reported after %v, want at most 1 s", d)
		}
		if err := <-next; err != nil {
			t.Error(err)
		}
	})
}

func TestEndpointCloses(t *testing.T) {
	inWorld(t, func(w *world) {
		e := w.endpoint(client.Config{})
		c := w.connect(e)
		w.send(c, "so that the server is open too")
		w.want("3 0 so that the server is open too")
		e.Close()
		w.wantBoth("close: closed by the client", "server: closed by the page")
		if err := c.Send(0, client.Text, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		if _, err := e.Connect(w.t.Context(), w.signal, nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Connect: %v, want ErrClosed", err)
		}
		e.Close()
	})
}

// An endpoint that is closed while it dials ends that too, wherever it is.
func TestEndpointClosesWhileDialing(t *testing.T) {
	inWorld(t, func(w *world) {
		for _, c := range []struct {
			name string
			loss float64
			slow time.Duration // signaling
			want string
		}{
			{"in signaling", 0, time.Second, session.ErrClosed.Error()},
			{"in checks", 1, 0, "client: closed by the client"},
		} {
			w.network.SetDefault(netsim.Link{Loss: c.loss})
			e := w.endpoint(client.Config{})
			done := make(chan error, 1)
			go func() {
				_, err := e.Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
					time.Sleep(c.slow)
					return w.signal(ctx, offer)
				}, nil)
				done <- err
			}()
			synctest.Wait()
			e.Close()
			if err := <-done; err == nil || err.Error() != c.want {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if st := e.Stats(); st.Conns != 0 {
				t.Errorf("%s: %d connections, want 0", c.name, st.Conns)
			}
		}
	})
}

func TestTooLarge(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.connect(w.endpoint(client.Config{}))
		if err := c.Send(0, client.Binary, make([]byte, client.MaxMessage+1)); !errors.Is(err, client.ErrTooLarge) {
			t.Errorf("Send: %v, want ErrTooLarge", err)
		}
		if err := c.Send(0, client.Binary, make([]byte, client.MaxMessage)); err != nil {
			t.Errorf("Send of the largest message: %v, want nil", err)
		}
	})
}

func TestIdleConnectionStays(t *testing.T) {
	inWorld(t, func(w *world) {
		c := w.connect(w.endpoint(client.Config{}))
		time.Sleep(10 * time.Minute)
		w.wantQuiet()
		w.send(c, "still here")
		w.want("3 0 still here")
	})
}

// withOtherFingerprint returns the answer with a fingerprint of another certificate than the
// server's.
func withOtherFingerprint(answer []byte) []byte {
	const name = "a=fingerprint:sha-256 "
	for i := range answer {
		if string(answer[i:min(i+len(name), len(answer))]) == name {
			for j := i + len(name); j < i+len(name)+95; j += 3 {
				answer[j], answer[j+1] = '0', '0'
			}
		}
	}
	return answer
}

// The first round trip is the check, and its answer with the server's ClientHello. The second is
// this end's flight, and the server's Finished with its INIT. The third is the SCTP handshake.
func TestOpensInThreeRoundTrips(t *testing.T) {
	inWorld(t, func(w *world) {
		const rtt = 100 * time.Millisecond
		w.network.SetDefault(netsim.Link{Delay: rtt / 2})
		begin := time.Now()
		w.connect(w.endpoint(client.Config{}))
		if d := time.Since(begin); d > 3*rtt {
			t.Errorf("open after %v, want at most three round trips, %v", d, 3*rtt)
		}
	})
}

// A datagramFlood is a socket on which there is always one more datagram.
type datagramFlood struct {
	*netsim.Conn
	taken atomic.Int64
}

func (t *datagramFlood) Queued() int { return 1000 }

func (t *datagramFlood) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	t.taken.Add(1)
	return copy(b, "not ours"), netip.MustParseAddrPort("192.0.2.9:9"), nil
}

// On one processor other goroutines run after each batch although there is always another
// datagram.
func TestLoopLeavesRoom(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	socket, err := netsim.New(1).Listen(netip.MustParseAddrPort("192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	flood := &datagramFlood{Conn: socket}
	e, err := client.Serve(flood, client.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const turns, batch = 100, 8
	for range turns {
		runtime.Gosched()
	}
	if n := flood.taken.Load(); n == 0 || n > 4*turns*batch {
		t.Errorf("in %d turns of another goroutine %d datagrams are received, want 1 to %d", turns, n, 4*turns*batch)
	}
}

// A server that names the address of another server beside its own does not prevent a connection
// to the other server.
func TestAnswersThatNameAnothersAddress(t *testing.T) {
	inWorld(t, func(w *world) {
		pc := testkit.Listen(t, w.network, netip.MustParseAddrPort("203.0.113.5:9"))
		greedy, err := rtcserver.Serve(pc, rtcserver.Config{Settings: rtcserver.Settings{Public: []netip.AddrPort{
			netip.MustParseAddrPort("203.0.113.5:9"), gameAddr,
		}}})
		if err != nil {
			t.Fatal(err)
		}
		defer greedy.Close()
		e := w.endpoint(client.Config{})
		_, err = e.Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
			return greedy.Answer(ctx, offer, netip.Addr{})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.want("open")
		c := w.connect(e)
		if err := c.Send(3, client.Text, []byte("ping")); err != nil {
			t.Fatal(err)
		}
		w.want("3 0 ping")
	})
}
