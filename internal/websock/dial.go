package websock

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"

	"github.com/coder/websocket"
)

// Dial opens a WebSocket to a server that has given this client a ticket. hc sends the
// request, with the headers of header.
func Dial(ctx context.Context, url, ticket string, hc *http.Client, header http.Header, buffers Buffers) (*Conn, error) {
	c := new(Conn)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { c.nc = i.Conn },
	})
	unending := *hc
	unending.Transport = unendedBodies{cmp.Or(hc.Transport, http.DefaultTransport)}
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient: &unending, HTTPHeader: header, Subprotocols: []string{Protocol, TicketPrefix + ticket},
		OnPingReceived: c.ping,
	})
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != Protocol {
		ws.CloseNow()
		return nil, errors.New("the server has not selected the subprotocol " + Protocol)
	}
	if c.nc != nil {
		if a, ok := c.nc.RemoteAddr().(*net.TCPAddr); ok {
			c.remote = a.AddrPort()
		}
		setOptions(c.nc)
	}
	c.init(ws, buffers)
	return c, nil
}

// unendedBodies makes the body of an upgrade, which is the connection, an unended one.
type unendedBodies struct{ http.RoundTripper }

func (t unendedBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		if b, ok := resp.Body.(io.ReadWriteCloser); ok {
			resp.Body = unendedBody{b}
		}
	}
	return resp, err
}

type unendedBody struct{ io.ReadWriteCloser }

func (u unendedBody) Read(b []byte) (int, error) { return unexpected(u.ReadWriteCloser.Read(b)) }
