package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// TestNewGames plays the game of each template of godwit-new with two pages. The program is built as its Dockerfile says,
// from a directory vendor, without the network.
func TestNewGames(t *testing.T) {
	slow(t)
	t.Parallel()
	for template, play := range map[string]func(t *testing.T, ada, bob *tab){
		"boxes": playNewBoxes,
		"chat":  playNewChat,
		"blank": playNewBlank,
	} {
		t.Run(template, func(t *testing.T) {
			program := buildNew(t, template)
			eachBrowser(t, func(t *testing.T, b *browser.Browser) {
				url, _ := startExample(t, program)
				ada, bob := examplePage(t, b, url), examplePage(t, b, url)
				play(t, ada, bob)
				ada.Screenshot(filepath.Join(t.ArtifactDir(), template+".png")) // -artifacts keeps it
			})
		})
	}
}

// buildNew writes the game of a template and returns the path of its program.
func buildNew(t *testing.T, template string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mygame")
	command := func(dir, line string) {
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	command("..", "go run ./cmd/godwit-new -template "+template+" '"+dir+"'")
	text, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /out/game \.$`).FindSubmatch(text)
	if build == nil || !strings.Contains(string(text), "COPY --from=build /out/game /game\n") {
		t.Fatal("the Dockerfile has changed: this test does not find how the program is compiled and copied")
	}
	command(dir, "go mod vendor")
	command(dir, string(build[1])+" -o game .")
	return filepath.Join(dir, "game")
}

func playNewBoxes(t *testing.T, ada, bob *tab) {
	for _, p := range []*tab{ada, bob} {
		p.do(`window.at = (id) => new DOMMatrix(document.getElementById(id).style.transform);
			await until(() => document.querySelectorAll("#board rect").length === 2 && document.querySelector(".own"));
			await until(() => document.getElementById("state").textContent.includes("2 in all"));`, nil, nil)
	}
	var id string
	ada.do(`return document.querySelector(".own").id;`, nil, &id)
	var from, to struct{ X, Y float64 }
	const where = `const { e, f } = at(arg); return { X: e, Y: f };`
	bob.do(where, id, &from)
	ada.do(`window.dispatchEvent(new KeyboardEvent("keydown", { code: "ArrowRight" }));`, nil, nil)
	bob.do(`await until(() => at(arg.id).e > arg.from.X + 100);`, map[string]any{"id": id, "from": from}, nil)
	ada.do(`window.dispatchEvent(new KeyboardEvent("keyup", { code: "ArrowRight" }));`, nil, nil)
	bob.do(where, id, &to)
	if to.Y != from.Y {
		t.Errorf("for the other page the box moves from %v to %v, want only to the right", from, to)
	}
	bob.do(`if (document.querySelector(".own").id === arg) throw new Error("both pages have the same box");`, id, nil)
}

func playNewChat(t *testing.T, ada, bob *tab) {
	const enter = `enter("enter", "name", arg); await until(() => !document.getElementById("talk").hidden);`
	ada.do(enter, "ada", nil)
	bob.do(`enter("enter", "name", "ada"); await until(() => document.getElementById("state").textContent === "ada is here already");`, nil, nil)
	bob.do(enter, "bob", nil)
	ada.do(`await until(() => document.getElementById("log").innerText.includes("bob enters"));
		enter("talk", "text", "hello <b>");`, nil, nil)
	bob.do(`await until(() => document.getElementById("log").innerText.includes("ada hello <b>"));`, nil, nil)
	for _, p := range []*tab{ada, bob} {
		p.do(`await until(() => document.getElementById("state").textContent === "Here: ada, bob.");`, nil, nil)
	}
}

func playNewBlank(t *testing.T, ada, _ *tab) {
	ada.do(`await until(() => document.getElementById("state").textContent === "Connected over webrtc.");
		await until(() => document.getElementById("log").textContent === "The server sends: hello");`, nil, nil)
}
