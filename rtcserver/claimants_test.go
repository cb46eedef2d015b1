package rtcserver

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A check comes from an address with the largest number of claimants. The table says which
// claimant leaves; the fifth is the one that checks. Each comes from a site: a letter, or home,
// the site of the address.
func TestWhoGivesAnAddressUp(t *testing.T) {
	const checks = 4
	for _, c := range []struct {
		how  [maxClaimants + 1]string
		from [maxClaimants + 1]string
		goes int
	}{
		// All of one site: the weakest, and of equals the newest.
		{[...]string{holds, holds, holds, holds, stranger}, [...]string{"a", "a", "a", "a", "a"}, checks},
		{[...]string{holds, speaks, holds, holds, stranger}, [...]string{"a", "a", "a", "a", "a"}, 1},
		{[...]string{holds, speaks, speaks, holds, stranger}, [...]string{"a", "a", "a", "a", "a"}, 2},
		{[...]string{visitor, speaks, holds, speaks, stranger}, [...]string{"a", "a", "a", "a", "a"}, 0},
		{[...]string{visitor, settles, visitor, speaks, stranger}, [...]string{"a", "a", "a", "a", "a"}, 2},
		{[...]string{settles, settles, holds, settles, stranger}, [...]string{"a", "a", "a", "a", "a"}, checks},
		{[...]string{settles, speaks, holds, speaks, visitor}, [...]string{"a", "a", "a", "a", "a"}, checks},
		{[...]string{settles, visitor, holds, speaks, visitor}, [...]string{"a", "a", "a", "a", "a"}, checks},
		{[...]string{settles, visitor, holds, speaks, lives}, [...]string{"a", "a", "a", "a", "a"}, 1},
		// A site with many gives way, wherever it is.
		{[...]string{settles, settles, settles, settles, stranger}, [...]string{"a", "b", "b", "b", "b"}, checks},
		{[...]string{visitor, settles, settles, settles, stranger}, [...]string{"a", "home", "home", "home", "home"}, checks},
		{[...]string{settles, settles, settles, settles, stranger}, [...]string{"home", "home", "home", "home", "a"}, 3},
		{[...]string{settles, speaks, settles, settles, stranger}, [...]string{"b", "b", "b", "b", "a"}, 1},
		{[...]string{visitor, settles, settles, visitor, stranger}, [...]string{"a", "b", "b", "c", "d"}, 2},
		// What is proved does not count.
		{[...]string{holds, holds, holds, visitor, stranger}, [...]string{"a", "a", "a", "a", "b"}, 3},
		{[...]string{holds, holds, settles, visitor, stranger}, [...]string{"a", "a", "a", "b", "c"}, 3},
		{[...]string{holds, holds, holds, holds, stranger}, [...]string{"a", "a", "a", "a", "home"}, checks},
		// Of sites with equally many, home stays.
		{[...]string{visitor, settles, settles, settles, stranger}, [...]string{"home", "a", "b", "c", "d"}, checks},
		{[...]string{settles, settles, settles, settles, stranger}, [...]string{"a", "b", "c", "d", "home"}, 3},
		{[...]string{settles, speaks, visitor, settles, stranger}, [...]string{"a", "b", "c", "d", "home"}, 2},
	} {
		x := newBareShards(t, 1)
		s := x.shards[0]
		var all []*bareConn
		for i, how := range c.how {
			a := x.bareConn(0)
			a.become(how, victimAddr)
			a.site = netip.AddrFrom4([4]byte{203, 0, 113, 100 + c.from[i][0]})
			if c.from[i] == "home" {
				a.site = site(victimAddr.Addr())
			}
			all = append(all, a)
		}
		all[0].own(victimAddr, all[1:checks]...)
		taken := uint64(0)
		if c.goes == checks {
			taken = 1
		}
		want := slices.Delete(slices.Clone(all), c.goes, c.goes+1)
		what := fmt.Sprintf("%q of %q", c.how, c.from)
		x.hand(0, victimAddr, all[checks].check())
		x.wantClaimants(what, victimAddr, s, want...)
		if n := s.stats.drops[DropTaken]; n != taken {
			t.Errorf("%s: %d checks are counted as taken, want %d", what, n, taken)
		}
		x.hand(0, victimAddr, want[1].check())
		x.wantClaimants(what+"; one of them checks again", victimAddr, s, want...)
		if len(x.registry.byAddr) != 0 {
			t.Error("a server with one shard keeps the table of shared addresses")
		}
	}
}

// While there is room, every connection that checks becomes a claimant. The time to prove the
// address begins with the first check, even if the claimant was removed meanwhile.
func TestClaimants(t *testing.T) {
	x := newBareShards(t, 1)
	s := x.shards[0]
	var all []*bareConn
	for i := range maxClaimants {
		a := x.bareConn(0)
		all = append(all, a)
		x.hand(0, victimAddr, a.check())
		x.wantClaimants(fmt.Sprint(i+1), victimAddr, s, all...)
	}
	late := x.bareConn(0)
	x.now = x.now.Add(settling - 10*time.Millisecond)
	x.hand(0, victimAddr, late.check())
	x.wantClaimants("all of them settle", victimAddr, s, all...)
	x.now = x.now.Add(10 * time.Millisecond)
	x.hand(0, victimAddr, late.check())
	x.wantClaimants("they have had their time", victimAddr, s, all[0], all[1], all[2], late)
	x.hand(0, victimAddr, all[3].check())
	x.wantClaimants("one comes back", victimAddr, s, all[0], all[1], all[2], late)
}

// A datagram comes from an address of several connections. Only those that it may be for see it:
// the keys of each are tried on a record until one opens it, and plaintext is for the connection
// that shakes hands.
func TestWhoGetsADatagramFromAContestedAddress(t *testing.T) {
	const shakes, shakesAtHome, closing = visitor, "one that shakes hands at home", "one that is being closed"
	plaintext := func([]*bareConn) []byte {
		return record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe})
	}
	nobodys := func([]*bareConn) []byte { return record(23, 1, 7, make([]byte, 40)) }
	of := func(i int) func(all []*bareConn) []byte {
		return func(all []*bareConn) []byte { return all[i].record() }
	}
	for name, c := range map[string]struct {
		all       []string
		sends     func(all []*bareConn) []byte
		see       []int
		speaker   int // negative: nobody
		contested uint64
	}{
		"the first's":                                   {[]string{lives, lives, lives}, of(0), []int{0}, 0, 0},
		"the second's":                                  {[]string{lives, lives, lives}, of(1), []int{0, 1}, 1, 1},
		"the last's":                                    {[]string{lives, lives, lives, lives}, of(3), []int{0, 1, 2, 3}, 3, 3},
		"nobody's":                                      {[]string{lives, lives}, nobodys, []int{0, 1}, -1, 2},
		"the second's, while the first shakes":          {[]string{shakes, lives}, of(1), []int{1}, 1, 0},
		"nobody's, while one shakes hands":              {[]string{lives, shakes, lives}, nobodys, []int{0, 1, 2}, -1, 2},
		"nobody's, while two shake hands":               {[]string{shakes, shakes}, nobodys, []int{1}, -1, 0},
		"nobody's, while one is closed":                 {[]string{lives, closing}, nobodys, []int{0, 1}, -1, 1},
		"plaintext, while the first shakes":             {[]string{shakes, lives}, plaintext, []int{0}, -1, 0},
		"plaintext, while the second shakes":            {[]string{lives, shakes}, plaintext, []int{1}, -1, 0},
		"plaintext, while several shake":                {[]string{shakes, lives, shakes, shakes}, plaintext, []int{3}, -1, 0},
		"plaintext, while one shakes at home":           {[]string{shakes, shakesAtHome, shakes}, plaintext, []int{1}, -1, 0},
		"plaintext, while none shakes":                  {[]string{lives, lives}, plaintext, []int{0}, -1, 0},
		"plaintext, while one is closed":                {[]string{lives, closing, closing}, plaintext, []int{1}, -1, 0},
		"plaintext, while one is closed and one shakes": {[]string{closing, shakes}, plaintext, []int{1}, -1, 0},
	} {
		x := newBareShards(t, 1)
		s := x.shards[0]
		var all []*bareConn
		for _, how := range c.all {
			a := x.bareConn(0)
			switch how {
			case shakesAtHome:
				a.become(shakes, victimAddr)
				a.site = site(victimAddr.Addr())
			case closing:
				a.become(lives, victimAddr)
				a.peer.Close(x.now, "")
			default:
				a.become(how, victimAddr)
			}
			all = append(all, a)
		}
		all[0].own(victimAddr, all[1:]...)
		authentic := s.receiveFrom(x.now, all[0].Conn, &udpio.Datagram{Remote: victimAddr, Local: serverAddr.Addr(), B: c.sends(all)})
		if authentic != (c.speaker >= 0) || s.stats.contested != c.contested {
			t.Errorf("%s: authentic: %v, want %v; %d counted as contested, want %d", name, authentic, c.speaker >= 0, s.stats.contested, c.contested)
		}
		for i, a := range all {
			if a.entry.Touched() != slices.Contains(c.see, i) || a.peer.Speaks(x.now, victimAddr) != (i == c.speaker) {
				t.Errorf("%s: claimant %d gets the datagram: %v, want %v; speaks: %v, want %v", name, i, a.entry.Touched(), slices.Contains(c.see, i), a.peer.Speaks(x.now, victimAddr), i == c.speaker)
			}
		}
		x.wantClaimants(name, victimAddr, s, all...)
	}
}

// Whoever ends, or forgets an address, leaves it to the other claimants.
func TestWhoKeepsAnAddressThatOneLeaves(t *testing.T) {
	for _, shards := range []int{1, 2} {
		for how, end := range map[string]func(o *bareConn){
			"it ends":       func(o *bareConn) { o.setState(stateClosing); o.shard.remove(o.Conn) },
			"it forgets it": func(o *bareConn) { o.shard.removeOldAddrs(o.Conn) },
		} {
			for claimants := range maxClaimants {
				for leaver := range claimants + 1 {
					x := newBareShards(t, shards)
					s := x.shards[0]
					var all []*bareConn
					for i := range claimants + 1 {
						all = append(all, x.bareConn(0))
						if i != leaver {
							all[i].comes(victimAddr)
						}
					}
					o := all[leaver]
					o.comes(attackerAddr)
					o.own(attackerAddr)
					all[0].own(victimAddr, all[1:]...)
					s.loop.Time(o.Conn)
					end(o)
					what := fmt.Sprintf("%d of %d: %s", leaver, len(all), how)
					if next := s.loop.State().Timer; next.IsZero() != (o.state == stateGone) || (how == "it ends") != (o.state == stateGone) {
						t.Errorf("%s: the deadline of the loop is %v; the connection is %v", what, next, o.state)
					}
					left := slices.Delete(all, leaver, leaver+1)
					x.wantClaimants(what, victimAddr, s, left...)
					if how == "it ends" {
						x.wantClaimants(what, attackerAddr, s)
					} else {
						x.wantClaimants(what, attackerAddr, s, o)
					}
					if n := x.registry.byAddr[victimAddr].shards; shards > 1 && n != min(len(left), 1) {
						t.Errorf("%s: %d shards have a claim, want %d", what, n, min(len(left), 1))
					}
				}
			}
		}
	}
}

// A record reaches a shard with a connection at its address, and another shard has a connection
// there, too: the record is passed on unchanged, unless it was opened.
func TestRecordsThatMayBeForAnotherShard(t *testing.T) {
	x := newBareShards(t, 3)
	here, there, far := x.bareConn(0), x.bareConn(1), x.bareConn(2)
	for _, a := range []*bareConn{here, there} {
		a.become(lives, victimAddr)
		a.own(victimAddr)
	}
	far.become(lives, attackerAddr)
	far.own(attackerAddr)
	alone := x.bareConn(0)
	alone.become(lives, shardAddr(8))
	alone.own(shardAddr(8))
	plaintext := record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe})
	all := map[string]*bareConn{"here": here, "there": there, "far": far, "alone": alone}
	for _, c := range []struct {
		what    string
		b       []byte
		sees    []string
		speaker *bareConn
	}{
		{"its own", here.record(), []string{"here"}, here},
		{"of the other", there.record(), []string{"here", "there"}, there},
		{"of nobody", record(23, 1, 7, make([]byte, 40)), []string{"here", "there"}, nil},
		{"plaintext", plaintext, []string{"here", "there"}, nil},
	} {
		for _, a := range all {
			a.entry = loop.Entry{}
		}
		x.now = x.now.Add(3 * time.Second) // nobody speaks any more
		x.hand(0, victimAddr, bytes.Clone(c.b))
		seen := 0
		for _, name := range c.sees {
			if !all[name].entry.Touched() {
				t.Errorf("%s: the claimant %s does not get the datagram", c.what, name)
			}
		}
		for _, a := range all {
			if a.entry.Touched() {
				seen++
			}
			if a.peer.Speaks(x.now, victimAddr) != (a == c.speaker) {
				t.Errorf("%s: the wrong claimant speaks", c.what)
			}
		}
		if seen != len(c.sees) {
			t.Errorf("%s: %d claimants get the datagram, want %d", c.what, seen, len(c.sees))
		}
	}
	for _, a := range all {
		a.entry = loop.Entry{}
	}
	x.hand(0, attackerAddr, far.record()) // nobody is there at this shard
	if !far.entry.Touched() || here.entry.Touched() || x.shards[0].stats.drops[DropUnknownAddr] != 0 {
		t.Error("a record for another shard does not arrive, or is counted as from an unknown address")
	}
	x.hand(0, shardAddr(8), record(23, 1, 7, make([]byte, 40))) // only this shard has somebody there
	if !alone.entry.Touched() || here.entry.Touched() || there.entry.Touched() {
		t.Error("a record for this shard goes to other connections")
	}
	x.hand(0, shardAddr(9), record(23, 1, 7, make([]byte, 40)))
	if n := x.shards[0].stats.drops[DropUnknownAddr]; n != 1 {
		t.Errorf("%d records of strangers are counted, want 1", n)
	}
}

// What came for a contested address may be for another shard, too.
func TestPlaintextOfAContestedAddressGoesOn(t *testing.T) {
	x := newBareShards(t, 2)
	owner, rival, there := x.bareConn(0), x.bareConn(0), x.bareConn(1)
	for _, a := range []*bareConn{owner, rival, there} {
		a.become(visitor, victimAddr)
	}
	owner.own(victimAddr, rival)
	there.own(victimAddr)
	x.hand(0, victimAddr, record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe}))
	if owner.entry.Touched() || !rival.entry.Touched() || !there.entry.Touched() {
		t.Errorf("the owner gets the datagram: %v, want false; the rival: %v, want true; the one at the other shard: %v, want true", owner.entry.Touched(), rival.entry.Touched(), there.entry.Touched())
	}
}

// The engine learns of the end in the turn in which the close_notify of the page arrives.
func TestAGoodbyeIsToldInItsTurn(t *testing.T) {
	x := newBareShards(t, 1)
	a := x.bareConn(0)
	a.become(lives, victimAddr)
	a.own(victimAddr)
	b, err := a.records.Seal(dtls.AppendCloseNotify(a.records.Reserve(nil)), 0, dtls.TypeAlert)
	if err != nil {
		t.Fatal(err)
	}
	x.hand(0, victimAddr, b)
	if why := a.engine.(*testEngine).why; why == nil || why.Code != CloseByPage || a.peer.State() != peer.Closing || a.state != stateClosing {
		t.Errorf("the engine gets %v, want CloseByPage; the state is %v, want closing", why, a.state)
	}
}

// What cannot be sent stays with the engine, which is not asked for more.
func TestAnEngineThatCannotBeSentForIsAskedOnce(t *testing.T) {
	x := newBareShards(t, 1)
	a := x.bareConn(0)
	a.comes(victimAddr)
	a.state = stateOpen // and nothing can be sent, for it has no keys
	p := a.engine.(*testEngine)
	p.queue = []string{"first", "second", "third"}
	a.pump(x.now)
	if p.asked != 1 || len(p.queue) != 2 || a.sent != 0 {
		t.Errorf("asked %d times, want once; %d messages are left, want 2; %d sent, want 0", p.asked, len(p.queue), a.sent)
	}
}
