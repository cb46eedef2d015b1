package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// dockerfile is the image of deploy.
const dockerfile = "../deploy/container/Dockerfile"

// maxImage is the largest size of the image in bytes.
const maxImage = 15_000_000

// TestContainer builds the image of deploy/container and runs it in podman, as a user who is not root. Pages in another network
// namespace connect to the container over UDP. At SIGTERM the container ends by itself.
//
// The stage that compiles needs an image of the internet, so the test runs its command outside; the last stage is as it is.
func TestContainer(t *testing.T) {
	slow(t)
	t.Parallel()
	pod := newPodman(t)
	program := compileStage(t, filepath.Join(pod.dir, "image"))
	pod.run(t, "build", "--isolation=chroot", "-t", "hosted", filepath.Dir(program))
	size, err := strconv.Atoi(strings.TrimSpace(pod.run(t, "image", "inspect", "--format", "{{.Size}}", "hosted")))
	if err != nil || size > maxImage {
		t.Errorf("the image has %d bytes, %v; want at most %d", size, err, maxImage)
	}
	t.Logf("the image has %d bytes", size)
	pod.chooseRuntime(t)
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		here := netip.AddrPortFrom(browser.Host(t), 0).String()
		// The user namespace has one user, so the program is root in it, which is the user outside.
		name := "hosted-" + string(b.Kind)
		c := pod.start(t, "--name", name, "--rm", "--network=host", "--read-only", "--cap-drop=all", "--user=0",
			"-e", "GODWIT_DATA="+here, "-e", "GODWIT_HTTP="+here, "-e", "GODWIT_ADMIN="+here, "hosted")
		admin := c.urls["admin"]
		pod.run(t, "exec", name, "/hosted", "-check", admin+"/readyz")
		p := examplePage(t, b, c.urls["open"])
		p.do(`await until(() => document.getElementById("link").textContent === "webrtc");
			await until(() => document.getElementById("players").textContent === "1");`, nil, nil)
		c.stop()
		p.do(`await until(() => document.getElementById("state").textContent.includes("ended"));`, nil, nil)
	})
}

// compileStage makes a directory from which the last stage of the Dockerfile can be built, with what the first stage compiles,
// and returns the path of the program.
func compileStage(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	first, last, _ := strings.Cut(string(text), "\nFROM scratch\n")
	command := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*)-o /out/hosted (.*)$`).FindStringSubmatch(first)
	if command == nil || strings.Count(last, "COPY --from=build /out/hosted /hosted") != 1 {
		t.Fatal("the Dockerfile has changed: this test does not find how the program is compiled and copied")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "hosted")
	build := exec.Command("sh", "-c", command[1]+"-o "+program+" "+command[2])
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	last = "FROM scratch\n" + strings.Replace(last, "--from=build /out/hosted", "hosted", 1)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(last), 0o644); err != nil {
		t.Fatal(err)
	}
	return program
}

// podman is podman with a storage of its own, as a user who is not root.
type podman struct {
	t        *testing.T
	dir      string
	uid, gid uint32
	runtime  string // "" is that of podman's configuration
}

// newPodman skips the test where podman is missing or the kernel has no user namespaces.
func newPodman(t *testing.T) *podman {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		t.Skip("podman is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("the test becomes another user, which needs root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
	dir, err := os.MkdirTemp("", "godwit-podman")
	if err != nil {
		t.Fatal(err)
	}
	p := &podman{t: t, dir: dir, uid: uint32(uid), gid: uint32(gid)}
	t.Cleanup(p.remove)
	for _, sub := range []string{"home", "run", "storage"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, sub), int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	check := p.command("unshare", "--user", "--map-root-user", "--mount", "true")
	if out, err := check.CombinedOutput(); err != nil {
		t.Skipf("this kernel makes no user namespaces: %v %s", err, out)
	}
	return p
}

// chooseRuntime finds what runs a container here, and skips the test if nothing does. crun refuses machines that have both
// versions of cgroups.
func (p *podman) chooseRuntime(t *testing.T) {
	t.Helper()
	var why []string
	for _, p.runtime = range []string{"runc", "crun"} {
		out, err := p.podman("run", "--rm", "--network=host", "--user=0", "hosted", "-help").CombinedOutput()
		if strings.Contains(string(out), "-public") { // the status is 2
			t.Logf("%s runs it", p.runtime)
			return
		}
		why = append(why, fmt.Sprintf("%s: %v, %s", p.runtime, err, out))
	}
	t.Skipf("nothing runs a container of a user who is not root: %s", strings.Join(why, "; "))
}

// command returns a command of the user.
func (p *podman) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(p.dir, "home"), "XDG_RUNTIME_DIR=" + filepath.Join(p.dir, "run")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.gid}}
	return cmd
}

// podman returns a command of podman. vfs needs no overlay.
func (p *podman) podman(args ...string) *exec.Cmd {
	flags := []string{
		"--root", filepath.Join(p.dir, "storage"), "--runroot", filepath.Join(p.dir, "run"), "--storage-driver=vfs",
		"--cgroup-manager=cgroupfs", "--events-backend=none",
	}
	if p.runtime != "" {
		flags = append(flags, "--runtime", p.runtime)
	}
	return p.command("podman", append(flags, args...)...)
}

// run runs podman and returns what it prints.
func (p *podman) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := p.podman(args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("podman %s: %v\n%s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out)
}

// remove ends the process that keeps the user namespace, and removes the storage.
func (p *podman) remove() {
	files, _ := filepath.Glob(filepath.Join(p.dir, "run", "libpod", "tmp", "pause.pid"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if pid, err2 := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && err2 == nil {
			syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.t.Error(err)
	}
}

// A container is one that runs.
type container struct {
	t    *testing.T
	cmd  *exec.Cmd
	urls map[string]string // that the program prints, by the word before them
}

// start runs a container, which ends with the test, and reads the line that its program prints.
func (p *podman) start(t *testing.T, args ...string) *container {
	t.Helper()
	c := &container{t: t, cmd: p.podman(append([]string{"run"}, args...)...), urls: make(map[string]string)}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	lines := bufio.NewReader(out)
	line := readTo(t, lines, '\n')
	for _, m := range regexp.MustCompile(`(\w+) (http://[\d.:]+)`).FindAllStringSubmatch(line, -1) {
		c.urls[m[1]] = m[2]
	}
	if len(c.urls) != 2 {
		t.Fatalf("the container prints %q, want two URLs", line)
	}
	go io.Copy(io.Discard, lines)
	return c
}

// stop ends the container with SIGTERM, which podman passes on.
func (c *container) stop() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	if err := waitProgram(c.cmd); err != nil {
		c.t.Errorf("the container ends with %v, want nil", err)
	}
}
