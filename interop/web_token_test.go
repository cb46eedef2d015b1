package interop

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// newTokenWorld makes a world whose server needs JSON Web Tokens; pages get them at /token?kind=….
func newTokenWorld(t *testing.T, b *browser.Browser) *webWorld {
	t.Helper()
	signer, err := auth.Generate(auth.EdDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWebWorld(t, b, netsim.Link{Delay: 10 * time.Millisecond}, func(c *godwit.Config) {
		c.Tokens = &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1"}
	})
	w.http.HandleFunc("GET /token", func(rw http.ResponseWriter, r *http.Request) {
		now := time.Now()
		c := auth.Claims{Subject: "ann", Audience: "eu-1", ID: rand.Text(), Expires: now.Add(time.Minute)}
		switch r.FormValue("kind") {
		case "expired":
			now, c.Expires = now.Add(-2*time.Hour), now.Add(-time.Hour)
		case "elsewhere":
			c.Audience = "us-1"
		}
		token, err := signer.Sign(now, c)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		rw.Write([]byte(token))
	})
	return w
}

// refused is the error of a page that may not connect, and the number of times that its token func was called.
type refused struct {
	Typed         bool // it is a ConnectError
	Code, Reason  string
	Status, Asked int
}

// refuse joins with tokens of these kinds, one after the other, and the last one for ever; "same" is the last one again.
const refuse = `
	let asked = 0;
	let last;
	const token = async () => {
		const kind = arg[Math.min(asked++, arg.length - 1)];
		if (kind !== "same") last = await (await fetch("/token?kind=" + kind)).text();
		return last;
	};
	try {
		await join({ token });
		return { asked };
	} catch (e) {
		return { typed: e instanceof godwit.ConnectError, code: e.code, reason: e.details.reason, status: e.status, asked };
	}`

func TestClientShowsTokens(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		p := newTokenWorld(t, b).tab()
		for _, tt := range []struct {
			name  string
			kinds []string
			want  refused
		}{
			{"a good one is asked for once", []string{"good"}, refused{Asked: 1}},
			{"after an expired one comes another", []string{"expired", "good"}, refused{Asked: 2}},
			{"expired", []string{"expired"}, refused{true, "token", "expired", 401, 2}},
			{"for another server", []string{"elsewhere"}, refused{true, "token", "audience", 401, 2}},
		} {
			var got refused
			p.do(refuse, tt.kinds, &got)
			if got != tt.want {
				t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
			}
		}
		var got refused
		p.do(`
			const token = await (await fetch("/token")).text();
			await join({ token });
			const e = await join({ token }).catch((e) => e);
			return { typed: e instanceof godwit.ConnectError, code: e.code, reason: e.details.reason, status: e.status };`, nil, &got)
		if want := (refused{true, "token", "replayed", 401, 0}); got != want {
			t.Errorf("the same token twice: %+v, want %+v", got, want)
		}
	})
}

// A resume does not need the token, which is valid once: a session that has lost its link continues on another.
func TestClientResumesWithoutItsToken(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newTokenWorld(t, b)
		p := w.tab()
		p.do(`window.asked = 0;
			const token = async () => (asked++, (await fetch("/token")).text());
			await join({ token });
			window.first = conn.id;
			window.going = exchange(arg);`, map[string]any{
			"channels": []string{"positions", "chat"}, "rate": 30, "size": 200, "count": 180, "drain": outageDrain.Milliseconds(),
		}, nil)
		c := receive(t, w.conns, "the connection")
		w.loseLinks()
		var got []exchanged
		p.doWithin(patience+outageDrain, `return await going;`, nil, &got)
		for _, e := range got {
			t.Logf("%-9s %s, %d refused while interrupted", e.Name, e.figures(), e.Refused)
			e.check(t)
		}
		var after struct {
			Asked, Links int
			Same         bool
		}
		p.do(`return { asked, links: conn.stats().links, same: conn.id === first };`, nil, &after)
		if after.Asked != 1 || after.Links < 2 || !after.Same {
			t.Errorf("asked for %d tokens over %d links of the same session (%v), want 1 over 2", after.Asked, after.Links, after.Same)
		}
		if id := c.Identity().Name; id != "ann" {
			t.Errorf("the player is %q, want ann", id)
		}
		if n := len(w.conns); n > 0 {
			t.Errorf("%d more sessions were opened, want 0", n)
		}
	})
}
