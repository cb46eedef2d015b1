package dtls

import (
	"errors"
	"testing"
	"testing/synctest"
)

// All handshakes pass a gate for one, one after the other. A handshake that waits for the
// peer, or that was stopped, is not inside the gate.
func TestGate(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		gate := make(Gate, 1)
		deaf := newWorld(t, 1)
		deaf.loss = 1
		stopped, _ := pairThrough(t, deaf, gate)
		waiting, other := pairThrough(t, deaf, gate)
		synctest.Wait()
		if len(gate) != 0 {
			t.Errorf("%d handshakes that wait for their peers are inside the gate, want 0", len(gate))
		}

		var sides []*side
		w := newWorld(t, 2)
		w.loss, w.duplicate = 0.1, 0.1
		for range 20 {
			a, b := pairThrough(t, w, gate)
			sides = append(sides, a, b)
		}
		stopped.h.Stop()
		for _, s := range sides {
			wantNil(t, "handshake", <-s.finished)
		}
		if err := <-stopped.finished; !errors.Is(err, ErrStopped) {
			t.Errorf("the stopped handshake ended with %v, want ErrStopped", err)
		}
		for _, s := range append(sides, stopped, stopped.peer, waiting, other) {
			s.close()
		}
		synctest.Wait()
		if len(gate) != 0 {
			t.Errorf("%d handshakes that are over are inside the gate, want 0", len(gate))
		}
	})
}

func pairThrough(t *testing.T, w *world, gate Gate) (client, server *side) {
	c := pairConfig()
	c.Gate = gate
	return pairWith(t, w, c)
}
