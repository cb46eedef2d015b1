// Parts is a WebRTC server in 300 lines, made of the packages sdp, icelite, dtls and sctp
// alone: it sends each message of a page back. It shows which call of one package leads to
// which call of the next, for whoever builds another server of them. It serves one page at
// a time, and has no limits: package rtcserver has what a server on the internet needs.
//
//	go run ./examples/parts
//
// A page sends its offer to http://localhost:8080/ with POST, and gets the answer, both as
// SDP.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/sctp"
	"github.com/godwit-rtc/godwit/sdp"
)

func main() {
	data := flag.String("data", "127.0.0.1:42424", "UDP `address` to listen on for messages")
	web := flag.String("http", "localhost:8080", "TCP `address` for the signaling")
	flag.Parse()
	s, err := listen(netip.MustParseAddrPort(*data))
	if err == nil {
		go s.serve(context.Background())
		err = http.ListenAndServe(*web, s)
	}
	fmt.Fprintln(os.Stderr, "parts:", err)
	os.Exit(1)
}

// A server is one socket, and the page that came last.
type server struct {
	socket      *net.UDPConn
	certificate *dtls.Certificate
	pages       chan *page // new ones, for serve
	datagrams   chan datagram
	events      chan event // of handshakes
}

type datagram struct {
	from netip.AddrPort
	b    []byte
}

type event struct {
	of *page
	dtls.HandshakeEvent
}

func listen(addr netip.AddrPort) (*server, error) {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, err
	}
	certificate, err := dtls.GenerateCertificate(time.Now())
	return &server{socket, certificate, make(chan *page), make(chan datagram, 64), make(chan event, 64)}, err
}

// ServeHTTP answers an offer: sdp reads it, icelite makes an agent, sdp writes the answer.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 32<<10))
	if err != nil {
		return
	}
	offer, err := sdp.ParseOffer(text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	local, err := icelite.NewCredentials(rand.Reader)
	if err != nil {
		http.Error(w, "no random bytes", http.StatusInternalServerError)
		return
	}
	p := &page{server: s, client: offer.Setup.Answer(sdp.SetupActive) == sdp.SetupActive}
	p.agent = icelite.New(time.Now(), icelite.Config{
		Local: local, Remote: icelite.Credentials{Ufrag: offer.Ufrag, Pwd: offer.Pwd},
	})
	for _, f := range offer.Fingerprints {
		if f, err := dtls.ParseFingerprint(f.Algorithm, f.Sum); err == nil {
			p.expected = append(p.expected, f)
		}
	}
	s.pages <- p
	own := s.certificate.Fingerprint()
	answer := sdp.Answer{
		Offer: offer, Ufrag: local.Ufrag, Pwd: local.Pwd, Setup: offer.Setup.Answer(sdp.SetupActive),
		Fingerprint:    sdp.Fingerprint{Algorithm: own.Algorithm(), Sum: own.Sum()},
		Candidates:     []netip.AddrPort{s.socket.LocalAddr().(*net.UDPAddr).AddrPort()},
		MaxMessageSize: 16 << 10,
	}
	w.Header().Set("Content-Type", "application/sdp")
	w.Write(answer.Append(nil))
}

// serve is the only goroutine that touches a page.
func (s *server) serve(ctx context.Context) {
	go s.read()
	defer s.socket.Close()
	p := &page{server: s, agent: icelite.New(time.Now(), icelite.Config{})} // of nobody
	for {
		var timer <-chan time.Time
		if at := p.deadline(); !at.IsZero() {
			timer = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			p.close()
			return
		case next := <-s.pages:
			p.close()
			p = next
		case d := <-s.datagrams:
			p.receive(time.Now(), d)
		case ev := <-s.events:
			if ev.of == p {
				p.shake(time.Now(), ev.HandshakeEvent)
			}
		case <-timer:
			p.advance(time.Now())
		}
		p.pump(time.Now())
	}
}

func (s *server) read() {
	for b := make([]byte, 2048); ; {
		n, from, err := s.socket.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		s.datagrams <- datagram{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), append([]byte(nil), b[:n]...)}
	}
}

// A page is one connection: an agent, a handshake, records and an association.
type page struct {
	server    *server
	client    bool // this end is the DTLS client
	expected  []dtls.Fingerprint
	agent     *icelite.Agent
	request   icelite.Request
	handshake *dtls.Handshake // nil before the first check
	sieve     dtls.Sieve
	flight    dtls.Repeater
	records   dtls.Conn
	assoc     *sctp.Assoc // nil before the keys are known
	over      bool
}

func (p *page) close() {
	if p.over = true; p.handshake != nil {
		p.handshake.Stop()
	}
}

// send sends a datagram to the page, if the agent allows it.
func (p *page) send(now time.Time, b []byte) {
	if path, ok := p.agent.Selected(); ok && p.agent.MaySend(now, path.Remote, len(b)) {
		p.server.socket.WriteToUDPAddrPort(b, path.Remote)
	}
}

func (p *page) receive(now time.Time, d datagram) {
	switch {
	case p.over:
	case icelite.IsSTUN(d.b):
		if p.request.Parse(d.b) != icelite.DropNone {
			return
		}
		b, verdict := p.agent.Answer(now, d.from, netip.Addr{}, &p.request, nil)
		p.server.socket.WriteToUDPAddrPort(b, d.from)
		if verdict.Granted() && p.handshake == nil {
			p.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
				Certificate: p.server.certificate, Client: p.client, Peer: p.expected,
				Emit: func(ev dtls.HandshakeEvent) { p.server.events <- event{p, ev} },
			})
		}
	case dtls.IsDTLS(d.b) && p.handshake != nil:
		p.agent.Heard(now, d.from, len(d.b), false)
		p.handshake.Receive(p.sieve.Append(now, nil, d.b)) // does nothing after Done
		for r := range dtls.Records(d.b) {
			p.record(now, r.Raw)
		}
		if p.assoc != nil {
			p.assoc.Flush(now)
		}
	}
}

// shake processes an event of the handshake.
func (p *page) shake(now time.Time, ev dtls.HandshakeEvent) {
	switch ev.Kind {
	case dtls.Flight:
		switch {
		case ev.First:
			p.flight.Set(now, ev.Datagram)
		case !ev.Again:
			p.flight.Add(ev.Datagram)
		}
		p.send(now, ev.Datagram)
	case dtls.KeysReady:
		if path, ok := p.agent.Selected(); ok {
			p.agent.Proved(now, path.Remote) // the page has answered what was sent only there
		}
		var random [40]byte
		rand.Read(random[:])
		p.records.Init(ev.Keys, p.client, dtls.FirstRecord)
		p.assoc = sctp.New(sctp.Config{
			LocalTag: binary.BigEndian.Uint32(random[32:]), InitialTSN: binary.BigEndian.Uint32(random[36:]),
			CookieKey: [32]byte(random[:32]), EvenStreams: p.client,
		})
		p.assoc.Connect(now)
	case dtls.Done:
		p.flight.Stop()
		p.records.Done()
		for raw := range p.sieve.Early() {
			p.record(now, raw)
		}
		p.assoc.Flush(now)
	case dtls.Failed:
		fmt.Fprintln(os.Stderr, "parts: the handshake failed:", ev.Err)
		p.over = true
	}
}

// record opens a record, and sends the messages in it back.
func (p *page) record(now time.Time, raw []byte) {
	if !p.records.Ready() {
		return
	}
	plain, kind, drop := p.records.Open(raw)
	switch {
	case drop != dtls.DropNone:
	case kind == dtls.TypeAlert && dtls.AlertCloses(plain):
		p.over = true
	case kind == dtls.TypeApplicationData:
		for _, ev := range p.assoc.Receive(now, plain, nil) {
			switch ev.Type {
			case sctp.Message:
				b, err := p.assoc.AppendMessage(now, p.records.Reserve(nil), ev.Stream, ev.Kind, ev.Payload)
				if err == nil { // or the message is larger than a packet
					p.seal(now, b)
				}
			case sctp.Closed:
				p.over = true
			}
		}
	}
}

// seal encrypts a packet that was appended to p.records.Reserve(nil), and sends it.
func (p *page) seal(now time.Time, b []byte) {
	if b, err := p.records.Seal(b, 0, dtls.TypeApplicationData); err == nil {
		p.send(now, b)
	}
}

// pump sends what the parts have to send by themselves.
func (p *page) pump(now time.Time) {
	for b := p.flight.Append(now, nil); len(b) > 0; b = p.flight.Append(now, nil) {
		p.send(now, b)
	}
	for p.assoc != nil && !p.over {
		room := p.records.Reserve(nil)
		b := p.assoc.Append(now, room)
		if len(b) == len(room) {
			return
		}
		p.seal(now, b)
	}
}

// deadline returns when advance must be called; zero means never.
func (p *page) deadline() (first time.Time) {
	if p.over {
		return time.Time{}
	}
	all := []time.Time{p.agent.Deadline(), p.flight.Deadline()}
	if p.assoc != nil {
		all = append(all, p.assoc.Deadline())
	}
	for _, at := range all {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (p *page) advance(now time.Time) {
	p.over = p.agent.Advance(now) || p.over
	if p.assoc != nil {
		p.assoc.Advance(now, nil)
	}
}
