package rtcserver

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// fill sets each number in v to a different value, and returns the next value.
func fill(v reflect.Value, n uint64) uint64 {
	switch {
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			n = fill(field, n)
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			n = fill(v.Index(i), n)
		}
	case v.CanInt():
		v.SetInt(int64(n))
		n++
	case v.CanUint():
		v.SetUint(n)
		n++
	}
	return n
}

// Every counter of every shard is in the sum.
func TestStatsAreSumsOverShards(t *testing.T) {
	var want Stats
	socket := func(n uint64) (u udpio.Stats) {
		fill(reflect.ValueOf(&u).Elem(), n)
		return u
	}
	a, b := socket(100), socket(1000)
	want.addSocket(a)
	want.addSocket(b)
	va, vb, sum := reflect.ValueOf(a), reflect.ValueOf(b), reflect.ValueOf(want.Socket)
	for i := range sum.NumField() {
		name := sum.Type().Field(i).Name
		switch f, one, two := sum.Field(i), va.FieldByName(name), vb.FieldByName(name); {
		case f.CanInt(): // the sizes of buffers are the same for all
			if f.Int() != two.Int() {
				t.Errorf("%s is %d", name, f.Int())
			}
		case f.Uint() != one.Uint()+two.Uint():
			t.Errorf("%s is %d, want %d", name, f.Uint(), one.Uint()+two.Uint())
		}
	}

	s := listen(t, Config{})
	if st := s.Stats(); len(st.Refused) > 0 || st.Socket.ReadBuffer == 0 {
		t.Errorf("the counters of a new server: %+v", st)
	}
	sh := s.shards[0]
	one := shardStats{
		messagesIn: 1, messagesOut: 2,
		opened: 9, handshakes: 10, handshakesFailed: 11, handshakesQueued: 12, handshakesYielded: 13, rolesYielded: 60, restarts: 61, contested: 14, stopped: true,
	}
	fill(reflect.ValueOf(&one.closed).Elem(), 15)
	fill(reflect.ValueOf(&one.channelsRefused).Elem(), 30)
	fill(reflect.ValueOf(&one.drops).Elem(), 40)
	sh.loop.Lock()
	sh.stats = one
	sh.loop.Stats = loop.Stats{DatagramsIn: 3, DatagramsOut: 4, BytesIn: 5, BytesOut: 6, Turns: 7, Handlers: 8}
	sh.loop.Unlock()
	var got Stats
	for range 2 {
		sh.addStats(&got)
	}
	got.Socket = SocketStats{}
	want = Stats{
		MessagesIn: 2, MessagesOut: 4, DatagramsIn: 6, DatagramsOut: 8, BytesIn: 10, BytesOut: 12, Batches: 14, HandlerTime: 16,
		Opened: 18, HandshakesDone: 20, HandshakesFailed: 22, HandshakesQueued: 24, HandshakesYielded: 26, RolesYielded: 120, Restarts: 122, Contested: 28, StoppedShards: 2,
	}
	for i := range want.Closed {
		want.Closed[i] = 2 * one.closed[i]
	}
	for i := range want.ChannelsRefused {
		want.ChannelsRefused[i] = 2 * one.channelsRefused[i]
	}
	for i := range want.Drops {
		want.Drops[i] = 2 * one.drops[i]
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// Refused offers are counted by their status; those with a status of the program's own count under 0.
func TestRefusedOffersAreCounted(t *testing.T) {
	var status int
	s := listen(t, Config{Authorize: func(*http.Request) error { return &StatusError{Status: status} }})
	want, counted := map[int]uint64{0: 2}, refusals[:len(refusals)-1]
	for _, status = range append(slices.Clone(counted), http.StatusTeapot, http.StatusBadGateway) {
		if slices.Contains(counted, status) {
			want[status] = 1
		}
		if w := signal(t, s, browserOffer(t), nil); w.Code != status {
			t.Errorf("the answer has the status %d, want %d", w.Code, status)
		}
	}
	if got := s.Stats().Refused; !maps.Equal(got, want) {
		t.Errorf("refused %v, want %v", got, want)
	}
}

// What came and went is counted, for the server and the connection.
func TestTrafficIsCounted(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.network.Inject(attackerAddr, serverAddr, []byte{19, 254, 253}) // a first byte of no protocol
		w.network.Inject(attackerAddr, serverAddr, []byte("QUIC"))
		w.network.Inject(attackerAddr, serverAddr, []byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
		w.network.Inject(attackerAddr, serverAddr, checkFor("nobody:page", "0123456789012345678901", true))
		w.network.Inject(attackerAddr, serverAddr, record(23, 1, 7, make([]byte, 40)))
		w.network.Inject(attackerAddr, serverAddr, checkFor("a:b", "0123456789012345678901", true)[:30])
		synctest.Wait()
		st := w.server.Stats()
		if st.Drops[DropNotOurs] != 2 || st.Drops[DropBadSTUN] != 2 || st.Drops[DropUnknownUfrag] != 1 || st.Drops[DropUnknownAddr] != 1 {
			t.Errorf("the drops of six datagrams: %v, want 2 not ours, 2 bad STUN, 1 unknown ufrag, 1 unknown address", st.Drops)
		}
		if st.DatagramsIn != 6 || st.BytesIn == 0 || st.Batches == 0 || st.DatagramsOut != 0 || st.BytesOut != 0 {
			t.Errorf("%+v, want 6 datagrams in and none out", st)
		}
		p := w.open()
		p.echoes("it is open")
		w.network.Inject(p.addr(), serverAddr, record(23, 1, 7, make([]byte, 40)))
		w.network.Inject(attackerAddr, serverAddr, checkFor(w.liveUfrag()+":page", "0123456789012345678901", true))
		synctest.Wait()
		st = w.server.Stats()
		if st.Drops[DropBadCheck] != 1 {
			t.Errorf("a check with a wrong password is counted as %v, want one bad check", st.Drops)
		}
		if u := w.server.shards[0].socket.Stats(); u.Sent != st.DatagramsOut || u.Received != st.DatagramsIn || st.BytesOut < st.DatagramsOut {
			t.Errorf("the counters of the socket and of the server differ: %+v", st)
		}
		for c := range w.server.Conns() {
			c.shard.loop.Lock()
			a, dropped := c.peer.Stats()
			c.shard.loop.Unlock()
			want := ConnStats{
				MessagesIn: 1, MessagesOut: 1, RTT: a.RTT, EagerAcks: a.Eager, SacksOut: a.SacksOut,
				GapSacksOut: a.GapSacksOut, Forwards: a.Forwards, Duplicates: a.Duplicates, Late: a.Late, Dropped: dropped,
			}
			if got := c.Stats(); got != want || got.RTT == 0 || got.SacksOut == 0 || got.Dropped == 0 {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	})
}
