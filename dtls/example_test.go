package dtls_test

import (
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// An end is one side of a connection whose network loses nothing. A program that uses UDP
// repeats lost flights with a [dtls.Repeater].
type end struct {
	name      string
	client    bool
	sieve     dtls.Sieve
	handshake *dtls.Handshake
	conn      dtls.Conn
	events    chan dtls.HandshakeEvent
}

func start(name string, client bool, own *dtls.Certificate, peer dtls.Fingerprint) *end {
	e := &end{name: name, client: client, events: make(chan dtls.HandshakeEvent, 64)}
	e.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: own, Peer: []dtls.Fingerprint{peer}, Client: client,
		Emit: func(ev dtls.HandshakeEvent) { e.events <- ev },
	})
	return e
}

// Two ends shake hands. Each knows the fingerprint of the other's certificate from the
// signaling. Then one sends a record.
func Example() {
	now := time.Now()
	page, err := dtls.GenerateCertificate(now)
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := dtls.GenerateCertificate(now)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := start("page", true, page, server.Fingerprint())
	s := start("server", false, server, page.Fingerprint())

	for done := 0; done < 2; {
		var ev dtls.HandshakeEvent
		from, to := c, s
		select {
		case ev = <-c.events:
		case ev = <-s.events:
			from, to = s, c
		}
		switch ev.Kind {
		case dtls.Flight:
			to.handshake.Receive(to.sieve.Append(time.Now(), nil, ev.Datagram))
		case dtls.KeysReady:
			from.conn.Init(ev.Keys, from.client, dtls.FirstRecord)
		case dtls.Done:
			from.conn.Done()
			done++
		case dtls.Failed:
			fmt.Println(from.name, "failed:", ev.Err)
			return
		}
	}

	record, err := c.conn.Seal(append(c.conn.Reserve(nil), "hello"...), 0, dtls.TypeApplicationData)
	if err != nil {
		fmt.Println(err)
		return
	}
	for r := range dtls.Records(record) {
		plain, _, drop := s.conn.Open(r.Raw)
		fmt.Printf("%q, %v\n", plain, drop)
	}
	// Output: "hello", none
}
