package websock_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/websock"
)

// FuzzTicket reads the ticket of any headers. It is one of the names of a short header.
func FuzzTicket(f *testing.F) {
	for _, header := range []string{"godwit.1, ticket.AAAAAAAAAAAAAAAAAAAAAA", "ticket.a\ngodwit.1", ",,\t,", "godwit.1,ticket.,ticket.b", strings.Repeat("x", 201)} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Sec-Websocket-Protocol"] = strings.Split(header, "\n")
		var names []string
		long := false
		for line := range strings.SplitSeq(header, "\n") {
			for name := range strings.SplitSeq(line, ",") {
				names = append(names, strings.TrimSpace(name))
			}
			long = long || len(line) > 200
		}
		ticket, ok := websock.Ticket(r)
		switch {
		case ok && (long || ticket == "" || !slices.Contains(names, "godwit.1") || !slices.Contains(names, "ticket."+ticket)):
			t.Fatalf("%q has the ticket %q", header, ticket)
		case !ok && !long && slices.Contains(names, "godwit.1") && slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "ticket.") && n != "ticket." }):
			t.Fatalf("%q has no ticket", header)
		}
	})
}

// FuzzFrames sends any bytes to either end of a WebSocket, and to the server's over TCP, too. What
// arrives are the messages that another reader of the protocol finds, and the connection ends once.
func FuzzFrames(f *testing.F) {
	for _, server := range []bool{true, false} {
		for _, b := range [][]byte{
			frame(server, 0x82, "hello"),
			slices.Concat(frame(server, 0x02, "he"), frame(server, 0x89, "?"), frame(server, 0x00, ""), frame(server, 0x80, "llo")),
			frame(server, 0x82, strings.Repeat("x", 1150)),
			frame(server, 0x82, strings.Repeat("x", 1151)),
			slices.Concat(frame(server, 0x82, ""), frame(server, 0x81, "text"), frame(server, 0x82, "late")),
			slices.Concat(frame(server, 0x88, "\x03\xe8bye"), frame(server, 0x82, "late")),
			bytes.Repeat(frame(server, 0x89, ""), 20),
			slices.Concat(frame(server, 0x02, "a"), frame(server, 0x82, "b")),
			{0x02, 0x30},
			append([]byte{0x82, 0xff}, bytes.Repeat([]byte{0xff}, 30)...),
		} {
			f.Add(server, b)
		}
	}
	f.Fuzz(func(t *testing.T, server bool, b []byte) {
		if len(b) > 20_000 {
			return
		}
		checkFrames(t, server, b, canned{Reader: bytes.NewReader(b)})
		if server {
			ours, theirs := websock.Pair(t)
			go io.Copy(io.Discard, theirs) // an end that does not read would reset the connection
			go func() {
				theirs.Write(b)
				theirs.(*net.TCPConn).CloseWrite()
			}()
			checkFrames(t, server, b, ours)
		}
	})
}

// checkFrames reads the bytes b from a connection, and checks what arrives.
func checkFrames(t *testing.T, server bool, b []byte, conn net.Conn) {
	t.Helper()
	c := open(t, server, conn)
	var got [][]byte
	var running sync.WaitGroup
	ended := make(chan error, 2)
	c.Start(&running, websock.Handler{
		Receive: func(b []byte) bool { got = append(got, bytes.Clone(b)); return true },
		Room:    func() {},
		Ended:   func(err error) { ended <- err },
	})
	if err := <-ended; err == nil {
		t.Error("it ends without an error")
	}
	c.Close("")
	running.Wait()
	if len(ended) > 0 {
		t.Error("it ends twice")
	}
	want, pings, known := messages(server, b)
	if len(got) > len(want) || pings <= 16 && len(got) < len(want) && known {
		t.Fatalf("%d messages arrive, want %d", len(got), len(want))
	}
	for i := range got {
		if known && !bytes.Equal(got[i], want[i]) {
			t.Fatalf("message %d is %q, want %q", i, got[i], want[i])
		}
	}
}

// frame returns a frame to a server, with the masking key 1, 2, 3, 4, or to a client.
func frame(server bool, first byte, payload string) []byte {
	b := []byte{first, byte(len(payload))}
	if len(payload) > 125 {
		b = binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(len(payload)))
	}
	if !server {
		return append(b, payload...)
	}
	b[1] |= 0x80
	b = append(b, 1, 2, 3, 4)
	for i := range len(payload) {
		b = append(b, payload[i]^byte(i%4+1))
	}
	return b
}

// messages returns the binary messages before the first fault in the bytes that one end of a
// WebSocket gets, and how many pings are there. known is false if the bytes have a fault that the
// library lets pass: a server that masks.
func messages(server bool, b []byte) (list [][]byte, pings int, known bool) {
	var message []byte
	within := false
	known = true
	for len(b) >= 2 {
		fin, opcode, masked, n := b[0]&0x80 != 0, b[0]&0x0f, b[1]&0x80 != 0, uint64(b[1]&0x7f)
		faulty := b[0]&0x70 != 0 || server && !masked
		known = known && (server || !masked)
		b = b[2:]
		switch {
		case n == 126 && len(b) >= 2:
			n, b = uint64(binary.BigEndian.Uint16(b)), b[2:]
		case n == 127 && len(b) >= 8:
			n, b = binary.BigEndian.Uint64(b), b[8:]
		case n > 125:
			return
		}
		key := []byte{0, 0, 0, 0}
		if masked {
			if len(b) < 4 {
				return
			}
			key, b = b[:4], b[4:]
		}
		if faulty || uint64(len(b)) < n {
			return
		}
		payload := bytes.Clone(b[:n])
		b = b[n:]
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		switch {
		case opcode >= 8 && (n > 125 || !fin), opcode == 8, opcode > 10:
			return
		case opcode == 9:
			pings++
			continue
		case opcode == 10:
			continue
		case within != (opcode == 0), opcode > 2, opcode == 1:
			return
		}
		message, within = append(message, payload...), !fin
		if len(message) > websock.MaxDatagram {
			return
		}
		if fin {
			list, message = append(list, message), nil
		}
	}
	return
}

// open opens one end of a WebSocket on a connection, without the bytes of HTTP.
func open(t *testing.T, server bool, conn net.Conn) *websock.Conn {
	t.Helper()
	buffers := websock.NewBuffers(1)
	if !server {
		return testkit.Must(websock.Dial(t.Context(), "ws://game.example/", "x", &http.Client{Transport: upgrader{conn}}, nil, buffers))
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	return testkit.Must(websock.Accept(taken{httptest.NewRecorder(), conn}, r, netip.AddrPort{}, buffers))
}

// canned is a connection on which the bytes of Reader have arrived. It drops what is written.
type canned struct {
	net.Conn
	io.Reader
}

func (c canned) Read(b []byte) (int, error)     { return c.Reader.Read(b) }
func (canned) Write(b []byte) (int, error)      { return len(b), nil }
func (canned) Close() error                     { return nil }
func (canned) SetDeadline(time.Time) error      { return nil }
func (canned) SetReadDeadline(time.Time) error  { return nil }
func (canned) SetWriteDeadline(time.Time) error { return nil }

// taken is a ResponseWriter whose connection is conn.
type taken struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// upgrader answers a request for a WebSocket, which is then conn.
type upgrader struct{ conn net.Conn }

func (u upgrader) RoundTrip(r *http.Request) (*http.Response, error) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: u.conn, Request: r, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Protocol": {"godwit.1"},
		"Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
	}}, nil
}
