package interop

import (
	"cmp"
	"io"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestBoxes plays examples/boxes with two pages: each page sees the moves of the
// other's box and the other's chat. In WebKitGTK, which has no WebRTC, a WebSocket carries
// the game.
func TestBoxes(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "boxes")
	everyBrowser(t, append([]browser.Kind{browser.WebKit}, browser.Kinds...), func(t *testing.T, b *browser.Browser) {
		url, _ := startExample(t, program)
		ada, bob := enterBoxes(t, b, url, "ada"), enterBoxes(t, b, url, "bob")
		for _, turn := range []struct {
			who, other *tab
			name       string
			key        string
			dx, dy     int // signs of the direction of the move
		}{
			{ada, bob, "ada", "ArrowRight", 1, 0},
			{bob, ada, "bob", "KeyW", 0, -1},
		} {
			turn.who.do(`enter("chat", "text", arg);`, "here comes "+turn.name, nil)
			for _, p := range []*tab{ada, bob} {
				p.do(`await until(() => document.getElementById("log").innerText.includes(arg));`, turn.name+" here comes "+turn.name, nil)
			}
			var from, to struct{ X, Y float64 }
			turn.other.do(`const box = await seen(arg); return { x: box.x, y: box.y };`, turn.name, &from)
			turn.who.do(`press("keydown", arg);`, turn.key, nil)
			turn.other.do(`const box = await seen(arg.name);
				await until(() => Math.hypot(box.x - arg.from.X, box.y - arg.from.Y) > 1000);
				return { x: box.x, y: box.y };`, map[string]any{"name": turn.name, "from": from}, &to)
			turn.who.do(`press("keyup", arg);`, turn.key, nil)
			if cmp.Compare(to.X, from.X) != turn.dx || cmp.Compare(to.Y, from.Y) != turn.dy {
				t.Errorf("%s presses %s: for the other page the box moves from %v to %v", turn.name, turn.key, from, to)
			}
		}
		if b.Kind == browser.WebKit {
			var has string
			ada.do(`return typeof RTCPeerConnection;`, nil, &has)
			if has != "undefined" {
				t.Errorf("RTCPeerConnection is %s: WebKitGTK has WebRTC now", has)
			}
			ada.Screenshot(filepath.Join(t.ArtifactDir(), "boxes.png")) // -artifacts keeps it
		}
	})
}

// enterBoxes opens a page and joins the game.
func enterBoxes(t *testing.T, b *browser.Browser, url, name string) *tab {
	t.Helper()
	p := examplePage(t, b, url)
	p.do(`window.seen = async (name) => {
			const find = () => [...players.values()].find((p) => p.name === name && p.x !== undefined);
			await until(find);
			return find();
		};
		window.press = (type, code) => { // a key that is held repeats; a page that loses the focus to the tab of another test forgets its keys
			const send = () => document.activeElement.dispatchEvent(new KeyboardEvent(type, { code, bubbles: true }));
			clearInterval(window.held);
			if (type === "keydown") window.held = setInterval(send, 50);
			send();
		};
		await until(() => window.players);
		enter("join", "name", arg);
		await until(() => [...players.values()].some((p) => p.name === arg)); // in a tab that is hidden nothing is drawn`, name, nil)
	return p
}

// playAgain leaves the game and plays again.
func (p *tab) playAgain() {
	p.t.Helper()
	p.do(`document.getElementById("leave").click();
		await until(() => document.getElementById("play").innerText === "Play again" && !document.getElementById("join").hidden);`, nil, nil)
	p.shows("state", "you have left")
	p.do(`document.getElementById("join").requestSubmit();`, nil, nil)
	p.shows("state", " it: ")
}

// TestBoxesComesBack plays with two pages. One goes to another page and back with the button of the browser. Chromium brings the page
// back as it was, with the player's session; Firefox loads it again, and the player enters again.
func TestBoxesComesBack(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "boxes")
	inFront(t, func(t *testing.T, b *browser.Browser) { // Chromium of browser.Start brings no page back as it was
		url, _ := startExample(t, program)
		ada, bob := enterBoxes(t, b, url, "ada"), enterBoxes(t, b, url, "bob")
		bob.shows("state", "ada is it")
		bob.do(`window.asItWas = true;`, nil, nil)
		bob.Leave(url + "/table.js")
		bob.Back("/")
		var asItWas bool
		if bob.do(`return !!window.asItWas;`, nil, &asItWas); asItWas != (b.Kind == browser.Chromium) {
			var why any
			bob.do(`return JSON.stringify(performance.getEntriesByType("navigation")[0].notRestoredReasons);`, nil, &why)
			t.Errorf("the page was brought back as it was: %v, because %v", asItWas, why)
		}
		bob.do(`const show = (id) => document.getElementById(id);
				while (!show("log").innerText.includes("bob here I am")) {
					show("text").value = "here I am";
					if (!show("chat").hidden) show("chat").requestSubmit();
					await new Promise((go) => setTimeout(go, 1000));
				}`, nil, nil)
		ada.shows("log", "bob here I am")
		bob.shows("state", " it: ")
	})
}

// TestBoxesGoesOn plays tag. Then a player leaves and plays again, loads the page again, and gets a new server: each time the player
// is in the game again, and the other player sees it.
func TestBoxesGoesOn(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "boxes")
	everyBrowser(t, browser.Kinds, func(t *testing.T, b *browser.Browser) {
		web := freePort(t).String() // for two programs, one after the other
		cmd, _, lines := runExample(t, program, "-data", ":0", "-http", web)
		url := regexp.MustCompile(`http://\S+`).FindString(readTo(t, lines, '\n'))
		ada, bob := enterBoxes(t, b, url, "ada"), enterBoxes(t, b, url, "bob")
		ada.shows("state", "you are it")
		bob.shows("state", "ada is it")
		ada.do(`window.from = (await seen("bob")).x;`, nil, nil)
		bob.do(`press("keydown", "ArrowRight");`, nil, nil)
		ada.do(`const box = await seen("bob"); await until(() => box.x > from + 1500);`, nil, nil) // in a tab that is hidden a player's own box stays
		bob.do(`press("keyup", "ArrowRight");`, nil, nil)
		ada.do(`press("keydown", "ArrowRight");`, nil, nil)
		bob.shows("state", "you are it")
		ada.do(`press("keyup", "ArrowRight");`, nil, nil)

		bob.playAgain()
		ada.shows("log", "bob leaves\nbob joins")

		bob.Reload()
		bob.shows("state", " it: ")
		ada.shows("log", "bob leaves\nbob joins\nbob leaves\nbob joins")

		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(io.Discard, lines)
		for _, p := range []*tab{ada, bob} {
			p.shows("state", "waiting for a new one")
		}
		startExample(t, program, "-http", web)
		for _, p := range []*tab{ada, bob} {
			p.shows("state", " it: ")
		}
	})
}

// shows waits until an element of any page of an example has a text.
func (p *tab) shows(id, text string) {
	p.t.Helper()
	p.do(`while (!document.getElementById(arg.id)?.innerText.includes(arg.text)) await new Promise((go) => setTimeout(go, 20));`, map[string]string{"id": id, "text": text}, nil)
}
