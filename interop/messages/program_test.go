package messages

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestProgramOfTypedMessages writes the program and the page of docs/typed.md into a directory, generates their code,
// and runs both: the page in node, over a WebSocket.
func TestProgramOfTypedMessages(t *testing.T) {
	text, err := os.ReadFile("../../docs/typed.md")
	if err != nil {
		t.Fatal(err)
	}
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```").FindSubmatch(text)
	page := regexp.MustCompile(`(?s)<script type="module">(.*?)</script>`).FindSubmatch(text)
	if program == nil || page == nil {
		t.Fatal("docs/typed.md has no program or no page")
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
	client := strings.NewReplacer(
		`"/godwit/godwit.types.js"`, fmt.Sprintf("%q", root+"/web/dist/godwit.types.js"),
		`connect("/godwit/", game)`, `await again(() => connect("http://`+address+`/godwit/", game, { links: ["websocket"] }))`,
	).Replace(string(page[1])) + `
async function again(f) {
  for (;;) try { return await f(); } catch (e) { if (e.code !== "network") throw e; }
}`
	for name, text := range map[string]string{
		"main.go": server, "public/page.mjs": client, "package.json": `{"type":"module"}`, "go.sum": string(sums),
		"go.mod": "module typedgame\n\ngo 1.26\n\nrequire github.com/godwit-rtc/godwit v0.0.0\n\nreplace github.com/godwit-rtc/godwit => " + root + "\n",
	} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{"generate", "build -o server"} {
		cmd := exec.Command("go", strings.Fields(args)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args, err, out)
		}
	}
	srv := exec.Command(filepath.Join(dir, "server"))
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	defer srv.Wait()
	defer srv.Process.Kill()
	node := exec.Command("node", "--experimental-websocket", "--no-warnings", "public/page.mjs")
	node.Dir, node.Stderr = dir, os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer node.Wait()
	defer node.Process.Kill()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "hello\n" {
		t.Errorf("the page has said %q, %v; want hello", said, err)
	}
}
