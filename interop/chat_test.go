package interop

import (
	"bufio"
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// TestChat chats in examples/chat with two pages, the host on its terminal, who kicks one of
// them, and a native client on another terminal.
func TestChat(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "chat")
	everyBrowser(t, browser.Kinds, func(t *testing.T, b *browser.Browser) {
		url, host := startExample(t, program, "-host", "ada")
		for i := range 20 {
			fmt.Fprintf(host, "what was said before, line %d\n", i)
		}
		bob, eve := enterChat(t, b, url, "bob"), enterChat(t, b, url, "eve")
		eve.waitText("log", "before, line 0\n")
		for _, p := range []*tab{bob, eve} {
			p.waitText("log", "eve enters")
			for _, name := range []string{"ada host", "bob", "eve"} {
				p.waitText("here", name)
			}
		}
		bob.do(`enter("talk", "text", "here is bob");`, nil, nil)
		eve.waitText("log", "bob here is bob")
		eve.waitText("figures", "webrtc")
		fmt.Fprintln(host, "/kick bob too loud")
		bob.waitText("state", "you were kicked: too loud")
		eve.waitText("log", "bob is kicked: too loud")
		eve.Screenshot(filepath.Join(t.ArtifactDir(), "chat.png")) // -artifacts keeps it

		bob.do(`enter("enter", "name", "robert");`, nil, nil)
		bob.waitText("state", "connected")
		bob.waitText("log", "bob is kicked: too loud")
		chatOnTerminal(t, program, url)
		bob.waitText("log", "carl here is a terminal")
		bob.waitText("log", "carl leaves: no more to say")
		bob.do(`document.getElementById("text").value = "good night"; document.getElementById("leave").click();`, nil, nil)
		bob.waitText("state", "you have left: good night")
		eve.waitText("log", "robert leaves: good night")
	})
}

// TestChatShowsInterruptions loses all datagrams of a page for a time. The page says so, and gets
// what was said in the meantime.
func TestChatShowsInterruptions(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "chat")
	everyBrowser(t, browser.Kinds, func(t *testing.T, b *browser.Browser) {
		target := freePort(t)
		relay, err := netsim.ListenRelay(netsim.RelayConfig{Listen: netip.AddrPortFrom(target.Addr(), 0), Target: target})
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		url, host := startExample(t, program, "-host", "ada", "-data", target.String(), "-public", relay.Addr().String())
		bob := enterChat(t, b, url, "bob")
		relay.BlackoutFor(8 * time.Second)
		fmt.Fprintln(host, "where are you?")
		bob.waitText("state", "the server is not heard")
		bob.waitText("state", "connected")
		bob.waitText("log", "ada where are you?")
	})
}

// chatOnTerminal chats as carl with a native client, until it has got its own line, which comes
// after the history.
func chatOnTerminal(t *testing.T, program, url string) {
	t.Helper()
	cmd := exec.Command(program, "-join", url+"godwit/", "-name", "carl")
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := cmp.Or(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in, "here is a terminal")
	var shown string
	quiet := time.AfterFunc(patience, func() { cmd.Process.Signal(syscall.SIGQUIT) })
	defer quiet.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		shown += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "carl: here is a terminal") {
			fmt.Fprintln(in, "/leave no more to say")
		}
	}
	if err := waitProgram(cmd); err != nil || !strings.Contains(shown, "bob: here is bob\n") {
		t.Errorf("the terminal ends with %v, and shows\n%swant the history", err, shown)
	}
}

// enterChat opens a page and enters with a name.
func enterChat(t *testing.T, b *browser.Browser, url, name string) *tab {
	t.Helper()
	p := examplePage(t, b, url)
	p.do(`enter("enter", "name", arg);`, name, nil)
	p.waitText("state", "connected")
	return p
}

// waitText waits until an element of the page has a text.
func (p *tab) waitText(id, text string) {
	p.t.Helper()
	p.do(`await until(() => document.getElementById(arg.id).innerText.includes(arg.text));`, map[string]string{"id": id, "text": text}, nil)
}
