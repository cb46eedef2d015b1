package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/samples"
	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestSamplePrograms runs the programs of the guide, and plays each with two pages: each page sees the box of the
// other move. It changes only the addresses.
func TestSamplePrograms(t *testing.T) {
	slow(t)
	t.Parallel()
	for _, sample := range []struct{ page, program string }{
		{"start.md", "start"}, {"loop.md", "smooth"}, {"loop.md", "predicted"},
	} {
		t.Run(sample.program, func(t *testing.T) {
			page, err := samples.Read("../docs/guide/" + sample.page)
			if err != nil {
				t.Fatal(err)
			}
			program, dir := page.Programs[sample.program], samples.Module(t, "..")
			if program == nil {
				t.Fatalf("docs/guide/%s has no program %s", sample.page, sample.program)
			}
			address := freePort(t).String()
			program["main.go"] = strings.NewReplacer(`"localhost:8080"`, `"`+address+`"`, `":7777"`, `":0"`).Replace(program["main.go"])
			program.Write(t, dir)
			samples.Run(t, dir, "go", "build", "-o", "pasted")
			start(t, dir, address)
			steerBoxes(t, browser.Start(t, browser.Chromium), "http://"+address+"/")
		})
	}
}

// steerBoxes opens two pages and moves the box of each to the side, while the other page looks.
func steerBoxes(t *testing.T, b *browser.Browser, url string) {
	first := sampleGame(t, b, url, 1)
	second := sampleGame(t, b, url, 2)
	for _, turn := range []struct {
		who, other *tab
		box        int
		key        string
		sign       float64
	}{
		{first, second, 1, "ArrowRight", 1},
		{second, first, 2, "ArrowLeft", -1},
	} {
		var from, to struct{ X, Y float64 }
		turn.other.do(`return await placed(arg);`, turn.box, &from)
		turn.who.do(`press("keydown", arg);`, turn.key, nil)
		turn.other.do(`await until(() => (find(arg.box).x - arg.x) * arg.sign > 100); return find(arg.box);`,
			map[string]any{"box": turn.box, "x": from.X, "sign": turn.sign}, &to)
		turn.who.do(`press("keyup", arg);`, turn.key, nil)
		if to.Y != from.Y {
			t.Errorf("%s moves the box from %v to %v", turn.key, from, to)
		}
		var own struct{ X, Y float64 }
		turn.who.do(`await until(() => (find(arg.box).x - arg.x) * arg.sign > 100); return find(arg.box);`,
			map[string]any{"box": turn.box, "x": from.X, "sign": turn.sign}, &own)
	}
	second.Screenshot(filepath.Join(t.ArtifactDir(), "sample.png")) // -artifacts keeps it
}

// sampleGame opens a page of the game, which shows as many boxes as there are pages then.
func sampleGame(t *testing.T, b *browser.Browser, url string, boxes int) *tab {
	t.Helper()
	p := &tab{Page: b.Page(t, url), t: t}
	p.do(`window.until = async (f) => { while (!f()) await new Promise((go) => setTimeout(go, 20)); };
		window.press = (type, key) => dispatchEvent(new KeyboardEvent(type, { key }));
		// find returns the upper left corner of what the board shows of a box, by its colour.
		window.find = (id) => {
			const one = new OffscreenCanvas(1, 1).getContext("2d");
			one.fillStyle = "hsl(" + id * 137 + " 65% 50%)";
			one.fillRect(0, 0, 1, 1);
			const [r, g, b] = one.getImageData(0, 0, 1, 1).data;
			const { data, width } = document.querySelector("canvas").getContext("2d").getImageData(0, 0, 1000, 1000);
			for (let i = 0; i < data.length; i += 4) {
				if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) return { x: (i / 4) % width, y: Math.floor(i / 4 / width) };
			}
			return { x: NaN, y: NaN };
		};
		window.placed = async (id) => {
			await until(() => find(id).x >= 0);
			return find(id);
		};
		await placed(arg);`, boxes, nil)
	return p
}
