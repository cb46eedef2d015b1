package websock

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/coder/websocket"
)

// bufferSize is the size in bytes of a buffer: one datagram with the header of its frame fits,
// so one message is one system call.
const bufferSize = 1280

// The sizes in bytes of the library's buffers if a wire has those for datagrams: a header when it
// reads, and a control frame when it writes.
const (
	headerSize  = 16
	controlSize = 128
)

// Ticket returns the ticket that an upgrade request names, and false if the request does not
// name Protocol and one ticket.
func Ticket(r *http.Request) (string, bool) {
	ticket, named := "", false
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		if len(line) > 200 {
			return "", false
		}
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			if t, ok := strings.CutPrefix(p, TicketPrefix); ok && ticket == "" {
				ticket = t
			}
			named = named || p == Protocol
		}
	}
	return ticket, named && ticket != ""
}

// Accept upgrades an HTTP request whose ticket was accepted. It answers the request in every
// case. It does not check the origin. remote is the address of the other end.
func Accept(w http.ResponseWriter, r *http.Request, remote netip.AddrPort, buffers Buffers) (*Conn, error) {
	c := &Conn{remote: remote}
	note := &noter{ResponseWriter: w}
	ws, err := websocket.Accept(note, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Protocol},
		InsecureSkipVerify: true, // the ticket is bound to the origin that the server has admitted
		OnPingReceived:     c.ping,
	})
	if err != nil {
		return nil, err
	}
	c.nc = note.conn
	if c.wire, c.library = note.wire, note.reader; c.wire != nil {
		c.wire.buffers = buffers
	}
	c.init(ws, buffers)
	setOptions(c.nc)
	return c, nil
}

// A noter notes the socket of a connection that is upgraded.
type noter struct {
	http.ResponseWriter
	conn   net.Conn
	wire   *wire         // of conn; nil if there is none
	reader *bufio.Reader // of the library
}

// Hijack makes the buffers smaller: a connection has them as long as it lives. The client may
// have sent data already, because net/http sends the answer before it hands over the
// connection.
func (n *noter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(n.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	n.conn = conn
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	in, out := max(bufferSize, len(early)), bufferSize
	if n.wire = newWire(conn); n.wire != nil {
		n.wire.in = bytes.Clone(early)
		conn, early, in, out = n.wire, nil, headerSize, controlSize
	}
	n.reader = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), conn), in)
	n.reader.Peek(len(early)) // the library keeps what is in the buffer, and then reads from the connection itself
	return unended{conn}, bufio.NewReadWriter(n.reader, bufio.NewWriterSize(conn, out)), nil
}

// setOptions makes the kernel hold little that is not sent.
func setOptions(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok { // of TLS
		conn = t.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			LimitUnsent(raw)
		}
	}
}
