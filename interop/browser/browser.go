package browser

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Kind is the name of a browser that the package can start.
type Kind string

// The browsers, with the names of the driver. WebKit is WebKitGTK, which has no WebRTC in Debian's build. Its console says
// nothing, and Own does not start it. ChromiumSNAP is Chromium with what its origin trial WebRtcSctpSnap switches on: its
// offers have the INIT of SCTP.
const (
	Chromium     Kind = "chromium"
	ChromiumSNAP Kind = "chromium with SNAP"
	Firefox      Kind = "firefox"
	WebKit       Kind = "webkit"
)

const snapArgument = "--enable-blink-features=WebRtcSctpSnap"

// Kinds lists every browser with WebRTC: a test should pass in each.
var Kinds = []Kind{Chromium, Firefox}

// programs are Debian's names of what starts the browsers, looked up in PATH.
var programs = map[Kind][]string{Chromium: {"chromium"}, ChromiumSNAP: {"chromium"}, Firefox: {"firefox-esr"}, WebKit: {"WebKitWebDriver", "Xvfb"}}

// startTimeout limits the start of a browser: the first start takes 2 to 5 s, on a busy machine a minute.
const startTimeout = 3 * time.Minute

// Browser is one running browser, shared by all tests of the binary.
type Browser struct {
	Kind    Kind
	Version string // from the browser, such as "Chromium 156.0.8078.79"

	driver *driver
}

// running has what the test binary has started; Main ends it.
var running struct {
	starts sync.Mutex // held while a browser starts; locked before mu

	mu       sync.Mutex
	browsers map[Kind]*Browser
	idle     map[Kind][]*Browser // of Own, which no test has now
	network  *network
}

// Main runs the tests of a binary, then ends its browsers and its namespace. SIGTERM and an interrupt end the tests, the browsers
// and the namespace.
func Main(m *testing.M) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stopAll()
		os.Exit(1)
	}()
	defer stopAll()
	return m.Run()
}

// Start returns the binary's browser of this kind, starting it at the first
// call. It skips the test where namespaces cannot be made or the browser is missing.
func Start(t testing.TB, kind Kind) *Browser {
	t.Helper()
	needProgram(t, kind)
	n := needNetwork(t)
	if b := started(kind); b != nil {
		return b // without a wait for others that start
	}
	running.starts.Lock()
	defer running.starts.Unlock()
	if b := started(kind); b != nil {
		return b
	}
	b, err := launch(n, order{Browser: string(kind)})
	if err != nil {
		t.Fatalf("browser: %s: %v", kind, err)
	}
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.browsers == nil {
		running.browsers = make(map[Kind]*Browser)
	}
	running.browsers[kind] = b
	t.Logf("started %s", b.Version)
	return b
}

// started returns the binary's browser of a kind; nil if it is not there.
func started(kind Kind) *Browser {
	running.mu.Lock()
	defer running.mu.Unlock()
	return running.browsers[kind]
}

// Own returns a browser that no other test has until this one ends. It is one that another test has had, or a new one.
// Like a user's browser it runs the timers of a hidden page once a second. The pages of Start do not know that they are hidden.
func Own(t testing.TB, kind Kind) *Browser {
	t.Helper()
	b := takeIdle(kind)
	if b == nil {
		b = own(t, kind, true)
	}
	t.Cleanup(func() {
		if t.Failed() {
			b.driver.stop() // it may be what has failed
			return
		}
		running.mu.Lock()
		defer running.mu.Unlock()
		if running.idle == nil {
			running.idle = make(map[Kind][]*Browser)
		}
		running.idle[kind] = append(running.idle[kind], b)
	})
	return b
}

// OwnChromium returns a new Chromium with further arguments, which ends with the test.
func OwnChromium(t testing.TB, args ...string) *Browser {
	t.Helper()
	b := own(t, Chromium, false, args...)
	t.Cleanup(b.driver.stop)
	return b
}

// own starts a browser, or takes one that has become idle meanwhile, if the test may have such a one.
func own(t testing.TB, kind Kind, used bool, args ...string) *Browser {
	t.Helper()
	needProgram(t, kind)
	n := needNetwork(t)
	running.starts.Lock() // several that start at once take longer
	defer running.starts.Unlock()
	if used {
		if b := takeIdle(kind); b != nil {
			return b
		}
	}
	b, err := launch(n, order{Browser: string(kind), Own: true, Args: args})
	if err != nil {
		t.Fatalf("browser: %s: %v", kind, err)
	}
	return b
}

// takeIdle returns a browser of Own that no test has; nil if there is none.
func takeIdle(kind Kind) *Browser {
	running.mu.Lock()
	defer running.mu.Unlock()
	idle := running.idle[kind]
	if len(idle) == 0 {
		return nil
	}
	running.idle[kind] = idle[:len(idle)-1]
	return idle[len(idle)-1]
}

func launch(n *network, o order) (*Browser, error) {
	kind := Kind(o.Browser)
	if kind == ChromiumSNAP {
		o.Browser, o.Args = string(Chromium), append(o.Args, snapArgument)
	}
	program, err := exec.LookPath(programs[kind][0])
	if err != nil {
		return nil, err
	}
	d, err := startDriver(n)
	if err != nil {
		return nil, err
	}
	b := &Browser{Kind: kind, driver: d}
	o.Do, o.Path, o.Pin = "launch", program, n.certificate.pin
	if err := d.within(startTimeout, o, &b.Version); err != nil {
		d.stop()
		return nil, err
	}
	return b, nil
}

// needProgram skips the test where the browser is missing.
func needProgram(t testing.TB, kind Kind) {
	t.Helper()
	for _, name := range programs[kind] {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("browser: %s is not installed", name)
		}
	}
}

// needNetwork returns the binary's namespace, making it at the first call.
func needNetwork(t testing.TB) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("browser: network namespaces need root")
	}
	running.mu.Lock()
	defer running.mu.Unlock()
	if running.network == nil {
		n, err := newNetwork()
		if err != nil {
			t.Fatalf("browser: network namespace: %v", err)
		}
		running.network = n
	}
	return running.network
}

func stopAll() {
	running.starts.Lock()
	defer running.starts.Unlock()
	running.mu.Lock()
	defer running.mu.Unlock()
	var wg sync.WaitGroup
	for _, b := range running.browsers {
		wg.Go(b.driver.stop)
	}
	for _, of := range running.idle {
		for _, b := range of {
			wg.Go(b.driver.stop)
		}
	}
	wg.Wait()
	running.browsers, running.idle = nil, nil
	if running.network == nil {
		return
	}
	if err := running.network.remove(); err != nil {
		fmt.Fprintln(os.Stderr, "browser: network namespace:", err)
	}
	running.network = nil
}
