package interop

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestDuel plays examples/duel: both games get states over a link that loses packets, the page shows how old each is, a key
// goes to both games, and the sliders change the link.
func TestDuel(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "duel")
	inFront(t, func(t *testing.T, b *browser.Browser) {
		url, _ := startExample(t, program, "-loss", "5", "-delay", "20")
		p := examplePage(t, b, url)
		p.playDuel()
		p.do(`const loss = document.getElementById("loss"), real = window.fetch;
			window.move = (value) => { loss.value = value; loss.dispatchEvent(new Event("input")); };
			let under = 0, most = 0, release;
			const held = new Promise((go) => (release = go));
			window.asked = 0;
			window.fetch = async (url, options) => {
				if (!String(url).includes("/link")) return real(url, options); // of the client
				try {
					if (options?.method !== "POST") return await real(url, options);
					most = Math.max(most, ++under);
					await held; // the first request is under way until the slider has moved again
					return await real(url, options).finally(() => under--);
				} finally {
					asked++;
				}
			};
			for (const value of [3, 7, 12]) {
				move(value);
				await new Promise((go) => setTimeout(go, 20));
			}
			release();
			for (let r = {}; r.loss !== 12 || under;) r = await (await real("link")).json();
			if (most !== 1) throw new Error(most + " requests set the link at the same time: the last one may be overtaken");`, nil, nil)
		p.Screenshot(filepath.Join(t.ArtifactDir(), "duel.png")) // -artifacts keeps it
		// The machine sleeps, so that the two clocks are others to each other than before.
		p.do(`const real = performance.now.bind(performance), { asked } = window;
			performance.now = () => real() + 1e9;
			await until(() => window.asked > asked + 4); // questions about the clock of the server
			const age = sides.tcp.age(performance.now());
			if (!(age < 1e8)) throw new Error("after a sleep the picture is " + age + " ms old");`, nil, nil)
	})
}

// TestDuelFromAStaticHost serves only the page of examples/duel, which uses a server of another origin.
func TestDuelFromAStaticHost(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../examples/duel/index.html")
	if err != nil {
		t.Fatal(err)
	}
	static := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(page) }))
	if static.Listener, err = net.Listen("tcp", netip.AddrPortFrom(browser.Host(t), 0).String()); err != nil {
		t.Fatal(err)
	}
	static.Start()
	t.Cleanup(static.Close)
	program := buildExample(t, "duel")
	inFront(t, func(t *testing.T, b *browser.Browser) {
		url, _ := startExample(t, program, "-loss", "0", "-delay", "20", "-origins", static.URL)
		lost := examplePage(t, b, static.URL+"/lost")
		lost.do(`await until(() => !document.getElementById("where").hidden);
			document.getElementById("server").value = arg;
			return document.getElementById("state").innerText;`, url, nil)
		p := examplePage(t, b, static.URL+"/?server="+strings.TrimSuffix(url, "/"))
		p.playDuel()
	})
}

// playDuel waits until both games of a page play, and steers both players into a corner.
func (p *tab) playDuel() {
	p.t.Helper()
	p.do(`await until(() => window.sides?.tcp.received > 30 && sides.udp.received > 30);
		await until(() => [...document.querySelectorAll(".age")].every((n) => /^\d+\s*ms old$/.test(n.innerText)));
		if (document.querySelectorAll(".age").length !== 2) throw new Error("there are not two numbers");
		for (const code of ["ArrowLeft", "KeyW"]) document.body.dispatchEvent(new KeyboardEvent("keydown", { code, bubbles: true }));
		for (const side of Object.values(sides)) await until(() => side.own[0] === 0 && side.own[1] === 0);
		for (const code of ["ArrowLeft", "KeyW"]) document.body.dispatchEvent(new KeyboardEvent("keyup", { code, bubbles: true }));
		if (document.documentElement.scrollWidth > innerWidth) throw new Error("the page is wider than the window");`, nil, nil)
}
