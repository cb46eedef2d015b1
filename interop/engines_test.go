package interop

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestEngines plays examples/boxes with the pages that Phaser and three.js draw: the picture has the box of another player, and
// the box moves. A browser without WebGL 2, such as Firefox on a machine without a graphics driver, skips it.
func TestEngines(t *testing.T) {
	slow(t)
	t.Parallel()
	program := buildExample(t, "boxes")
	for _, engine := range []string{"phaser", "three"} {
		t.Run(engine, func(t *testing.T) {
			dir := filepath.Join("..", "examples", engine)
			if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
				t.Skipf("run npm ci in examples/%s first: %v", engine, err)
			}
			eachBrowser(t, func(t *testing.T, b *browser.Browser) {
				url, _ := startExample(t, program, "-dir", dir)
				ada, bob := engineTab(t, b, url, "ada"), engineTab(t, b, url, "bob")
				var colour int
				ada.do(`window.bob = () => [...world.players.values()].find((p) => p.name === "bob" && p.x !== undefined);
					await until(bob);
					window.from = bob().x;
					return bob().colour;`, nil, &colour)
				before := ada.spot(colour)
				bob.do(`dispatchEvent(new KeyboardEvent("keydown", { code: "ArrowRight" }));`, nil, nil)
				ada.do(`await until(() => bob().x > from + 2000);`, nil, nil)
				if after := ada.spot(colour); after.Min.X <= before.Min.X {
					t.Errorf("the box of the other player is drawn at %v, and at %v after it has moved to the right", before, after)
				}
			})
		})
	}
}

// engineTab opens a page of an engine and waits until its player is in the game.
func engineTab(t *testing.T, b *browser.Browser, url, name string) *tab {
	t.Helper()
	p := examplePage(t, b, url+"?name="+name)
	var webgl bool
	if p.do(`return !!document.createElement("canvas").getContext("webgl2");`, nil, &webgl); !webgl {
		t.Skip("the browser has no WebGL 2 on this machine")
	}
	p.do(`await until(() => window.world?.state === "connected" && world.players.get(world.own)?.x !== undefined);`, nil, nil)
	return p
}

// spot waits until the picture of the page has pixels of a colour, 0xRRGGBB, and returns where they are.
func (p *tab) spot(colour int) image.Rectangle {
	p.t.Helper()
	path := filepath.Join(p.t.ArtifactDir(), "spot.png")
	for stop := time.Now().Add(patience); time.Now().Before(stop); {
		p.do(`await new Promise(requestAnimationFrame);`, nil, nil)
		p.Screenshot(path)
		f, err := os.Open(path)
		if err != nil {
			p.t.Fatal(err)
		}
		picture, err := png.Decode(f)
		f.Close()
		if err != nil {
			p.t.Fatal(err)
		}
		if r := pixels(picture, colour); !r.Empty() {
			return r
		}
	}
	p.t.Fatalf("the picture of the page has no pixel of the colour %06x", colour)
	return image.Rectangle{}
}

// pixels returns the smallest rectangle with all pixels of a colour, give or take 2.
func pixels(picture image.Image, colour int) (r image.Rectangle) {
	near := func(v uint32, part int) bool {
		d := int(v>>8) - part&0xff
		return -2 <= d && d <= 2
	}
	for y := picture.Bounds().Min.Y; y < picture.Bounds().Max.Y; y++ {
		for x := picture.Bounds().Min.X; x < picture.Bounds().Max.X; x++ {
			red, green, blue, _ := picture.At(x, y).RGBA()
			if near(red, colour>>16) && near(green, colour>>8) && near(blue, colour) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}
