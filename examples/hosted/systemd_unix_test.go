//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// The program is started as systemd starts it, with an open socket of UDP and one of TCP, and serves both.
func TestSocketsOfSystemd(t *testing.T) {
	udp := testkit.Must(net.ListenPacket("udp", "127.0.0.1:0")).(*net.UDPConn)
	tcp := testkit.Must(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener)
	defer udp.Close()
	defer tcp.Close()
	cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$; exec "$0" -admin 127.0.0.1:0 -data no -http no`, os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=1", "LISTEN_FDS=2")
	cmd.ExtraFiles = []*os.File{testkit.Must(udp.File()), testkit.Must(tcp.File())}
	cmd.Stderr = os.Stderr
	out := testkit.Must(cmd.StdoutPipe())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program ends with %v", err)
		}
	}()
	page := pageOf(t, out)
	if want := "http://" + tcp.Addr().String(); page != want {
		t.Errorf("the page is at %s, want %s", page, want)
	}
	s := join(t, page, "1", session.LinkWebRTC)
	s.Close(0, "")
	<-s.Done()
}

func TestSocketsThatDoNotFit(t *testing.T) {
	env := map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "2x"}
	look := func(name string) string { return env[name] }
	if udp, tcp, err := passed(look, 8); udp != nil || tcp != nil || err != nil {
		t.Errorf("sockets for another process: %v, %v, %v; want none", udp, tcp, err)
	}
	if _, _, err := passed(look, 7); err == nil || !strings.Contains(err.Error(), "LISTEN_FDS") {
		t.Errorf("a bad number: %v, want an error that names LISTEN_FDS", err)
	}
}
