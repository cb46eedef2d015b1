package interop

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// examples has a func() error by the name of each example that a test has needed.
var examples sync.Map

// buildExample builds a program of the directory examples, unless another test has done so, and returns its path.
func buildExample(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(browser.Dir(t), name)
	build, _ := examples.LoadOrStore(name, sync.OnceValue(func() error {
		build := exec.Command("go", "build", "-o", program, "./examples/"+name)
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}))
	if err := build.(func() error)(); err != nil {
		t.Fatal(err)
	}
	return program
}

// startExample is runExample for a program that prints its URL first, which it returns.
func startExample(t *testing.T, program string, args ...string) (url string, in io.Writer) {
	t.Helper()
	args = append([]string{"-data", ":0", "-http", netip.AddrPortFrom(browser.Host(t), 0).String()}, args...)
	cmd, in, lines := runExample(t, program, args...)
	said := readTo(t, lines, '\n')
	url = regexp.MustCompile(`http://\S+`).FindString(said)
	if url == "" {
		t.Fatalf("%s prints %q, want its URL", cmd, said)
	}
	go io.Copy(io.Discard, lines)
	return url, in
}

// readTo returns what a program prints, up to the next end, or until the program ends.
func readTo(t *testing.T, from *bufio.Reader, end byte) (said string) {
	t.Helper()
	await(t, "what the program prints", func() (err error) {
		if said, err = from.ReadString(end); err == io.EOF {
			return nil
		}
		return err
	})
	return said
}

// runExample runs a program until the test ends, and returns it with its input and output. At the end
// the program must stop by itself when it gets a signal.
func runExample(t *testing.T, program string, args ...string) (*exec.Cmd, io.Writer, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := waitProgram(cmd); err != nil {
			t.Errorf("the program ends with %v, want nil", err)
		}
	})
	return cmd, in, bufio.NewReader(out)
}

// examplePage opens the page of an example, with the functions until and enter.
func examplePage(t *testing.T, b *browser.Browser, url string) *tab {
	t.Helper()
	p := &tab{Page: b.Page(t, url), t: t}
	p.do(`window.until = async (f) => { while (!f()) await new Promise((go) => setTimeout(go, 20)); };
		window.enter = (form, field, text) => {
			document.getElementById(field).focus();
			document.getElementById(field).value = text;
			document.getElementById(form).requestSubmit();
		};`, nil, nil)
	return p
}
