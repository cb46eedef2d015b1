package rtcserver

import (
	"bytes"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A check comes from an address that another connection has. Who has it then, and who is
// the rival.
func TestWhoGetsAnAddressThatAnotherHas(t *testing.T) {
	const none, gone, self = "", "one that is gone", "the one that checks"
	const owner, checker, third = 'o', 'c', 't'
	for _, c := range []struct {
		owner, checker, rival string
		has, isRival          rune
	}{
		{speaks, stranger, none, owner, checker},
		{speaks, lives, none, owner, checker},
		{speaks, speaks, none, owner, checker},
		{holds, stranger, none, owner, checker},
		{holds, visitor, none, owner, checker},
		{holds, lives, none, checker, owner}, // it has proved the address, too, and is heard there now
		{holds, speaks, none, checker, owner},
		{lives, stranger, none, checker, owner},
		{lives, speaks, none, checker, owner},
		{visitor, stranger, none, checker, owner},
		// There is a rival: a third one gets nothing while both live.
		{speaks, stranger, lives, owner, third},
		{speaks, stranger, visitor, owner, checker},
		{holds, stranger, lives, owner, third},
		{holds, stranger, visitor, owner, checker},
		{holds, lives, lives, owner, third},
		{holds, lives, visitor, checker, owner},
		{lives, stranger, lives, owner, third},
		{lives, stranger, visitor, checker, owner},
		{visitor, stranger, lives, checker, third},
		{visitor, stranger, visitor, checker, owner},
		// The one that checks is the rival already.
		{speaks, lives, self, owner, checker},
		{holds, visitor, self, owner, checker},
		{lives, lives, self, checker, owner},
		{visitor, visitor, self, checker, owner},
		// The rival has ended.
		{speaks, stranger, gone, owner, checker},
		{lives, stranger, gone, checker, owner},
	} {
		x := newScene(t, 1)
		s := x.shards[0]
		all := map[rune]*actor{owner: x.actor(0), checker: x.actor(0), third: x.actor(0)}
		all[owner].become(c.owner, victimAddr)
		all[checker].become(c.checker, victimAddr)
		switch c.rival {
		case none:
			all[owner].own(victimAddr, nil)
		case self:
			all[owner].own(victimAddr, all[checker])
		case gone:
			all[owner].own(victimAddr, all[third])
			x.registry.remove(all[third].Conn)
		default:
			all[third].become(c.rival, victimAddr)
			all[owner].own(victimAddr, all[third])
		}
		x.hand(0, victimAddr, all[checker].check())
		what := c.owner + " has it, " + c.checker + " checks; the rival: " + c.rival
		x.wantOwner(what, victimAddr, s, all[c.has], all[c.isRival])
		taken := uint64(0)
		if c.has == owner {
			taken = 1
		}
		if n := s.stats.drops[DropTaken]; n != taken {
			t.Errorf("%s: %d checks are counted as too late", what, n)
		}
		x.hand(0, victimAddr, all[c.has].check())
		x.wantOwner(what+"; it checks again", victimAddr, s, all[c.has], all[c.isRival])
		if len(x.registry.byAddr) != 0 {
			t.Error("one shard keeps a table for others")
		}
	}
}

// A datagram comes from an address that one connection has and another would have. Only
// the one that it may be for sees it; a record is tried under the keys of the other when
// those of the first do not open it, and counted.
func TestWhoGetsADatagramFromAContestedAddress(t *testing.T) {
	const shaking = visitor
	plaintext := func(*actor, *actor) []byte {
		return record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe})
	}
	owners := func(o, _ *actor) []byte { return o.record() }
	rivals := func(_, r *actor) []byte { return r.record() }
	nobodys := func(*actor, *actor) []byte { return record(23, 1, 7, make([]byte, 40)) }
	for name, c := range map[string]struct {
		owner, rival       string
		sends              func(o, r *actor) []byte
		ofOwner, ofRival   bool // sees it
		authentic          bool
		contested          uint64
		ownerNow, rivalNow bool // is known to speak there
	}{
		"the owner's":                             {lives, lives, owners, true, false, true, 0, true, false},
		"the rival's":                             {lives, lives, rivals, true, true, true, 1, false, true},
		"nobody's":                                {lives, lives, nobodys, true, true, false, 1, false, false},
		"the owner's, whose rival shakes hands":   {lives, shaking, owners, true, false, true, 0, true, false},
		"the rival's, while the owner shakes":     {shaking, lives, rivals, false, true, true, 0, false, true},
		"nobody's, while the owner shakes hands":  {shaking, lives, nobodys, true, true, false, 1, false, false},
		"nobody's, while both shake hands":        {shaking, shaking, nobodys, true, true, false, 1, false, false},
		"plaintext, while the owner shakes hands": {shaking, lives, plaintext, true, false, false, 0, false, false},
		"plaintext, while the rival shakes hands": {lives, shaking, plaintext, false, true, false, 0, false, false},
		"plaintext, while both shake hands":       {shaking, shaking, plaintext, true, false, false, 0, false, false},
		"plaintext, while none shakes hands":      {lives, lives, plaintext, false, true, false, 0, false, false},
	} {
		x := newScene(t, 1)
		s, o, r := x.shards[0], x.actor(0), x.actor(0)
		o.become(c.owner, victimAddr)
		r.become(c.rival, victimAddr)
		o.own(victimAddr, r)
		authentic := s.take(x.now, o.Conn, &udpio.Datagram{Remote: victimAddr, Local: serverAddr.Addr(), B: c.sends(o, r)})
		if o.touched != c.ofOwner || r.touched != c.ofRival || authentic != c.authentic || s.stats.contested != c.contested {
			t.Errorf("%s: the owner saw it: %v, the rival: %v; authentic: %v; %d counted as contested", name, o.touched, r.touched, authentic, s.stats.contested)
		}
		if ownerNow, rivalNow := o.peer.Speaks(x.now, victimAddr), r.peer.Speaks(x.now, victimAddr); ownerNow != c.ownerNow || rivalNow != c.rivalNow {
			t.Errorf("%s: the owner speaks: %v, the rival: %v", name, ownerNow, rivalNow)
		}
		x.wantOwner(name, victimAddr, s, o, r)

		// When the rival is gone all is the owner's.
		x.registry.remove(r.Conn)
		o.touched, r.touched = false, false
		x.hand(0, victimAddr, c.sends(o, r))
		if !o.touched || r.touched || s.stats.contested != c.contested {
			t.Errorf("%s: the rival is gone; the owner sees it: %v, the rival: %v; %d counted as contested", name, o.touched, r.touched, s.stats.contested)
		}
		x.wantOwner(name+"; the rival is gone", victimAddr, s, o, nil)
	}
}

// The rival inherits the address when the owner ends or forgets it, if it lives there.
func TestWhoInheritsAnAddress(t *testing.T) {
	for _, shards := range []int{1, 2} {
		for rival, inherits := range map[string]bool{visitor: false, lives: true, holds: true, "": false} {
			for how, end := range map[string]func(x *scene, o *actor){
				"the owner ends":       func(x *scene, o *actor) { o.shard.remove(x.now, o.Conn) },
				"the owner forgets it": func(x *scene, o *actor) { o.shard.prune(x.now, o.Conn) },
			} {
				x := newScene(t, shards)
				s, o, r := x.shards[0], x.actor(0), (*actor)(nil)
				if rival != "" {
					r = x.actor(0)
					r.become(rival, victimAddr)
				}
				o.comes(attackerAddr)
				o.own(victimAddr, r)
				o.own(attackerAddr, nil)
				s.timers.Set(o.Conn, &o.timer, x.now)
				end(x, o)
				if next := s.timers.Next(); next.IsZero() != o.gone {
					t.Errorf("%s: the loop looks at it at %v", how, next)
				}
				heir, members := r, 1
				if !inherits {
					heir, members = nil, 0
				}
				what := how + "; the rival is " + rival
				x.wantOwner(what, victimAddr, s, heir, nil)
				if how == "the owner ends" {
					x.wantOwner(what, attackerAddr, s, nil, nil)
				} else {
					x.wantOwner(what, attackerAddr, s, o, nil)
				}
				if shards > 1 && x.registry.byAddr[victimAddr].shards != members {
					t.Errorf("%s: %d shards are said to have somebody there", what, x.registry.byAddr[victimAddr].shards)
				}
			}
		}
	}
}

// A record reaches a shard where somebody has its address, and another shard has somebody
// there, too: it goes on, unspoilt, unless it was opened.
func TestRecordsThatMayBeForAnotherShard(t *testing.T) {
	x := newScene(t, 3)
	here, there, far := x.actor(0), x.actor(1), x.actor(2)
	for _, a := range []*actor{here, there} {
		a.become(lives, victimAddr)
		a.own(victimAddr, nil)
	}
	far.become(lives, attackerAddr)
	far.own(attackerAddr, nil)
	alone := x.actor(0)
	alone.become(lives, shardAddr(8))
	alone.own(shardAddr(8), nil)
	plaintext := record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe})
	all := map[string]*actor{"here": here, "there": there, "far": far, "alone": alone}
	for _, c := range []struct {
		what    string
		b       []byte
		sees    []string
		speaker *actor
	}{
		{"its own", here.record(), []string{"here"}, here},
		{"of the other", there.record(), []string{"here", "there"}, there},
		{"of nobody", record(23, 1, 7, make([]byte, 40)), []string{"here", "there"}, nil},
		{"plaintext", plaintext, []string{"here", "there"}, nil},
	} {
		for _, a := range all {
			a.touched = false
		}
		x.now = x.now.Add(3 * time.Second) // nobody speaks any more
		x.hand(0, victimAddr, bytes.Clone(c.b))
		seen := 0
		for _, name := range c.sees {
			if !all[name].touched {
				t.Errorf("%s: the one that is %s does not see it", c.what, name)
			}
		}
		for _, a := range all {
			if a.touched {
				seen++
			}
			if a.peer.Speaks(x.now, victimAddr) != (a == c.speaker) {
				t.Errorf("%s: the wrong one is known to speak", c.what)
			}
		}
		if seen != len(c.sees) {
			t.Errorf("%s: %d see it", c.what, seen)
		}
	}
	for _, a := range all {
		a.touched = false
	}
	x.hand(0, attackerAddr, far.record()) // nobody is there at this shard
	if !far.touched || here.touched || x.shards[0].stats.drops[DropUnknownAddr] != 0 {
		t.Error("a record for another shard does not arrive, or is counted as a stranger's")
	}
	x.hand(0, shardAddr(8), record(23, 1, 7, make([]byte, 40))) // only this shard has somebody there
	if !alone.touched || here.touched || there.touched {
		t.Error("a record for this shard goes to others")
	}
	x.hand(0, shardAddr(9), record(23, 1, 7, make([]byte, 40)))
	if n := x.shards[0].stats.drops[DropUnknownAddr]; n != 1 {
		t.Errorf("%d records of strangers are counted, want 1", n)
	}
}

// What came for a contested address may be for another shard, too.
func TestPlaintextOfAContestedAddressGoesOn(t *testing.T) {
	x := newScene(t, 2)
	owner, rival, there := x.actor(0), x.actor(0), x.actor(1)
	for _, a := range []*actor{owner, rival, there} {
		a.become(visitor, victimAddr)
	}
	owner.own(victimAddr, rival)
	there.own(victimAddr, nil)
	x.hand(0, victimAddr, record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe}))
	if !owner.touched || rival.touched || !there.touched {
		t.Errorf("the owner sees it: %v, the rival: %v, the one at the other shard: %v", owner.touched, rival.touched, there.touched)
	}
}

// The engine is told of the end in the turn in which the page closes.
func TestAGoodbyeIsToldInItsTurn(t *testing.T) {
	x := newScene(t, 1)
	a := x.actor(0)
	a.become(lives, victimAddr)
	a.own(victimAddr, nil)
	b, err := a.records.Seal(dtls.AppendCloseNotify(a.records.Reserve(nil)), 0, dtls.TypeAlert)
	if err != nil {
		t.Fatal(err)
	}
	x.hand(0, victimAddr, b)
	if a.closed == nil || a.closed.Code != ClosedByPage || a.peer.State() != peer.Closing {
		t.Errorf("told: %v", a.closed)
	}
}

// What cannot be sent stays with the engine, which is not asked for more.
func TestAnEngineThatCannotBeSentForIsAskedOnce(t *testing.T) {
	x := newScene(t, 1)
	a := x.actor(0)
	a.comes(victimAddr)
	a.opened = true // and nothing can be sent, for it has no keys
	p := a.engine.(*puppet)
	p.queue = []string{"first", "second", "third"}
	a.pump(x.now)
	if p.asked != 1 || len(p.queue) != 2 || a.sent != 0 {
		t.Errorf("asked %d times, %d messages are left, %d sent", p.asked, len(p.queue), a.sent)
	}
}
