package rtcserver

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/sdp"
)

// A renewing is a page whose further offers a test writes.
type renewing struct {
	*page
	offer   string // the last one
	version int
	first   *offered // with the credentials of the first answer
}

const renewedSession = "o=- 4611686018427387904 "

// openRenewing opens a page whose offer has a session.
func (w *world) openRenewing() *renewing {
	w.t.Helper()
	r := &renewing{page: w.newPage(client.Config{}), version: 1}
	var answer string
	err := r.connect(func(offer string) string {
		r.offer = strings.Replace(offer, "o=- 0 ", renewedSession, 1)
		return r.offer
	})
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	for c := range w.server.Conns() {
		if c.RemoteAddr() == r.addr() {
			r.first = &offered{w: w, conn: c, ours: c.ufrag, pwd: w.passwords[c.ufrag], theirs: testkit.Attribute(r.offer, "ice-ufrag")}
		}
	}
	if r.first == nil {
		w.t.Fatalf("no connection of the page: %s", answer)
	}
	return r
}

// next returns the next offer of the page, with new credentials if there is a ufrag.
func (r *renewing) next(ufrag string) string {
	offer := strings.Replace(r.offer, fmt.Sprint(renewedSession, r.version), fmt.Sprint(renewedSession, r.version+1), 1)
	if ufrag != "" {
		offer = testkit.Replace("a=ice-ufrag:"+testkit.Attribute(offer, "ice-ufrag"), "a=ice-ufrag:"+ufrag)(offer)
		offer = testkit.Replace("a=ice-pwd:"+testkit.Attribute(offer, "ice-pwd"), "a=ice-pwd:"+strings.Repeat(ufrag, 6))(offer)
	}
	return offer
}

// renew posts an offer of the page, and returns the answer as that of an attacker, who has the
// credentials.
func (r *renewing) renew(offer string) (*offered, string) {
	r.w.t.Helper()
	answer, err := r.w.signal(r.addr().Addr(), offer)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return r.w.offeredWith(offer, string(answer)), string(answer)
}

// restart is renew for an offer that begins a restart, and becomes the page's last one.
func (r *renewing) restart(ufrag string) *offered {
	r.w.t.Helper()
	r.offer = r.next(ufrag)
	r.version++
	o, _ := r.renew(r.offer)
	return o
}

// isMine reports whether the answer was for the connection of the page.
func (r *renewing) isMine(o *offered) bool {
	f := r.first.conn.renewal().further
	return o.ours == r.first.ours || f != nil && (o.ours == f.names[0] || o.ours == f.names[1])
}

// granted reports whether a check from an address gets an answer.
func (o *offered) granted(from netip.AddrPort) bool {
	o.w.t.Helper()
	b := o.request("", true)
	answered := false
	o.w.network.SetTap(func(p *netsim.Packet) bool {
		answered = answered || p.To == from && len(p.Payload) >= 20 && bytes.Equal(p.Payload[8:20], b[8:20]) // the transaction ID
		return true
	})
	o.w.network.Inject(from, serverAddr, b)
	synctest.Wait()
	o.w.network.SetTap(nil)
	return answered
}

// known returns the sizes of the registry's tables: connections, sessions, and further fragments.
func (w *world) known() (conns, sessions, renamed int) {
	r := w.server.registry
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byUfrag), len(r.bySession), len(r.renamed)
}

// After pc.restartIce() a page sends checks with new credentials from a new address. The connection
// keeps its DTLS and its channels, and continues at the new address. When the page has proved it, the
// credentials before are forgotten. All this may happen again.
func TestARestartKeepsTheConnection(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		r.echoes("before the restart")
		before := r.first
		for i := range 5 {
			o := r.restart(fmt.Sprintf("uf%02d", i))
			if o.pwd == before.pwd || o.ours == before.ours || !r.isMine(o) {
				t.Fatalf("restart %d: the answer has the credentials of another connection, or those before", i)
			}
			r.echoes("between the offer and the first check")
			at := netip.AddrPortFrom(r.addr().Addr(), uint16(41000+i))
			if err := r.socket.Rebind(at); err != nil {
				t.Fatal(err)
			}
			if !before.granted(at) {
				t.Errorf("restart %d: a check with the credentials before is refused too early", i)
			}
			if !o.granted(at) {
				t.Fatalf("restart %d: a check with the new credentials is refused", i)
			}
			r.echoes("at the new address")
			time.Sleep(100 * time.Millisecond)
			if got := r.first.conn.RemoteAddr(); got != at {
				t.Errorf("restart %d: the server sends to %v, want %v", i, got, at)
			}
			if before.granted(at) {
				t.Errorf("restart %d: a check with the credentials before is granted after the proof", i)
			}
			r.offer = r.next("")
			r.version++
			if again, _ := r.renew(r.offer); again.ours != o.ours || again.pwd != o.pwd {
				t.Errorf("restart %d: a renegotiation after the proof gets other credentials", i)
			}
			before = o
		}
		if st := w.server.Stats(); st.Restarts != 5 || st.Opened != 1 || st.Conns != 1 || st.Pending != 0 || st.Offers != 11 {
			t.Errorf("%d restarts, %d opened, %d connections, %d pending, %d offers; want 5, 1, 1, 0, 11", st.Restarts, st.Opened, st.Conns, st.Pending, st.Offers)
		}
		r.conn.Close()
		time.Sleep(5 * time.Second)
		if conns, sessions, renamed := w.known(); conns+sessions+renamed > 0 {
			t.Errorf("%d connections, %d sessions and %d further fragments are known after the end", conns, sessions, renamed)
		}
	})
}

// A stranger who knows the session and the fingerprint of a page restarts its connection again and
// again, and sends valid checks. The page keeps its path, and the stranger gets no more than a replayed
// check would draw.
func TestARestartByAStrangerTakesNothing(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		l := w.ledger()
		for i := range 10 {
			o := r.restart(fmt.Sprintf("evil%02d", i))
			for range 5 {
				l.inject(attackerAddr, o.request("", true))
				l.inject(attackerAddr, record(23, 1, 70, make([]byte, 60)))
				time.Sleep(200 * time.Millisecond)
				r.echoes(fmt.Sprintf("during restart %d", i))
			}
			for range 5 { // the page is silent
				l.inject(attackerAddr, o.request("", true))
				time.Sleep(500 * time.Millisecond)
			}
			r.echoes(fmt.Sprintf("after silence, during restart %d", i))
		}
		if got := r.first.conn.RemoteAddr(); got != r.addr() {
			t.Errorf("the server sends to %v, want the page's %v", got, r.addr())
		}
		l.want("checks of a stranger's restarts", attackerAddr, 3)
		if !r.first.granted(r.addr()) {
			t.Error("the page's own checks are refused")
		}
		if _, _, n := w.known(); n != 1 {
			t.Errorf("%d further username fragments are known, want that of the last restart", n)
		}
	})
}

// An offer with the same credentials gets the same ones, with the next version, and so does the same
// offer again: the answer to a restart may have been lost.
func TestAPlainRenegotiationIsAnsweredConsistently(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxReceive: 20_000}}, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		version := 1
		wantLimit := func(why, answer string) {
			t.Helper()
			if limit := testkit.Attribute(answer, "max-message-size"); limit != "20000" {
				t.Errorf("%s: a message may have %s bytes, want MaxReceive", why, limit)
			}
		}
		origin := strings.Fields(w.lastAnswer[strings.Index(w.lastAnswer, "o="):])[1]
		wantLimit("the first offer", w.lastAnswer)
		consistent := func(why, offer string, want *offered) {
			t.Helper()
			o, answer := r.renew(offer)
			if o.ours != want.ours || o.pwd != want.pwd || testkit.Attribute(answer, "setup") != "active" {
				t.Errorf("%s: other credentials, or another role: %s", why, answer)
			}
			version++
			line, _, _ := strings.Cut(answer[strings.Index(answer, "o="):], "\r\n")
			f := strings.Fields(line)
			if server, err := sdp.ParseAnswer([]byte(answer)); err != nil || !slices.Equal(server.Candidates, []netip.AddrPort{serverAddr}) {
				t.Errorf("%s: the candidates are not %v: %s", why, serverAddr, answer)
			}
			wantLimit(why, answer)
			if f[1] != origin || f[2] != fmt.Sprint(version) {
				t.Errorf("%s: the line is %s, want session %s and version %d", why, line, origin, version)
			}
		}
		consistent("the same offer again", r.offer, r.first)
		r.offer = r.next("")
		r.version++
		consistent("a new version", r.offer, r.first)
		o := r.restart("next")
		version++
		consistent("the offer of a restart again", r.offer, o)
		r.offer = r.next("")
		r.version++
		consistent("a new version during a restart", r.offer, o)
		if n := w.server.Stats().Restarts; n != 1 {
			t.Errorf("%d restarts, want 1", n)
		}
		r.echoes("after all of them")
	})
}

// What is neither a restart nor a renegotiation gets a new connection.
func TestOtherOffersMakeNewConnections(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		sum := testkit.Attribute(r.offer, "fingerprint")
		other := sum[:len(sum)-1] + "0"
		if other == sum {
			other = sum[:len(sum)-1] + "1"
		}
		for why, offer := range map[string]string{
			"another fingerprint":         strings.Replace(r.next("abcd"), sum, other, 1),
			"another session":             strings.Replace(r.next("abcd"), renewedSession, "o=- 4611686018427387905 ", 1),
			"another user of the session": strings.Replace(r.next("abcd"), renewedSession, "o=me 4611686018427387904 ", 1),
			"no o= line":                  strings.Replace(r.next("abcd"), "o=", "x=", 1),
			"an older version":            strings.Replace(r.next("abcd"), renewedSession+"2", renewedSession+"0", 1),
			"the same version":            strings.Replace(r.next("abcd"), renewedSession+"2", renewedSession+"1", 1),
			"the other role":              strings.Replace(r.next("abcd"), "a=setup:actpass", "a=setup:active", 1),
		} {
			if o, _ := r.renew(offer); r.isMine(o) {
				t.Errorf("%s: the answer is for the connection that there is", why)
			}
		}
		if n := w.server.Stats().Restarts; n != 0 {
			t.Errorf("%d restarts, want none", n)
		}
		newer, _ := r.renew(strings.Replace(r.next("abcd"), renewedSession+"2", renewedSession+"1", 1))
		newer.check(attackerAddr, "") // it has a shard, too
		synctest.Wait()
		if o := r.restart("abcd"); !r.isMine(o) {
			t.Error("a restart after all these is no restart: a new connection has taken the session")
		}
		stale := strings.Replace(r.next("efgh"), fmt.Sprint(renewedSession, r.version+1), fmt.Sprint(renewedSession, r.version), 1)
		if o, _ := r.renew(stale); r.isMine(o) {
			t.Error("another restart with the version of the last one is for the connection that there is")
		}
		w.forget()
		r.conn.Close()
		w.want("the end", "close 1: closed by the page")
		if o, _ := r.renew(r.next("efgh")); r.isMine(o) {
			t.Error("a restart while the connection closes is for it")
		}
		time.Sleep(5 * time.Second)
		if o, _ := r.renew(r.next("efgh")); o.conn == r.first.conn {
			t.Error("a restart after the end is for the connection that is over")
		}
	})
}

// A connection that the server has closed is not restarted, though the loop still knows it.
func TestARestartOfAClosedConnectionIsANewConnection(t *testing.T) {
	closed := make(chan *Conn)
	inWorld(t, Config{Handler: Handler{Message: func(c *Conn, _ Message) {
		c.Close("") // the loop ends it after this handler
		closed <- c
		<-closed
	}}}, func(w *world) {
		r := w.openRenewing()
		r.send("close")
		c := <-closed
		if o, _ := r.renew(r.next("abcd")); c != r.first.conn || r.isMine(o) {
			t.Error("the restart is for the connection that is closed")
		}
		closed <- nil
		if n := w.server.Stats().Restarts; n != 0 {
			t.Errorf("%d restarts, want none", n)
		}
	})
}

// A page whose connection still waits for its first check gets a new one.
func TestARestartBeforeTheFirstCheckIsANewConnection(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		first := browserOffer(t)
		var made []*Conn
		for i := range 3 {
			offer := testkit.Replace("a=ice-ufrag:", fmt.Sprintf("a=ice-ufrag:n%d", i))(first)
			answer, err := w.signal(attackerAddr.Addr(), offer)
			if err != nil {
				t.Fatal(err)
			}
			made = append(made, w.offeredWith(offer, string(answer)).conn)
		}
		o := &offered{w: w, ours: made[2].ufrag, theirs: "none"}
		o.check(attackerAddr, "not the password of anybody") // now it has a shard
		synctest.Wait()
		offer := strings.Replace(testkit.Replace("a=ice-ufrag:", "a=ice-ufrag:n3")(first), " 2 IN IP4", " 3 IN IP4", 1)
		answer, err := w.signal(attackerAddr.Addr(), offer)
		if err != nil {
			t.Fatal(err)
		}
		if c := w.offeredWith(offer, string(answer)).conn; c == nil || c == made[2] {
			t.Error("a restart is for a connection whose page has sent no valid check")
		}
		if made[0] == made[1] || made[1] == made[2] || w.server.Stats().Pending != 3 {
			t.Errorf("%d connections wait, want 3: two of the first three, and the last", w.server.Stats().Pending)
		}
		if _, n, _ := w.known(); n != 1 {
			t.Errorf("%d sessions are known, want that of the connection with a shard", n)
		}
	})
}

// Restarts of one connection are limited.
func TestRestartsAreLimited(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		for i := range maxRestarts {
			r.restart(fmt.Sprintf("r%03d", i))
		}
		_, err := w.signal(r.addr().Addr(), r.next("over"))
		if refused, ok := err.(*client.SignalError); !ok || refused.Status != 429 {
			t.Errorf("one restart more: %v, want the status 429", err)
		}
		r.offer = r.next("")
		r.version++
		if _, err := w.signal(r.addr().Addr(), r.offer); err != nil {
			t.Errorf("a renegotiation that is no restart: %v", err)
		}
		time.Sleep(restartWindow)
		r.restart("then")
		if n := w.server.Stats().Restarts; n != maxRestarts+1 {
			t.Errorf("%d restarts, want %d", n, maxRestarts+1)
		}
		r.echoes("after all of them")
	})
}

// The checks and records of a restart may arrive at another shard than that of the connection.
func TestARestartByAnotherShard(t *testing.T) {
	inShards(t, 2, func(w *world) {
		r := w.openRenewing()
		w.want("the page opens", "open 1")
		o := r.restart("next")
		at := netip.AddrPortFrom(r.addr().Addr(), 41000)
		if err := r.socket.Rebind(at); err != nil {
			t.Fatal(err)
		}
		w.reach(at, 1)
		w.network.Inject(at, shardAddr(1), o.request("", true))
		synctest.Wait()
		r.echoes("by the other shard")
		time.Sleep(100 * time.Millisecond)
		if got := r.first.conn.RemoteAddr(); got != at {
			t.Errorf("the server sends to %v, want %v", got, at)
		}
		sh := r.first.conn.shard
		sh.loop.Lock()
		defer sh.loop.Unlock()
		if current, _, restarting := r.first.conn.peer.LocalCredentials(); restarting || current.Ufrag != o.ours {
			t.Errorf("the restart is not complete: %v", restarting)
		}
	})
}

// The o= line of an answer has a session of its own, which is random, also if the offer has none or the
// page is that of an engine. An offer without a session is for no connection that there is.
func TestSessionsOfAnswers(t *testing.T) {
	seen := map[int64]bool{0: true}
	fresh := func(why, answer string) {
		t.Helper()
		text := strings.Fields(answer[strings.Index(answer, "o="):])[1]
		if n, err := strconv.ParseInt(text, 10, 64); err != nil || seen[n] {
			t.Errorf("%s: the session is %s, want a number of 63 bits that no other answer has", why, text)
		} else {
			seen[n] = true
		}
	}
	for why, c := range map[string]Config{"a server": {}, "an engine": {Engine: func(c *Conn, _ *http.Request) (Engine, error) {
		return &struct{ datagrams }{datagrams{conn: c}}, nil
	}}} {
		inWorld(t, c, func(w *world) {
			w.openRenewing()
			fresh(why, w.lastAnswer)
			_, before, _ := w.known()
			p := w.newPage(client.Config{})
			var offer string
			if err := p.connect(func(text string) string { offer = strings.Replace(text, "o=", "x=", 1); return offer }); err != nil {
				t.Fatal(err)
			}
			fresh(why+", an offer without a session", w.lastAnswer)
			if conns, sessions, _ := w.known(); conns != 2 || sessions != before {
				t.Errorf("%s: %d connections and %d sessions are known, want 2 and %d", why, conns, sessions, before)
			}
			if _, err := w.signal(p.addr().Addr(), offer); err != nil {
				t.Fatal(err)
			}
			fresh(why+", the same offer again", w.lastAnswer)
		})
	}
}

// Texts that are the same one after the other, but not one by one, have different hashes: else a
// page could choose a fragment and a password that stand for those of another one.
func TestHashesOfTexts(t *testing.T) {
	var s Server
	seen := make(map[uint64]bool)
	for _, parts := range [][]string{{"ab", "c"}, {"a", "bc"}, {"abc"}, {"abc", ""}, {"", "abc"}} {
		h := s.hash(parts...)
		if seen[h] {
			t.Errorf("%q has the hash of other texts", parts)
		}
		seen[h] = true
	}
}

// Pages of an engine get a new connection for each offer.
func TestPagesOfAnEngineDoNotRestart(t *testing.T) {
	inWorld(t, Config{Engine: func(c *Conn, _ *http.Request) (Engine, error) {
		return &struct{ datagrams }{datagrams{conn: c}}, nil
	}}, func(w *world) {
		r := w.openRenewing()
		if o, _ := r.renew(r.next("next")); o.conn == nil || o.conn == r.first.conn {
			t.Error("the offer is for the connection that there is")
		}
		if _, sessions, renamed := w.known(); sessions+renamed > 0 {
			t.Errorf("%d sessions and %d further fragments are known, want none", sessions, renamed)
		}
	})
}

// A check is for a connection only if its second fragment is that of the offer.
func TestAFragmentThatIsNotOfTheOffer(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.offer("")
		other := *o
		other.theirs += "x"
		if other.granted(attackerAddr) {
			t.Error("a check with another fragment of the page is granted")
		}
		if !o.granted(attackerAddr) {
			t.Error("a check with the fragment of the offer is refused")
		}
	})
}
