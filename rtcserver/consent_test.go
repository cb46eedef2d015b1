package rtcserver

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/netsim"
)

// answerTo returns the answer to a check, made with the server's password.
func answerTo(check []byte, pwd string) []byte {
	m := stun.New()
	m.SetType(stun.BindingSuccess)
	copy(m.TransactionID[:], check[8:20])
	m.WriteHeader()
	if err := stun.NewShortTermIntegrity(pwd).AddTo(m); err != nil {
		panic(err)
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		panic(err)
	}
	return m.Raw
}

// A page whose checks are lost after some time, while its records arrive, does not count as
// silent. (Its own client would get no answers and give up, so the tap answers in place of the
// server.)
func TestRecordsGoOnWithoutChecks(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, o := w.openKnown("a=setup:actpass")
		p.echoes("it works")
		w.forget()
		var dropped atomic.Int32
		w.network.SetTap(func(packet *netsim.Packet) bool {
			if packet.To == serverAddr && packet.Payload[0] < 4 {
				dropped.Add(1)
				w.network.Inject(serverAddr, packet.From, answerTo(packet.Payload, o.pwd))
				return false
			}
			return true
		})
		for range 90 {
			time.Sleep(time.Second)
			p.echoes("records arrive")
		}
		synctest.Wait()
		if st := w.server.Stats(); st.Conns != 1 || dropped.Load() < 20 {
			t.Errorf("%d connections after 90 s without checks, want 1; %d checks were lost, want 20 at least", st.Conns, dropped.Load())
		}
		// Idle for two minutes: it answers what it is asked.
		time.Sleep(2 * time.Minute)
		p.echoes("it was idle")
		w.network.BlackoutFor(p.addr().Addr(), serverAddr.Addr(), time.Hour)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if st := w.server.Stats(); st.Conns != 0 {
			t.Errorf("%d connections, want 0: nothing arrives any more", st.Conns)
		}
	})
}
