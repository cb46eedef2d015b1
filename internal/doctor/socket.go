package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
)

const (
	subprotocol  = "godwit.1" // docs/SESSION.md, section 10
	ticketPrefix = "ticket."

	pings = 5

	// A proxy buffers if no ping is answered sooner than lateFactor requests and an eighth of Config.Wait.
	lateFactor = 4
	lateShare  = 8
)

// checkSocket opens the WebSocket that the answer offers, and sends pings over it, one after the other.
func (v *visit) checkSocket(ctx context.Context) bool {
	if v.socket == nil {
		switch {
		case v.answer == nil:
			v.skip("websocket", "without an answer there is nothing to open")
		case v.plain:
			v.skip("websocket", "a server of plain datagrams has none")
		default:
			v.warn("websocket", FaultWebSocket, "allow it in Config.Links: without it players whose network drops UDP cannot play", "the server offers no WebSocket")
		}
		return true
	}
	const upgrades = "let the proxy pass on upgrades (nginx: proxy_http_version 1.1, and the headers Upgrade and Connection): without them players whose network drops UDP cannot play"
	began := time.Now()
	ws, resp, err := v.dialSocket(ctx)
	if resp != nil && resp.StatusCode == http.StatusForbidden && v.renewTicket(ctx) {
		began = time.Now()
		ws, resp, err = v.dialSocket(ctx)
	}
	if err != nil {
		why := rootCause(err).Error()
		if resp != nil {
			why = fmt.Sprintf("the status is %d in place of 101", resp.StatusCode)
		}
		v.fail("websocket", FaultWebSocket, upgrades, "it does not open: %s", why)
		return true
	}
	defer ws.CloseNow()
	opened := time.Since(began)
	if ws.Subprotocol() != subprotocol {
		v.fail("websocket", FaultWebSocket, "let the proxy pass on Sec-WebSocket-Protocol", "it opens, but without the subprotocol %s", subprotocol)
		return true
	}
	go func() { // answers to pings arrive at a reader
		for {
			if _, _, err := ws.Read(ctx); err != nil {
				return
			}
		}
	}()
	var trips []time.Duration
	for range pings {
		limited, cancel := context.WithTimeout(ctx, v.config.Wait)
		at := time.Now()
		err := ws.Ping(limited)
		cancel()
		if err != nil {
			break
		}
		trips = append(trips, time.Since(at))
	}
	v.report(judgePings(trips, lateFactor*v.trip+v.config.Wait/lateShare, opened, v.overUDP))
	return true
}

// dialSocket opens the WebSocket with the ticket of the answer.
func (v *visit) dialSocket(ctx context.Context) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	header := v.pageHeader()
	maps.Copy(header, v.config.Header)
	return websocket.Dial(ctx, v.socket.url.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: v.client.Transport}, HTTPHeader: header,
		Subprotocols: []string{subprotocol, ticketPrefix + v.socket.ticket},
	})
}

// renewTicket asks for another ticket: the session of the answer is over if the checks over UDP took longer
// than the server waits for a handshake. It reports whether there is one.
func (v *visit) renewTicket(ctx context.Context) bool {
	resp, err := v.post(ctx, nil, v.takeToken())
	if err != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	before := v.socket
	v.readLinks(parseAnswer(resp.body).Links)
	return v.socket != before
}

// judgePings says what the times of pings over a WebSocket mean. They went through the same proxies as the
// requests, so none of them should need longer than late. opened is the time of the upgrade.
func judgePings(trips []time.Duration, late, opened time.Duration, overUDP bool) Result {
	const next = "switch off buffering at the proxy for this path (nginx: proxy_buffering off, and no module that rewrites bodies), or give players a way without it"
	r := Result{Check: "websocket", Status: Fail, Fault: FaultBuffers, Next: next}
	if len(trips) == 0 {
		r.Text = "it opens, but no message comes through: a proxy holds messages back"
		return r
	}
	fastest := slices.Min(trips)
	r.Data = map[string]any{"opened": ms(opened), "trip": ms(fastest)}
	if fastest > late {
		r.Text = fmt.Sprintf("it opens, but a message and its answer take at least %s, much longer than a request: a proxy holds messages back", brief(fastest))
		return r
	}
	r.Status, r.Fault, r.Next = OK, "", ""
	r.Text = fmt.Sprintf("opens in %s; a message and its answer take %s", brief(opened), brief(fastest))
	if !overUDP {
		r.Text += "; players use it where UDP does not arrive"
	}
	return r
}
