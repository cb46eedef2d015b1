package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit"
	native "github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

func duplicates(d godwit.Duplicates) godwit.Config { return godwit.Config{Duplicates: d} }

// claimed waits until a node has claimed the name of a client.
func (n *node) claimed(c *client, name string) {
	n.t.Helper()
	wait(n.t, n.Name()+" claims "+name, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		p := n.players[name]
		return p != nil && p.claim.held && p.claim.session == c.ID()
	})
}

func TestANewSessionReplacesTheOldOneOnAnotherNode(t *testing.T) {
	nodes := newFleet(t, 2, duplicates(godwit.DuplicatesReplace))
	for round := range 3 {
		a, b := nodes[round%2], nodes[(round+1)%2]
		name := fmt.Sprint("ada ", round)
		old := a.join(name)
		a.claimed(old, name)
		if err := b.admit(t.Context(), name); err != nil {
			t.Errorf("admit: %v", err)
		}
		young := b.join(name)
		old.want(t, "the old session", "replaced")
		b.claimed(young, name)
		if young.State() != session.StateOpen {
			t.Errorf("the new session is %v", young.State())
		}
		wait(t, "the old node forgets the name", func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.players[name] == nil
		})
		// The release of the old node has not removed the claim of the new one.
		again := a.join(name)
		young.want(t, "the second session", "replaced")
		a.claimed(again, name)
		again.server.Kick("")
		again.want(t, "the end", "kicked")
	}
}

func TestASecondSessionOnAnotherNodeIsRefused(t *testing.T) {
	nodes := newFleet(t, 2, duplicates(godwit.DuplicatesRefuse))
	a, b := nodes[0], nodes[1]
	old := a.join("ada")
	a.claimed(old, "ada")
	a.sync()
	err := b.admit(t.Context(), "ada")
	if e, ok := errors.AsType[*rtcserver.StatusError](err); !ok || e.Status != 409 || e.Code != "identity" || e.Text != "ada is connected already" {
		t.Errorf("the request of the second client: %v", err)
	}
	if err := b.admit(t.Context(), "bob"); err != nil {
		t.Errorf("the request of another client: %v", err)
	}
	young := b.join("ada") // as if both had asked at the same time
	young.want(t, "the second session", "duplicate")
	if old.State() != session.StateOpen {
		t.Errorf("the first session is %v", old.State())
	}
	old.server.Kick("")
	old.want(t, "the first session", "kicked")
	wait(t, "the name is released", func() bool { return a.Stats().Players == 0 && b.Stats().Players == 0 })
	young = b.join("ada")
	b.claimed(young, "ada")
}

// Of sessions that open on several nodes at once exactly one stays.
func TestOneOfManySessionsStays(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesRefuse, godwit.DuplicatesReplace} {
		t.Run(d.String(), func(t *testing.T) {
			nodes := newFleet(t, 3, duplicates(d))
			for round := range 10 {
				name := fmt.Sprint("p", round)
				clients := make([]*client, len(nodes))
				var joining sync.WaitGroup
				for i, n := range nodes {
					joining.Go(func() { clients[i] = n.join(name) })
				}
				joining.Wait()
				var open []*client
				wait(t, "one session is open and has the claim", func() bool {
					open = open[:0]
					holders := 0
					for i, c := range clients {
						if c.State() == session.StateClosed {
							if len(nodes[i].named(name)) > 0 { // the node's end is not over yet
								return false
							}
							continue
						}
						open = append(open, c)
						nodes[i].mu.Lock()
						if p := nodes[i].players[name]; p != nil && p.claim.held && p.claim.session == c.ID() {
							holders++
						}
						nodes[i].mu.Unlock()
					}
					return len(open) == 1 && holders == 1
				})
				must(t, nodes[0].Send(name, chat, []byte("you")))
				open[0].want(t, "the one that stays", "chat you")
			}
		})
	}
}

// A node that dies without releasing its names does not keep players out.
func TestNamesOfADeadNodeAreFree(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesRefuse, godwit.DuplicatesReplace} {
		t.Run(d.String(), func(t *testing.T) {
			nodes := newFleet(t, 2, duplicates(d))
			a, b := nodes[0], nodes[1]
			old := b.join("ada")
			b.claimed(old, "ada")
			b.nc.Close()
			young := a.join("ada")
			a.claimed(young, "ada")
			if young.State() != session.StateOpen {
				t.Errorf("the new session is %v", young.State())
			}
		})
	}
}

// While NATS is away, clients are admitted or refused, as Config says.
func TestAdmissionWhileNATSIsAway(t *testing.T) {
	for _, tt := range []struct {
		away       Away
		duplicates godwit.Duplicates
		status     int // 0: admitted
	}{
		{AwayAdmit, godwit.DuplicatesRefuse, 0}, {AwayAdmit, godwit.DuplicatesReplace, 0},
		{AwayRefuse, godwit.DuplicatesRefuse, 503}, {AwayRefuse, godwit.DuplicatesReplace, 503},
		{AwayRefuse, godwit.DuplicatesAllow, 0},
	} {
		t.Run(fmt.Sprint(tt.away, " ", tt.duplicates), func(t *testing.T) {
			server := newNATS(t)
			asked := 0
			gc := godwit.Config{Duplicates: tt.duplicates, Admit: func(context.Context, godwit.Identity) error { asked++; return nil }}
			n := newNode(t, Config{NATS: server.address(), WhenAway: tt.away}, gc)
			admit := n.inFront(gc).Admit
			server.stop()
			wait(t, "NATS is away", func() bool { return !n.Connected() })
			err := admit(t.Context(), godwit.Identity{Name: "ada"})
			var e *rtcserver.StatusError
			if tt.status == 0 && err != nil || tt.status != 0 && (!errors.As(err, &e) || e.Status != tt.status) {
				t.Errorf("the answer is %v, want the status %d", err, tt.status)
			}
			if e != nil && (e.Code != "full" || e.Text == "" || e.Detail["reason"] != "away") {
				t.Errorf("the answer is %+v, want a text, the code full and the reason away", e)
			}
			if asked != 1 {
				t.Errorf("the program's Admit was asked %d times", asked)
			}
			if err := admit(t.Context(), godwit.Identity{}); err != nil {
				t.Errorf("a client without a name: %v", err)
			}
		})
	}
}

// A player who has left after a claim has failed, and who is back, is another player of the node: what
// failed is not repeated for the one before, who could take the claim from the one who is there.
func TestAFailedClaimOfAPlayerWhoHasLeftIsNotRepeated(t *testing.T) {
	n := newFleet(t, 1, duplicates(godwit.DuplicatesReplace))[0]
	n.claimed(n.join("ada"), "ada")
	n.mu.Lock()
	defer n.mu.Unlock()
	there, before := n.players["ada"], &player{name: "ada", token: "ada"}
	n.claims.failed = append(n.claims.failed, before, there)
	n.renewClaims(time.Now())
	if before.claim.queued || !there.claim.queued && !there.claim.busy {
		t.Errorf("repeated for the player before: %v, want false; for the one who is there: %v, want true", before.claim.queued, there.claim.queued)
	}
}

// In a cluster of NATS servers that which has the bucket in memory starts again, and the nodes stay connected to others. Of two sessions that have one name
// then one stays, and the other names are claimed again.
func TestTheBucketOfNamesStartsAgain(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesReplace)
	eve := x.join("eve")
	x.claimed(eve, "eve")
	must(t, x.js.DeleteKeyValue(t.Context(), x.bucketName("players")))
	kv := testkit.Must(x.openClaims())
	young := x.other.join("ada")
	x.other.claimed(young, "ada") // in the revision that the first claim had
	x.wakeRooms()
	x.player.want(t, "the bucket has the name of another node", "replaced")
	wait(t, "the other name is claimed again", func() bool {
		e, err := kv.Get(t.Context(), token("eve"))
		node, id := readClaim(e)
		return err == nil && node == x.me && id == eve.ID()
	})
	if young.State() != session.StateOpen || eve.State() != session.StateOpen {
		t.Errorf("the other sessions are %v and %v, want both open", young.State(), eve.State())
	}
}

// All claims are compared with the bucket if it does not have the oldest one, and not otherwise.
func TestTheOldestClaimIsCompared(t *testing.T) {
	me, now := newInstance(), time.Now()
	for _, c := range []struct {
		name   string
		value  []byte // of the oldest claim in the bucket; nil: none
		get    error
		change func(f *Fleet, oldest *player) // while the bucket is read
		want   bool
	}{
		{"it is there", appendClaim(me, 7), nil, nil, false},
		{"it is there as it was written later", appendClaim(me, 7), nil, nil, true},
		{"it is not there", nil, nil, nil, true},
		{"another node has the name", appendClaim(newInstance(), 7), nil, nil, true},
		{"nothing can be read", nil, errBroken, nil, false},
		{"the server with the bucket is down", nil, nats.ErrNoResponders, nil, false},
		{"it has changed since", nil, nil, func(_ *Fleet, oldest *player) { oldest.claim.revision++ }, false},
	} {
		b := &bucket{}
		f := newQueue(b)
		f.me = me
		oldest := f.addPlayer("oldest", claim{held: true, revision: 3, written: now.Add(-time.Minute)})
		all := []string{"oldest", "without a claim"}
		for i := range 20 {
			all = append(all, fmt.Sprintf("young %02d", i))
			f.addPlayer(all[i+2], claim{held: true, revision: 4, written: now})
		}
		f.addPlayer("queued", claim{held: true, revision: 2, written: now.Add(-time.Hour), queued: true})
		f.addPlayer("busy", claim{held: true, revision: 2, written: now.Add(-time.Hour), busy: true})
		f.addPlayer("without a claim", claim{})
		b.KeyValue = getter{get: func(key string) (jetstream.KeyValueEntry, error) {
			if key != "oldest" {
				t.Errorf("%s: the claim of %q is read", c.name, key)
			}
			if c.change != nil {
				c.change(f, oldest)
			}
			switch {
			case c.get != nil:
				return nil, c.get
			case c.value == nil:
				return nil, jetstream.ErrKeyNotFound
			}
			e := entry{key: key, value: c.value, revision: 3}
			if c.want {
				e.revision++
			}
			return e, nil
		}}
		f.checkClaims(t.Context())
		if got := slices.Sorted(slices.Values(queued(f))); c.want != slices.Equal(got, all) || !c.want && len(got) != 0 {
			t.Errorf("%s: %v are compared with the bucket, want all that do not wait: %v", c.name, got, c.want)
		}
	}
	newQueue(nil).checkClaims(t.Context()) // a node without claims reads nothing
}

// A getter is a bucket of which a test replaces Get.
type getter struct {
	jetstream.KeyValue
	get func(key string) (jetstream.KeyValueEntry, error)
}

func (g getter) Get(_ context.Context, key string) (jetstream.KeyValueEntry, error) {
	return g.get(key)
}

// A wire is one direction of a link in memory.
type wire chan []byte

func (w wire) Send(b []byte) bool { w <- bytes.Clone(b); return true }
func (w wire) Close(string)       { close(w) }

func (w wire) deliver(receive func([]byte) bool) {
	for b := range w {
		receive(b)
	}
}

// A session that is interrupted keeps its name, and one that is being closed does not.
func TestAnInterruptedSessionKeepsItsName(t *testing.T) {
	n := newFleet(t, 1, duplicates(godwit.DuplicatesReplace))[0]
	up, down := make(wire, 1024), make(wire, 1024)
	link := testkit.Must(n.srv.AddLink(godwit.Identity{Name: "ada"}, godwit.LinkConfig{Name: "wire", Carrier: down}))
	go up.deliver(link.Receive)
	e := testkit.Must(native.Listen("", native.Config{}))
	t.Cleanup(func() { e.Close() })
	testkit.Must(e.JoinOver(t.Context(), native.LinkConfig{Name: "wire", Dial: func(_ context.Context, l *native.Link) (native.Carrier, error) {
		go down.deliver(l.Receive)
		return up, nil
	}}, native.SessionConfig{Channels: table}))
	c := link.Conn()
	wants := func(state session.State, want *godwit.Conn) {
		t.Helper()
		wait(t, "the session is "+state.String(), func() bool { return c.State() == state })
		if got := n.holder("ada"); got != want {
			t.Errorf("the session is %v: the name belongs to %v, want %v", state, got, want)
		}
	}
	wants(session.StateOpen, c)
	link.Close()
	wants(session.StateInterrupted, c)
	c.Kick("")
	wants(session.StateClosed, nil)
}

// After NATS has started again revisions begin again. A node that releases a name does not remove the claim of another node that
// has the revision of its own one.
func TestAReleaseAfterNATSWasAway(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesReplace)
	elsewhere, kv := newInstance(), x.bucket.KeyValue
	for _, c := range []struct {
		name  string
		value []byte // nil: none
		get   error
		left  bool // in the bucket
		err   error
	}{
		{"another node", appendClaim(elsewhere, 7), nil, true, nil}, {"this node", appendClaim(x.me, 7), nil, false, nil},
		{"nobody", nil, nil, false, nil}, {"no bucket", nil, jetstream.ErrBucketNotFound, false, nil}, {"an error", appendClaim(x.me, 7), errBroken, true, errBroken},
	} {
		key, had := token(c.name), claim{held: true, session: 7, again: true, revision: 1}
		if c.value != nil {
			testkit.Must(kv.Put(t.Context(), key, []byte("before")))
			had.revision = testkit.Must(kv.Put(t.Context(), key, c.value))
		}
		if c.name == "this node" {
			had.revision-- // that of the bucket before
		}
		x.bucket.get = once(1, nil, c.get)
		after, err := x.settleName(c.name, key, had)
		if !errors.Is(err, c.err) || after != (claim{}) && after != had || (after == had) != (c.err != nil) {
			t.Errorf("%s has the name: %+v, %v; want an error: %v, and the claim as it was then", c.name, after, err, c.err)
		}
		if _, err := kv.Get(t.Context(), key); (err == nil) != c.left {
			t.Errorf("%s has the name: %v afterwards, want it in the bucket: %v", c.name, err, c.left)
		}
	}
}
