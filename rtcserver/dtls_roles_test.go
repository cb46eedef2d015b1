package rtcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/sdp"
)

// malformedHello returns a ClientHello that ends behind its random.
func malformedHello() []byte {
	// type(1) length(3) message_seq(2) fragment_offset(3) fragment_length(3) version(2) random(32)
	return append([]byte{1, 0, 0, 34, 0, 0, 0, 0, 0, 0, 0, 34, 0xfe, 0xfd}, make([]byte, 32)...)
}

// A page whose offer leaves the choice to the server answers no ClientHello, or with something else.
func TestAPeerThatIsNoDTLSServer(t *testing.T) {
	hello := malformedHello()
	for name, test := range map[string]struct {
		role   Role
		sends  []byte
		want   error
		after  time.Duration
		warned bool
	}{
		"silent":                             {RoleAuto, nil, dtls.ErrNoAnswer, 10 * time.Second, true},
		"with a malformed hello":             {RoleAuto, record(22, 0, 0, hello), dtls.ErrMessage, 0, true},
		"with a hello that has no effect":    {RoleClient, record(22, 0, 0, hello), dtls.ErrNoAnswer, 10 * time.Second, true},
		"with a malformed hello of a server": {RoleAuto, record(22, 0, 0, append([]byte{2}, hello[1:]...)), dtls.ErrMessage, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var log testkit.Log
			var failed chan error
			inWorld(t, Config{
				Logger:   log.Logger(slog.LevelInfo),
				Handler:  Handler{Fail: func(_ *Conn, why *CloseError) { failed <- why }},
				Settings: Settings{Role: test.role},
			}, func(w *world) {
				failed = make(chan error, 1)
				o := w.offer("")
				o.check(attackerAddr, "")
				start := time.Now()
				if synctest.Wait(); test.sends != nil {
					w.network.Inject(attackerAddr, serverAddr, test.sends)
				}
				if test.role == RoleClient {
					synctest.Wait()
					if n := o.conn.Stats().Dropped; n != 1 {
						t.Errorf("%d datagrams are dropped, want the hello, once", n)
					}
				}
				err := <-failed
				if !errors.Is(err, test.want) || time.Since(start) != test.after {
					t.Errorf("after %v: %v, want %v after %v", time.Since(start), err, test.want, test.after)
				}
				w.server.Shutdown(context.Background())
				if warned := strings.Contains(log.String(), "a=setup:active"); warned != test.warned {
					t.Errorf("the log is %q, want the warning about a=setup:active: %v", log.String(), test.warned)
				}
			})
		})
	}
}

// connectAs connects p, which gets the answer with another a=setup, and returns the answer of the
// server.
func (p *page) connectAs(setup string) (answer string, err error) {
	p.conn, err = p.Connect(p.w.t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
		b, err := p.w.signal(p.socket.PublicAddr().Addr(), string(offer))
		answer = string(b)
		return []byte(strings.Replace(answer, "a=setup:"+testkit.Attribute(answer, "setup"), "a=setup:"+setup, 1)), err
	}, nil)
	return answer, err
}

// A page that can only be the DTLS client sends a ClientHello though the server has answered that
// it is the client. The server notices, and the page opens within 1.5 s at a round trip of 100 ms.
// Pages of the same address get another answer for ten minutes.
func TestAPageThatCanOnlyBeTheDTLSClientIsServed(t *testing.T) {
	var log testkit.Log
	inWorld(t, Config{Logger: log.Logger(slog.LevelInfo)}, func(w *world) {
		w.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
		p := w.newPage(client.Config{})
		began := time.Now()
		answer, err := p.connectAs("passive")
		if took := time.Since(began); err != nil || took > 1500*time.Millisecond {
			t.Fatalf("after %v: %v, want a page that is open after 1.5 s at the latest", took, err)
		}
		if setup := testkit.Attribute(answer, "setup"); setup != "active" {
			t.Fatalf("the server has answered %s: the test tests nothing", setup)
		}
		w.want("the page opens", "open 1")
		p.echoes("it works")
		if n := w.server.Stats().RolesYielded; n != 1 {
			t.Errorf("%d roles yielded, want 1", n)
		}
		setupFor := func(addr netip.Addr) string {
			answer, err := w.signal(addr, browserOffer(t))
			if err != nil {
				t.Fatal(err)
			}
			return testkit.Attribute(string(answer), "setup")
		}
		if got := setupFor(p.addr().Addr()); got != "passive" {
			t.Errorf("the next answer to the same address says %s, want passive", got)
		}
		if answer, chosen := w.server.setup(sdp.SetupActpass, p.addr().Addr()); answer != sdp.SetupPassive || chosen {
			t.Errorf("the next answer says %v, want passive; it is the client by choice: %v, though it is the server", answer, chosen)
		}
		if n := strings.Count(log.String(), "a page sent a ClientHello though this server is the DTLS client"); n != 1 {
			t.Errorf("%d warnings, want 1: %s", n, log.String())
		}
		if got := setupFor(attackerAddr.Addr()); got != "active" {
			t.Errorf("the answer to another address says %s, want active", got)
		}
		time.Sleep(passiveLasts)
		if got := setupFor(p.addr().Addr()); got != "active" {
			t.Errorf("the answer after %v says %s, want active", passiveLasts, got)
		}
	})
}

// The new handshake of a role that was yielded is this end's turn from then on, but has no more time in all than the
// one before.
func TestARoleThatIsYieldedKeepsItsPlaceForNoLonger(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		time.Second:     time.Second + weRest,
		3 * time.Second: atMost,
	} {
		inWorld(t, Config{}, func(w *world) {
			o := w.offer("")
			o.check(attackerAddr, "")
			synctest.Wait()
			began := time.Now()
			time.Sleep(after)
			s := w.server.shards[0]
			s.loop.Lock()
			defer s.loop.Unlock()
			if !s.yieldRole(time.Now(), o.conn) {
				t.Fatal("the role is not yielded")
			}
			if got := o.conn.handshake.yields().Sub(began); got != want {
				t.Errorf("a role that is yielded after %v has its place until %v, want %v", after, got, want)
			}
		})
	}
}

// One datagram more or less makes no difference to it.
func TestARoleIsYieldedWhicheverDatagramIsLost(t *testing.T) {
	for lost := range 16 {
		inWorld(t, Config{}, func(w *world) {
			w.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
			n := 0
			w.network.SetTap(func(*netsim.Packet) bool {
				n++
				return n != lost+1
			})
			p := w.newPage(client.Config{})
			if _, err := p.connectAs("passive"); err != nil {
				t.Fatalf("without datagram %d: %v", lost, err)
			}
			w.want("the page opens", "open 1")
			w.network.SetTap(nil)
			p.echoes(fmt.Sprintf("without datagram %d", lost))
		})
	}
}

// Each role of the Config is in the answer, and pages open with it. An offer without a choice is
// answered as it must be.
func TestRoles(t *testing.T) {
	for role, want := range map[Role]string{RoleAuto: "active", RoleClient: "active", RoleServer: "passive"} {
		inWorld(t, Config{Settings: Settings{Role: role}}, func(w *world) {
			w.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
			p := w.newPage(client.Config{})
			began := time.Now()
			answer, err := p.connectAs(want)
			if got := testkit.Attribute(answer, "setup"); err != nil || got != want || time.Since(began) > 1500*time.Millisecond {
				t.Errorf("role %v: after %v %v, and the answer says %s, want %s", role, time.Since(began), err, got, want)
			}
			for offer, want := range map[string]string{insistsOnActive: "passive", "a=setup:passive": "active"} {
				o := w.offer(offer)
				if got := map[bool]string{true: "active", false: "passive"}[o.conn.active]; got != want || o.conn.chosen {
					t.Errorf("role %v: the answer to %s says %s, want %s; this end has chosen: %v", role, offer, got, want, o.conn.chosen)
				}
			}
		})
	}
	if _, err := Listen("127.0.0.1:0", Config{Settings: Settings{Role: 3}}); err == nil || !strings.Contains(err.Error(), "Config.Role") {
		t.Errorf("role 3: %v, want an error that names the field", err)
	}
}

// A ClientHello of a stranger, who forges the address of a page, does not disturb a page that has
// answered as a server, nor one of a server that does not yield.
func TestAForgedHelloDisturbsNoServer(t *testing.T) {
	checks := 0
	for name, test := range map[string]struct {
		role Role
		with func(b []byte) bool // reports whether the forged one is sent with b, a datagram of the page
	}{
		"with the page's Finished": {RoleAuto, func(b []byte) bool { return b[0] == 20 }},
		"with the page's second check, without a yield": {RoleClient, func(b []byte) bool {
			if b[0] <= 3 {
				checks++
			}
			return checks == 2
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{Settings: Settings{Role: test.role}}, func(w *world) {
				hello := w.recordHello()
				w.forget()
				w.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
				p := w.newPage(client.Config{})
				from, forged := p.addr(), false
				w.network.SetTap(func(packet *netsim.Packet) bool {
					if packet.From == from && !forged && test.with(packet.Payload) {
						forged = true
						go w.network.Inject(from, serverAddr, hello)
					}
					return true
				})
				if err := p.connect(nil); err != nil {
					t.Fatal(err)
				}
				p.echoes("after the forgery")
				if n := w.server.Stats().RolesYielded; n != 0 || !forged {
					t.Errorf("%d roles yielded, want 0; forged: %v", n, forged)
				}
			})
		})
	}
}

// The memory of sites whose pages can only be clients is bounded.
func TestFewSitesAreKnownToBeClients(t *testing.T) {
	r, now := newRegistry(10, time.Second), time.Now()
	site := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	r.notePassive(now, netip.Addr{})
	for i := range maxPassive + 10 {
		r.notePassive(now.Add(time.Duration(i)), site(i))
	}
	if len(r.passive) != maxPassive || !r.isPassive(now, site(maxPassive-1)) || r.isPassive(now, site(maxPassive)) {
		t.Errorf("%d sites are known, want the first %d", len(r.passive), maxPassive)
	}
	if r.isPassive(now.Add(passiveLasts), site(0)) || !r.isPassive(now.Add(passiveLasts-1), site(0)) {
		t.Error("a site is not known for ten minutes")
	}
	r.notePassive(now.Add(time.Minute), site(20)) // again, while there is no room
	if r.notePassive(now.Add(time.Minute), site(maxPassive)); r.isPassive(now.Add(time.Minute), site(maxPassive)) {
		t.Error("a further site is known, though there is no room")
	}
	if !r.isPassive(now.Add(passiveLasts+time.Minute-1), site(20)) {
		t.Error("a site that was noted again is not known for ten minutes from then on")
	}
	r.notePassive(now.Add(passiveLasts+4), site(maxPassive))
	if n := len(r.passive); n != maxPassive-5+1 {
		t.Errorf("%d sites are known after five were over, want %d", n, maxPassive-4)
	}
}

// The Logger may ask the server for its Stats, or panic: no lock is held then.
func TestWarningsOfRolesAreWrittenUnderNoLock(t *testing.T) {
	j := new(lineLog)
	inWorld(t, Config{Logger: slog.New(j)}, func(w *world) {
		j.shard = w.server.shards[0]
		w.offer("").check(attackerAddr, "")
		w.want("nobody answers", "fail 1: the DTLS handshake failed")
		w.server.Shutdown(context.Background())
		if n := len(j.with("WARN", "offer left the choice")); n != 1 || j.locked > 0 {
			t.Errorf("%d warnings, want 1; the lock was held at %d lines, want 0", n, j.locked)
		}
	})
}

// Nobody has chosen the roles if the offer says a=setup:passive, or if the page has an invite and makes no offer. A
// ClientHello has no effect then, and no warning is about the roles.
func TestRolesWithoutAChoice(t *testing.T) {
	for name, begin := range map[string]func(w *world){
		"a=setup:passive": func(w *world) { w.offer("a=setup:passive").check(attackerAddr, "") },
		"an invite": func(w *world) {
			w.network.Inject(attackerAddr, serverAddr, checkOf(inviteFor(1, time.Minute), "page"))
		},
	} {
		var d directState
		var log testkit.Log
		c := d.config(Settings{})
		c.Logger = log.Logger(slog.LevelInfo)
		inWorld(t, c, func(w *world) {
			begin(w)
			synctest.Wait()
			w.network.Inject(attackerAddr, serverAddr, record(22, 0, 0, malformedHello()))
			time.Sleep(10*time.Second - 1)
			synctest.Wait()
			if st := w.server.Stats(); st.Handshakes != 1 || st.RolesYielded != 0 {
				t.Errorf("%s: %d handshakes run and %d roles are yielded after a ClientHello, want 1 and 0", name, st.Handshakes, st.RolesYielded)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if st := w.server.Stats(); st.HandshakesFailed != 1 {
				t.Errorf("%s: %d handshakes have failed, want 1", name, st.HandshakesFailed)
			}
			w.server.Shutdown(context.Background())
			if strings.Contains(log.String(), "a=setup") {
				t.Errorf("%s: the log is %q, want no warning about a=setup", name, log.String())
			}
		})
	}
}
