package rtcserver

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// Serve returns an error if the process may open no more files, because it cannot take a socket
// over.
func TestServeWithoutAFileToSpare(t *testing.T) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	s, err := Serve(socket, Config{Settings: Settings{Certificate: serverCertificate}})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if s != nil || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("Listen: %v, %v; want EMFILE", s, err)
	}
}
