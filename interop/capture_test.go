package interop

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/wiretap"
	"github.com/godwit-rtc/godwit/netsim"
)

// Datagrams of browsers are the test data of other packages. This renews the data:
//
//	go test -run TestCapture -capture ..
var capture = flag.String("capture", "", "write what browsers send into the testdata below this directory")

// TestCapture records the datagrams of each browser in a connection that has every kind of
// packet, and checks that it has.
func TestCapture(t *testing.T) {
	// Not parallel: a page tells of a gap only if a message arrives before it abandons the one that is lost.
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			b := browser.Start(t, kind)
			root := *capture
			if root == "" {
				root = t.TempDir()
			}
			captureOffers(t, b, root)
			for _, role := range []string{"server", "client"} {
				t.Run(role, func(t *testing.T) { captureConnection(t, b, root, role) })
			}
		})
	}
}

// captureOffers records the offers of pages with only a data channel, and with audio before
// the data channel.
func captureOffers(t *testing.T, b *browser.Browser, root string) {
	p := newWorld(t, b, godwitServers).tab()
	for name, js := range map[string]string{
		"":       `pc.createDataChannel("data");`,
		"-audio": `pc.addTransceiver("audio"); pc.createDataChannel("data");`,
	} {
		var sdp string
		p.do(`const pc = new RTCPeerConnection();`+js+`
			const { sdp } = await pc.createOffer();
			pc.close();
			return sdp;`, nil, &sdp)
		if !strings.Contains(sdp, "webrtc-datachannel") {
			t.Errorf("the offer has no data channel:\n%s", sdp)
		}
		write(t, filepath.Join(root, "sdp/testdata", "captured-"+string(b.Kind)+name+".sdp"), sdp)
	}
}

// captureConnection records one connection in which the browser has this DTLS role.
func captureConnection(t *testing.T, b *browser.Browser, root, role string) {
	rc := netsim.RelayConfig{Listen: netip.AddrPortFrom(browser.Host(t), 0), Target: freePort(t)}
	tap := wiretap.Attach(&rc)
	relay, err := netsim.ListenRelay(rc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	w := newWorldAt(t, b, godwitServers, rc.Target, config{public: relay.Addr(), keyLog: tap, honest: true})
	p := w.tab()
	speak(p, relay, map[string]string{"server": "actpass", "client": "active"}[role])
	var descriptions []string
	p.do(`return [c.pc.remoteDescription.sdp, c.pc.localDescription.sdp];`, nil, &descriptions)
	p.do(`c.close();`, nil, nil)
	receive(t, w.closed, "the server hears of the close")
	relay.Close()

	ds, err := tap.Datagrams()
	if err != nil {
		t.Fatal(err)
	}
	f := newCaptureFiles(tap, wiretap.Sessions(ds)[0], descriptions)
	want := []string{
		"nominating", "INIT", "COOKIE-ECHO", "DATA(50)", "DATA(51)", "DATA(53)", "DATA(56)", "DATA(57)",
		"SACK", "gap", "FORWARD-TSN", "RE-CONFIG", "ABORT",
	}
	if role == "server" && *capture != "" {
		// Browsers answer an INIT of this end, unless their own INIT was faster: try again.
		want = append(want, "INIT-ACK", "COOKIE-ACK")
	}
	for _, want := range want {
		if !f.seen[want] {
			t.Errorf("the page has sent no %s", want)
		}
	}
	origin := fmt.Sprintf("# %s, DTLS %s, %s\n", b.Version, role, time.Now().Format("January 2006"))
	write(t, filepath.Join(root, "dtls/testdata", string(b.Kind)+"-"+role+".hex"), origin+f.dtls.String())
	if role == "server" {
		write(t, filepath.Join(root, "icelite/testdata", string(b.Kind)+".hex"), origin+f.stun.String())
		write(t, filepath.Join(root, "sctp/testdata", string(b.Kind)+".hex"), origin+f.sctp.String())
	}
}

// speak makes the page send each kind of packet once.
func speak(p *tab, relay *netsim.Relay, setup string) {
	p.connectAs(setup)
	p.do(`
		for (const m of ["text", Uint8Array.of(0, 1, 254, 255), "", new Uint8Array(0), pattern(1160)]) await ch.echo(m);
		ch.send(pattern(3000)); // more than one packet`, nil, nil)
	up := func() uint64 { return relay.Stats().Up.Lost }
	down := func() uint64 { return relay.Stats().Down.Lost }
	for _, way := range []struct {
		set  func(netsim.Link)
		lost func() uint64
	}{{relay.SetUp, up}, {relay.SetDown, down}} {
		before := way.lost()
		way.set(netsim.Link{Loss: 1})
		p.do(`ch.send("lost");`, nil, nil)
		for give := time.Now().Add(patience); way.lost() == before && time.Now().Before(give); { // not longer, or the sender abandons the message before the page has a gap to tell
			p.do(`await new Promise((resolve) => setTimeout(resolve, 5));`, nil, nil)
		}
		way.set(netsim.Link{})
		p.do(`
			for (const m of ["after", "the", "loss"]) await ch.echo(m);
			await new Promise((resolve) => setTimeout(resolve, 500)); // until it abandons the lost messages`, nil, nil)
	}
	p.do(`
		const second = new Channel(c.pc.createDataChannel("second", { ordered: false, maxPacketLifeTime: 100 }));
		await within(patience, second.opened, "the second channel");
		await second.echo("on the second");
		second.dc.close();
		await within(patience, new Promise((resolve) => (second.dc.onclose = resolve)), "its end");`, nil, nil)
}

// captureFiles are the lines of the files: who sent it, in hexadecimal, and a
// comment on what it is.
type captureFiles struct {
	stun, dtls, sctp strings.Builder
	seen             map[string]bool // what the page sent
}

// maxSealed is the number of encrypted datagrams that are kept of each side.
const maxSealed = 4

func newCaptureFiles(tap *wiretap.Tap, ds []wiretap.Datagram, descriptions []string) *captureFiles {
	f := &captureFiles{seen: make(map[string]bool)}
	for i, who := range []string{"local", "remote"} {
		fmt.Fprintf(&f.stun, "%s %s %s\n", who, attribute(descriptions[i], "ice-ufrag"), attribute(descriptions[i], "ice-pwd"))
	}
	s := tap.Secrets(ds)
	fmt.Fprintf(&f.dtls, "keys %04x %x %x %x\n", uint16(s.Suite), s.ClientRandom, s.ServerRandom, s.Master)
	sealed := make(map[string]int)
	for i, records := range tap.Open(ds) {
		d := ds[i]
		who := "godwit"
		if d.Up {
			who = "page"
		}
		if len(records) == 0 {
			f.addSTUN(d)
			continue
		}
		if sealed[who] < maxSealed {
			fmt.Fprintf(&f.dtls, "%s %x # %s\n", who, d.B, wiretap.Describe(d, records))
		}
		for _, r := range records {
			if r.Epoch == 0 {
				continue
			}
			sealed[who]++
			if r.Type == dtls.TypeApplicationData && r.Plain != nil && !d.Lost {
				f.addSCTP(who, r.Plain)
			}
		}
	}
	return f
}

// addSTUN keeps the first checks of each kind.
func (f *captureFiles) addSTUN(d wiretap.Datagram) {
	what := wiretap.Describe(d, nil)
	if !d.Up || !strings.Contains(what, "check") {
		return
	}
	kind := "check"
	if strings.Contains(what, "USE-CANDIDATE") {
		kind = "nominating"
	}
	f.seen[kind] = true
	fmt.Fprintf(&f.stun, "%s %x\n", kind, d.B)
}

func (f *captureFiles) addSCTP(who string, b []byte) {
	fmt.Fprintf(&f.sctp, "%s %x # %s\n", who, b, wiretap.DescribeSCTP(b))
	if who != "page" {
		return
	}
	for kind, value := range wiretap.Chunks(b) {
		name := wiretap.ChunkName(kind)
		switch {
		case name == "DATA" && len(value) >= 12:
			name = fmt.Sprintf("DATA(%d)", binary.BigEndian.Uint32(value[8:]))
		case name == "SACK" && len(value) >= 12 && binary.BigEndian.Uint16(value[8:]) > 0:
			f.seen["gap"] = true
		}
		f.seen[name] = true
	}
}

// attribute finds an attribute in SDP.
func attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
