package pionserver

import (
	"errors"
	"sync"
	"time"

	"github.com/pion/datachannel"
	"github.com/pion/webrtc/v4"
)

// Conn is one connected page.
type Conn struct {
	server *Server
	pc     *webrtc.PeerConnection
	open   sync.Once
	closed sync.Once

	mu       sync.Mutex
	channels map[uint16]*channel
}

type channel struct {
	stream          uint16
	label, protocol string
	rw              datachannel.ReadWriteCloserDeadliner
	dc              *webrtc.DataChannel
}

// maxMessage is the size of a channel's read buffer: the largest message that pion's answer allows.
const maxMessage = 64 << 10

// gatherTimeout limits the search for candidates, which takes milliseconds.
const gatherTimeout = time.Minute

// negotiate processes the offer and returns the answer with all candidates.
func (c *Conn) negotiate(offer string) (webrtc.SessionDescription, error) {
	var none webrtc.SessionDescription
	c.pc.OnDataChannel(c.serve)
	c.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			c.open.Do(c.opened)
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			// pion calls this on a goroutine for which pion's Close waits.
			go c.end(state.String())
		}
	})
	for _, stream := range c.server.config.Negotiated {
		dc, err := c.pc.CreateDataChannel("", &webrtc.DataChannelInit{
			Negotiated: new(true), ID: &stream, Ordered: new(false), MaxRetransmits: new(uint16),
		})
		if err != nil {
			return none, err
		}
		c.serve(dc)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
		return none, err
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return none, err
	}
	if err := c.pc.SetLocalDescription(answer); err != nil {
		return none, err
	}
	select {
	case <-gathered:
		return *c.pc.LocalDescription(), nil
	case <-time.After(gatherTimeout):
		return none, errors.New("pionserver: pion does not end its search for candidates")
	}
}

func (c *Conn) opened() {
	if f := c.server.config.Handler.Open; f != nil {
		f(c)
	}
}

// serve reads a channel from its opening to its end.
func (c *Conn) serve(dc *webrtc.DataChannel) {
	dc.OnOpen(func() {
		rw, err := dc.DetachWithDeadline()
		if err != nil {
			return
		}
		ch := &channel{stream: *dc.ID(), label: dc.Label(), protocol: dc.Protocol(), rw: rw, dc: dc}
		c.mu.Lock()
		c.channels[ch.stream] = ch
		c.mu.Unlock()
		go c.read(ch)
	})
}

func (c *Conn) read(ch *channel) {
	b := make([]byte, maxMessage)
	for {
		n, text, err := ch.rw.ReadDataChannel(b)
		if err != nil {
			c.forget(ch)
			return
		}
		if f := c.server.config.Handler.Message; f != nil {
			f(c, Message{Stream: ch.stream, Label: ch.label, Protocol: ch.protocol, Text: text, Data: b[:n]})
		}
	}
}

// forget ends the connection with its last channel: when a page closes its peer connection,
// its channels close first.
func (c *Conn) forget(ch *channel) {
	c.mu.Lock()
	delete(c.channels, ch.stream)
	left := len(c.channels)
	c.mu.Unlock()
	if left == 0 {
		c.end("closed by the page")
	}
}

// Send sends a message on an open channel.
func (c *Conn) Send(stream uint16, text bool, b []byte) error {
	c.mu.Lock()
	ch := c.channels[stream]
	c.mu.Unlock()
	if ch == nil {
		return errors.New("pionserver: no such channel")
	}
	_, err := ch.rw.WriteDataChannel(b, text)
	return err
}

// Buffered returns the number of bytes that wait in an open channel.
func (c *Conn) Buffered(stream uint16) uint64 {
	c.mu.Lock()
	ch := c.channels[stream]
	c.mu.Unlock()
	if ch == nil {
		return 0
	}
	return ch.dc.BufferedAmount()
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.end("closed by the server")
	return nil
}

func (c *Conn) end(reason string) {
	c.closed.Do(func() {
		c.server.mu.Lock()
		delete(c.server.conns, c)
		c.server.mu.Unlock()
		c.pc.Close()
		if f := c.server.config.Handler.Close; f != nil {
			f(c, reason)
		}
	})
}
