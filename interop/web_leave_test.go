package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// A page closes its connection, and the user goes to another page at once. The server learns of the end with its code and text, and
// long before the time after which it counts a silent page as gone.
func TestClientSaysGoodbyeAndLeaves(t *testing.T) {
	t.Parallel()
	const earlier = `addEventListener("pagehide", () => conn.close(300, "bye", 0));`
	inFront(t, func(t *testing.T, b *browser.Browser) {
		for _, c := range []leaveCase{
			{"connect", "", `conn.close(300, "bye");`},
			{"connect", "", `conn.close(300, "bye", 0);`},
			{"connect", earlier, ""},
			{"keep", "", `conn.close(300, "bye");`},
			{"keep", earlier, ""},
		} {
			t.Run(c.name+"/"+c.before+c.leaving, func(t *testing.T) { c.run(t, b) })
		}
	})
}

type leaveCase struct{ name, before, leaving string }

func (c leaveCase) run(t *testing.T, b *browser.Browser) {
	if c.name == "connect" && c.before != "" || c.name == "keep" && c.before == "" {
		slow(t) // each of the two and each way to leave has a test without this
	}
	closed := make(chan godwit.CloseReason, 4)
	w := newWebWorld(t, b, netsim.Link{Delay: oneWay}, func(conf *godwit.Config) {
		conf.Handler.Close = func(_ *godwit.Conn, why godwit.CloseReason) { closed <- why }
	})
	p := w.tab()
	p.do(`window.godwit = await import("/godwit.keep.min.js");
		`+c.before+`
		window.conn = await godwit.`+c.name+`("/godwit/", { channels: table });`, nil, nil)
	receive(t, w.conns, "the connection")
	p.do(`setTimeout(() => {
			conn.send("chat", new Uint8Array([1]));
			`+c.leaving+`
			location.href = "/web_page.js";
		}, 50);`, nil, nil)
	select {
	case why := <-closed:
		if why.Code != 300 || why.Text != "bye" || !why.Remote {
			t.Errorf("the server got the end %+v, want code 300, bye, remote", why)
		}
	case <-time.After(35 * time.Second): // without a close message it takes 40 s
		t.Error("the server has no end of the session after 35 s")
	}
}
