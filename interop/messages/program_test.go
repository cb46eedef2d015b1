package messages

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestProgramOfTypedMessages writes the program and the page of docs/typed.md into a directory, generates their code,
// and runs both: the page in node, over a WebSocket.
func TestProgramOfTypedMessages(t *testing.T) {
	said := runDocument(t, "typed.md", "")
	if line, err := said.ReadString('\n'); line != "hello\n" {
		t.Errorf("the page has said %q, %v; want hello", line, err)
	}
}

// browser has what the page of docs/game.md needs of a browser. When the own dot stands, it holds the right arrow, and
// it says where the own dot is drawn.
const browser = `
const listeners = {};
globalThis.addEventListener = (type, f) => { listeners[type] = f; };
globalThis.requestAnimationFrame = (f) => setTimeout(f, 16);
let last;
const fillRect = (x, y) => {
  if (y !== 10) return;
  if (last === undefined) listeners.keydown({ key: "ArrowRight" });
  if (x !== last) console.log(last = x);
};
globalThis.document = { getElementById: () => ({ getContext: () => ({ clearRect() {}, fillRect }) }) };
`

// TestProgramOfAGame does the same with docs/game.md: the own dot goes from the middle to the right end of the line.
func TestProgramOfAGame(t *testing.T) {
	said := runDocument(t, "game.md", browser)
	for at := 0.0; at < 1000; {
		line, err := said.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil || x < 500 || x > 1000 || at == 0 && x != 500 { // a busy machine may make the inputs late, and the dot go back
			t.Fatalf("the own dot is at %q after %v, %v; want it to go from 500 to 1000", line, at, err)
		}
		at = x
	}
}

// runDocument runs the program and the page of a document, and returns what the page says. before is a script that runs
// before the page.
func runDocument(t *testing.T, name, before string) *bufio.Reader {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(text)
	page := regexp.MustCompile(`(?s)<script type="module">(.*?)</script>`).FindSubmatch(text)
	if program == nil || page == nil {
		t.Fatalf("docs/%s has no program or no page", name)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	root, _ := filepath.Abs("../..")
	sums, _ := os.ReadFile("../../go.sum")
	dir := t.TempDir()
	server := strings.NewReplacer(`"localhost:8080"`, `"`+address+`"`, `":7777"`, `":0"`).Replace(string(program[1]))
	// The server may listen later than the page connects: again tries until TCP answers.
	client := regexp.MustCompile(`connect\("/godwit/", (\w+)\)`).ReplaceAllString(string(page[1]),
		`again(() => connect("http://`+address+`/godwit/", $1, { links: ["websocket"] }))`)
	client = strings.NewReplacer(
		`"/godwit/godwit.types.js"`, fmt.Sprintf("%q", root+"/web/dist/godwit.types.js"),
		`"/godwit/godwit.game.js"`, fmt.Sprintf("%q", root+"/web/dist/godwit.game.js"),
	).Replace(client) + `
async function again(f) {
  for (;;) try { return await f(); } catch (e) { if (e.code !== "network") throw e; }
}`
	for name, text := range map[string]string{
		"main.go": server, "public/page.mjs": client, "before.mjs": before, "package.json": `{"type":"module"}`, "go.sum": string(sums),
		"go.mod": "module typedgame\n\ngo 1.26\n\nrequire github.com/godwit-rtc/godwit v0.0.0\n\nreplace github.com/godwit-rtc/godwit => " + root + "\n",
	} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{"generate", "build -o server"} {
		cmd := exec.Command("go", strings.Fields(args)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args, err, out)
		}
	}
	srv := exec.Command(filepath.Join(dir, "server"))
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.Process.Kill()
		srv.Wait()
	})
	node := exec.Command("node", "--experimental-websocket", "--no-warnings", "--import", "./before.mjs", "public/page.mjs")
	node.Dir, node.Stderr = dir, os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		node.Process.Kill()
		node.Wait()
	})
	return bufio.NewReader(out)
}
