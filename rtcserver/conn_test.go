package rtcserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

func TestEventsComeInOrderAndOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		p.echoes("the server echoes")
		p.conn.Close()
		w.want("first", "open 1")
		w.want("then", "message 1: 3 0 ping")
		w.want("at last", "close 1: closed by the page")
		time.Sleep(time.Minute)
		w.wantQuiet("that was all")
		if st := w.server.Stats(); st.Conns != 0 || st.Opened != 1 || st.Closed[CloseByPage] != 1 || st.MessagesIn != 1 || st.MessagesOut != 1 {
			t.Errorf("%+v, want 1 connection opened and closed by its page, 1 message in and 1 out", st)
		}
		wantNothing(t, w.server)
	})
}

func TestMessagesKeepTheirKindAndBytes(t *testing.T) {
	var got []Message
	inWorld(t, Config{Handler: Handler{Message: func(c *Conn, m Message) {
		m.Data = bytes.Clone(m.Data)
		got = append(got, m)
	}}}, func(w *world) {
		p := w.open()
		all := bytes.Repeat([]byte{0, 255, '\r'}, 400)[:MaxMessage]
		for _, m := range []struct {
			stream uint16
			kind   client.Kind
			data   []byte
		}{{0, client.Text, []byte("text")}, {7, client.Binary, []byte{0}}, {3, client.Text, nil}, {3, client.Binary, nil}, {1, client.Binary, all}} {
			if err := p.conn.Send(m.stream, m.kind, m.data); err != nil {
				w.t.Fatal(err)
			}
		}
		synctest.Wait()
		want := []Message{{Text, 0, "", []byte("text")}, {Binary, 7, "", []byte{0}}, {Text, 3, "", nil}, {Binary, 3, "", nil}, {Binary, 1, "", all}}
		if len(got) != len(want) {
			w.t.Fatalf("%d messages came, want %d", len(got), len(want))
		}
		for i, g := range got {
			if g.Kind != want[i].Kind || g.Stream != want[i].Stream || !bytes.Equal(g.Data, want[i].Data) {
				t.Errorf("message %d is %v %d %q, want %v %d %q", i, g.Kind, g.Stream, g.Data, want[i].Kind, want[i].Stream, want[i].Data)
			}
		}
	})
}

func TestSendFromAnywhere(t *testing.T) {
	conns := make(chan *Conn, 1)
	inWorld(t, Config{Handler: Handler{Open: func(c *Conn) {
		c.Send(0, Text, []byte("from a handler"))
		conns <- c
	}}}, func(w *world) {
		p := w.open()
		c := <-conns
		p.want("in Open", "0 0 from a handler")
		if err := c.Send(0, Text, []byte("from outside")); err != nil {
			w.t.Fatal(err)
		}
		p.want("from another goroutine", "0 0 from outside")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 50 {
					c.Send(5, Binary, []byte("x"))
				}
			})
		}
		all.Wait()
		for i := range 400 {
			if got := testkit.Next(t, "the page", p.events); got != "5 1 x" {
				w.t.Fatalf("event %d is %q, want 5 1 x", i, got)
			}
		}
		if st := c.Stats(); st.MessagesOut != 402 {
			t.Errorf("%d messages are sent, want 402", st.MessagesOut)
		}
	})
}

func TestTooLargeNamesTheLimit(t *testing.T) {
	conns := make(chan *Conn, 1)
	inWorld(t, Config{Handler: Handler{Open: func(c *Conn) { conns <- c }}}, func(w *world) {
		w.open()
		err := (<-conns).Send(0, Binary, make([]byte, MaxMessage+1))
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1160") {
			t.Errorf("Send: %v, want ErrTooLarge with the limit 1160", err)
		}
	})
}

func TestKick(t *testing.T) {
	conns := make(chan *Conn, 1)
	var why *CloseError
	inWorld(t, Config{Handler: Handler{
		Open:  func(c *Conn) { conns <- c },
		Close: func(c *Conn, err *CloseError) { why = err },
	}}, func(w *world) {
		p := w.open()
		c := <-conns
		c.Close("you are out")
		c.Close("twice")
		p.want("the page hears it", "close: closed by the server")
		synctest.Wait()
		if why == nil || why.Code != CloseByServer || why.Text != "you are out" || !strings.Contains(why.Error(), "you are out") {
			t.Errorf("Close of the handler gets %v, want CloseByServer with the text", why)
		}
		if err := c.Send(0, Text, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after the close: %v, want ErrClosed", err)
		}
		time.Sleep(3 * time.Second)
		wantNothing(t, w.server)
		if c.RemoteAddr() != p.addr() {
			t.Errorf("the address after the close is %v, want %v", c.RemoteAddr(), p.addr())
		}
	})
}

// The first close message is lost; the second answers the next packet of the page.
func TestKickIsHeardThoughTheFirstFarewellIsLost(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		p.echoes("it is open")
		w.network.BlackoutFor(serverAddr.Addr(), p.addr().Addr(), 100*time.Millisecond)
		for c := range w.server.Conns() {
			c.Close("")
		}
		time.Sleep(200 * time.Millisecond)
		p.send("are you there?")
		p.want("the farewell is repeated", "close: closed by the server")
	})
}

// The close message is also repeated for a page that sends nothing.
func TestKickIsHeardByASilentPage(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		p.echoes("it is open")
		w.network.BlackoutFor(serverAddr.Addr(), p.addr().Addr(), 700*time.Millisecond)
		for c := range w.server.Conns() {
			c.Close("")
		}
		begin := time.Now()
		p.want("the farewell is repeated", "close: closed by the server")
		if d := time.Since(begin); d > 1500*time.Millisecond {
			t.Errorf("the end is reported after %v, want at most 1.5 s", d)
		}
	})
}

func TestCloseInAHandlerStopsItsEvents(t *testing.T) {
	messages, closes := 0, 0
	inWorld(t, Config{Handler: Handler{
		Message: func(c *Conn, m Message) { messages++; c.Close("enough") },
		Close:   func(*Conn, *CloseError) { closes++ },
	}}, func(w *world) {
		p := w.open()
		for range 10 {
			p.conn.Send(3, client.Text, []byte("x")) // or it is closed already
		}
		p.want("it is closed", "close: closed by the server")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if messages < 1 || messages > 10 || closes != 1 {
			t.Errorf("%d messages and %d closes are delivered, want 1 to 10 and 1", messages, closes)
		}
	})
}

func TestSilentPageTimesOut(t *testing.T) {
	inWorld(t, Config{Settings: Settings{SilenceTimeout: 5 * time.Second}}, func(w *world) {
		p := w.open()
		w.want("it is open", "open 1")
		w.network.SetDefault(netsim.Link{Loss: 1})
		begin := time.Now()
		w.want("then nothing", "close 1: the page was silent for too long")
		if d := time.Since(begin); d < 2*time.Second || d > 5*time.Second {
			t.Errorf("the end is reported after %v, want 2 to 5 s", d)
		}
		if w.server.Stats().Closed[CloseTimeout] != 1 {
			t.Errorf("the timeout is counted %d times, want once", w.server.Stats().Closed[CloseTimeout])
		}
		synctest.Wait()
		wantNothing(t, w.server)
		p.Close()
	})
}

// leveled is a lineLog with a level that changes.
type leveled struct {
	*lineLog
	level slog.LevelVar
}

func (l *leveled) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

// A move has a line if the level of the log is debug when the page moves, whatever the level was before. Who does not know the address before does
// not say it.
func TestMovesInALogWhoseLevelChanges(t *testing.T) {
	const off, on = slog.LevelInfo, slog.LevelDebug
	for _, c := range []struct{ levels, want string }{
		{"off on on", "to 1; from 1 to 2"},
		{"on off on", "to 2"},
		{"on on off", "from 0 to 1"},
		{"off off off", ""},
		{"on on on", "from 0 to 1; from 1 to 2"},
	} {
		l := &leveled{lineLog: new(lineLog)}
		inWorld(t, Config{Logger: slog.New(l)}, func(w *world) {
			var p *page
			var at []netip.AddrPort
			for i, level := range strings.Fields(c.levels) {
				l.level.Set(off)
				if level == "on" {
					l.level.Set(on)
				}
				if i == 0 {
					p = w.open()
				} else if err := p.socket.Rebind(netip.AddrPortFrom(p.addr().Addr(), uint16(50000+i))); err != nil {
					t.Fatal(err)
				}
				time.Sleep(4 * time.Second) // a check comes at least every 3 s
				p.echoes("it is there")
				at = append(at, p.addr())
			}
			var got []string
			for _, line := range l.with("moved", "conn=1") {
				_, line, _ = strings.Cut(line, "conn=1 ")
				for i, a := range at {
					line = strings.ReplaceAll(line, "="+a.String(), " "+strconv.Itoa(i))
				}
				got = append(got, strings.TrimSpace(line))
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("%s: the lines of moves are %q, want %q", c.levels, got, c.want)
			}
		})
	}
}

func TestNATRebindingMovesTheConnection(t *testing.T) {
	for name, edit := range map[string]func(string) string{"active": nil, "passive": passive} {
		t.Run(name, func(t *testing.T) {
			var log testkit.Log
			inWorld(t, Config{Logger: log.Logger(slog.LevelDebug)}, func(w *world) {
				p := w.newPage(client.Config{})
				if err := p.connect(edit); err != nil {
					w.t.Fatal(err)
				}
				p.echoes("before")
				old := p.addr()
				if err := p.socket.Rebind(netip.AddrPortFrom(old.Addr(), 50123)); err != nil {
					w.t.Fatal(err)
				}
				time.Sleep(4 * time.Second) // a check comes at least every 3 s
				for c := range w.server.Conns() {
					if c.RemoteAddr() != p.addr() {
						t.Errorf("the page is known at %v, want %v", c.RemoteAddr(), p.addr())
					}
				}
				p.echoes("after")
				time.Sleep(time.Minute)
				p.echoes("and it stays")
				w.server.Close()
				if want := fmt.Sprintf("rtcserver: moved\" conn=1 from=%v to=%v", old, p.addr()); strings.Count(log.String(), want) != 1 {
					t.Errorf("the log has not one line %q in\n%s", want, log.String())
				}
			})
		})
	}
}

func TestBothRolesUnderLoss(t *testing.T) {
	for name, edit := range map[string]func(string) string{"active": nil, "passive": passive} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.network.SetDefault(netsim.Link{Loss: 0.2, Duplicate: 0.1, Reorder: 0.1, Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond})
				for range 20 {
					p := w.newPage(client.Config{})
					if err := p.connect(edit); err != nil {
						w.t.Fatal(err)
					}
					p.Close()
				}
			})
		})
	}
}

// pion/webrtc had the opposite fault, CVE-2021-28681: the DTLS connection stayed open.
func TestWrongFingerprintIsRefusedInTheHandshake(t *testing.T) {
	for name, setup := range map[string]string{"active": "a=setup:actpass", "passive": insistsOnActive} {
		t.Run(name, func(t *testing.T) {
			var why *CloseError
			inWorld(t, Config{Settings: Settings{HandshakeTimeout: 2 * time.Second}, Handler: Handler{
				Open:    func(*Conn) { t.Error("it opened") },
				Message: func(*Conn, Message) { t.Error("a message came") },
				Close:   func(*Conn, *CloseError) { t.Error("Close was called") },
				Fail: func(_ *Conn, err *CloseError) {
					if why != nil {
						t.Error("Fail was called twice")
					}
					why = err
				},
			}}, func(w *world) {
				p := w.newPage(client.Config{HandshakeTimeout: time.Second})
				other := testkit.Must(dtls.GenerateCertificate(time.Now().Add(-time.Hour))).Fingerprint()
				if err := p.connect(func(offer string) string {
					return withFingerprint(testkit.Replace("a=setup:actpass", setup)(offer), hexColons(other.Sum()))
				}); err == nil {
					t.Error("a page with another fingerprint has connected")
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if why == nil || why.Code != CloseNoHandshake || why.Err == nil || !strings.Contains(why.Error(), "fingerprint") {
					t.Errorf("Fail of the handler gets %v, want CloseNoHandshake because of the fingerprint", why)
				}
				if st := w.server.Stats(); st.HandshakesFailed != 1 || st.Closed[CloseNoHandshake] != 1 || st.Opened != 0 || st.MessagesIn != 0 {
					t.Errorf("%+v, want 1 failed handshake and nothing opened", st)
				}
				wantNothing(t, w.server)
			})
		})
	}
}

func withFingerprint(offer, sum string) string {
	var b strings.Builder
	for line := range strings.Lines(offer) {
		if strings.HasPrefix(line, "a=fingerprint:") {
			line = "a=fingerprint:sha-256 " + sum + "\r\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

func hexColons(sum []byte) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i, v := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteByte(digits[v>>4])
		b.WriteByte(digits[v&15])
	}
	return b.String()
}

// A connection that was open may end like this, too, so the text does not name the handshake.
func TestWordsOfAFailedAssociation(t *testing.T) {
	why := &CloseError{Code: CloseNoAssociation, Err: dtls.ErrExhausted}
	if got := why.Error(); got != "rtcserver: the SCTP association failed: "+dtls.ErrExhausted.Error() {
		t.Errorf("the server's end has the error %q", got)
	}
	theirs := &client.CloseError{Code: client.CloseNoAssociation, Err: dtls.ErrExhausted}
	if got := theirs.Error(); got != "client: the SCTP association failed: "+dtls.ErrExhausted.Error() {
		t.Errorf("the client's end has the error %q", got)
	}
}

// HandlerTime is the time of handlers alone, without the Logger, which here takes a second when
// the connection opens.
func TestHandlerTime(t *testing.T) {
	slow := writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte("rtcserver: open")) {
			time.Sleep(time.Second)
		}
	})
	inWorld(t, Config{
		Logger: slog.New(slog.NewTextHandler(slow, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Handler: Handler{
			Open:    func(*Conn) { time.Sleep(7 * time.Millisecond) },
			Message: func(*Conn, Message) { time.Sleep(5 * time.Millisecond) },
		},
	}, func(w *world) {
		p := w.open()
		p.send("x")
		time.Sleep(10 * time.Second)
		if got := w.server.Stats().HandlerTime; got != 12*time.Millisecond {
			t.Errorf("HandlerTime = %v, want 12 ms", got)
		}
	})
}

type writerFunc func(b []byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
