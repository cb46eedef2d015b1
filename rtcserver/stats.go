package rtcserver

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A DropReason says why a datagram was dropped. Dropped datagrams are counted, but not
// logged, because anyone can send them.
type DropReason uint8

const (
	DropNotOurs      DropReason = iota // neither STUN nor DTLS; also QUIC if there is no QUICConn
	DropBadSTUN                        // a malformed connectivity check
	DropUnknownUfrag                   // a check for an unknown connection
	DropBadCheck                       // a check with a wrong password, or one that was refused
	DropUnknownAddr                    // DTLS from an address without a valid check
	DropFull                           // the first check of a connection when there are MaxConns
	DropInbox                          // a datagram for another shard whose inbox is full
	DropTaken                          // a valid check from an address that four other connections use; the server answers it and does nothing else
	DropQUIC                           // a datagram of QUIC that a QUICConn had no room for
	DropForged                         // a check with a fragment of Direct that its key has not made, or that is for another node
	DropExpired                        // a check with an invite that has expired
	DropNoSession                      // a check for the next link of a session that is not here
	DropSpent                          // a check with an invite that was used
	DropLimited                        // a check with a good fragment of Direct that a limit is against: MaxOffers, MaxPerIP, MaxPending, 4 connections of one fragment that are not admitted; or the server shuts down
	DropRelay                          // a datagram in the header of a relay that is malformed, of a client's QUIC, or not from one of TrustedRelays
	dropReasons
)

var dropNames = [dropReasons]string{
	"not-ours", "bad-stun", "unknown-ufrag", "bad-check", "unknown-address", "full", "inbox", "address-taken",
	"quic", "forged", "expired", "no-session", "spent", "limited", "relay",
}

// String returns the reason in one word.
func (d DropReason) String() string { return enum.Name(d, dropNames[:]) }

// A Refusal says why the server closed a channel at once that a page opened. The page's
// RTCDataChannel gets a close event.
type Refusal uint8

const (
	RefusedReliable  Refusal = iota // the channel is reliable, and Config.AllowReliable is not set
	RefusedTooMany                  // the page has Config.MaxChannels open
	RefusedMalformed                // the page's message that opens it is malformed, or on a stream that is not the page's
	refusalReasons
)

var refusalTexts = [refusalReasons]string{
	RefusedReliable:  "it is reliable: open it with maxRetransmits: 0, or set AllowReliable",
	RefusedTooMany:   "the page has as many open as it may have: close some, or raise MaxChannels",
	RefusedMalformed: "its opening is malformed",
}

// String returns the reason in words, with what to do about it.
func (r Refusal) String() string { return enum.Name(r, refusalTexts[:]) }

// Stats are the counters of a server since it was made, sums over all shards.
type Stats struct {
	Conns      int // connections that are open, being opened, or being closed
	Pending    int // answers that no page has used yet
	Handshakes int // DTLS handshakes that run

	MessagesIn, MessagesOut   uint64
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64        // bytes of UDP payload
	Batches                   uint64        // turns of the loop
	HandlerTime               time.Duration // time that handlers ran

	Opened           uint64               // connections that opened
	Closed           [closeReasons]uint64 // connections that ended, by CloseCode, including those that never opened
	HandshakesDone   uint64
	HandshakesFailed uint64
	HandshakesQueued uint64 // handshakes that waited for a place of MaxHandshakes
	// HandshakesYielded counts the failed handshakes that gave their places to others.
	HandshakesYielded uint64
	// RolesYielded counts the connections of which this end became the DTLS server because the
	// page sent a ClientHello: see RoleAuto.
	RolesYielded uint64
	// Restarts counts ICE restarts of connections: further offers with new credentials.
	Restarts uint64

	ChannelsRefused [refusalReasons]uint64 // channels of pages that were closed at once, by Refusal

	Drops [dropReasons]uint64 // datagrams dropped, by DropReason

	// Contested counts failed attempts to decrypt a datagram from an address of several
	// connections.
	Contested uint64

	Offers  uint64         // offers answered
	SNAPs   uint64         // connections that need no handshake of SCTP: their offers had a=sctp-init, or, without an offer, their username fragments said so
	Refused map[int]uint64 // offers refused, by HTTP status; statuses that this module does not use count under 0

	Socket SocketStats // sums over the sockets; the buffer sizes are those of one

	// StoppedShards is the number of shards that have ended because their sockets failed;
	// the log has the reasons. After the first one the server refuses every offer: the
	// program must Close the server and Listen again.
	StoppedShards int
}

// closeReasons is the length of a table that a CloseCode indexes.
const closeReasons = CloseNoAssociation + 1

// shardStats are the counters of one shard, guarded by its lock.
type shardStats struct {
	messagesIn, messagesOut uint64
	opened                  uint64
	closed                  [closeReasons]uint64
	handshakes              uint64
	handshakesFailed        uint64
	handshakesQueued        uint64
	handshakesYielded       uint64
	rolesYielded            uint64
	restarts                uint64
	channelsRefused         [refusalReasons]uint64
	contested               uint64
	drops                   [dropReasons]uint64
	stopped                 bool // the socket failed
}

// signalStats count what the HTTP side did.
type signalStats struct {
	answered atomic.Uint64
	snaps    atomic.Uint64
	refused  [len(refusals)]atomic.Uint64
}

// refusals are the statuses that are counted; any other one counts as the last.
var refusals = [...]int{
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed,
	http.StatusRequestTimeout, http.StatusConflict, http.StatusGone, http.StatusRequestEntityTooLarge,
	http.StatusUnsupportedMediaType, http.StatusTooManyRequests,
	http.StatusInternalServerError, http.StatusServiceUnavailable, 0,
}

func (s *signalStats) refuse(status int) {
	for i, r := range refusals {
		if r == status || i == len(refusals)-1 {
			s.refused[i].Add(1)
			return
		}
	}
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	var t Stats
	_, t.Pending = s.registry.count()
	t.Offers, t.SNAPs = s.stats.answered.Load(), s.stats.snaps.Load()
	t.Refused = make(map[int]uint64)
	for i := range s.stats.refused {
		if n := s.stats.refused[i].Load(); n > 0 {
			t.Refused[refusals[i]] = n
		}
	}
	for _, sh := range s.shards {
		sh.addStats(&t)
	}
	return t
}

func (s *shard) addStats(t *Stats) {
	s.loop.Lock()
	defer s.loop.Unlock()
	n, l := &s.stats, &s.loop.Stats
	t.Conns += len(s.conns)
	t.Handshakes += len(s.places.taken)
	t.MessagesIn += n.messagesIn
	t.MessagesOut += n.messagesOut
	t.DatagramsIn += l.DatagramsIn
	t.DatagramsOut += l.DatagramsOut
	t.BytesIn += l.BytesIn
	t.BytesOut += l.BytesOut
	t.Batches += l.Turns
	t.HandlerTime += l.Handlers
	t.Opened += n.opened
	t.HandshakesDone += n.handshakes
	t.HandshakesFailed += n.handshakesFailed
	t.HandshakesQueued += n.handshakesQueued
	t.HandshakesYielded += n.handshakesYielded
	t.RolesYielded += n.rolesYielded
	t.Restarts += n.restarts
	t.Contested += n.contested
	for i, v := range n.closed {
		t.Closed[i] += v
	}
	for i, v := range n.channelsRefused {
		t.ChannelsRefused[i] += v
	}
	for i, v := range n.drops {
		t.Drops[i] += v
	}
	if n.stopped {
		t.StoppedShards++
	}
	t.addSocket(s.socket.Stats())
}

func (t *Stats) addSocket(u udpio.Stats) {
	t.Socket.Truncated += u.Truncated
	t.Socket.KernelDrops += u.KernelDrops
	t.Socket.ReadErrors += u.ReadErrors
	t.Socket.SendFull += u.SendFull
	t.Socket.SendTooLarge += u.SendTooLarge
	t.Socket.SendUnreachable += u.SendUnreachable
	t.Socket.SendDenied += u.SendDenied
	t.Socket.SendFailed += u.SendFailed
	t.Socket.ReadBuffer, t.Socket.WriteBuffer = u.ReadBuffer, u.WriteBuffer
}

// SocketStats are the counters of the sockets of a server. Datagrams that were not sent count in
// Stats.DatagramsOut, too.
type SocketStats struct {
	Truncated   uint64 // received datagrams larger than their buffers, dropped
	KernelDrops uint64 // received datagrams dropped by the kernel because its buffer was full (Linux)
	ReadErrors  uint64 // errors of reads, mostly about datagrams sent earlier

	SendFull        uint64 // dropped because the send buffer was full
	SendTooLarge    uint64 // dropped because larger than the path or UDP allows
	SendUnreachable uint64 // dropped because the host, the port, or a route does not exist
	SendDenied      uint64 // dropped by a rule of this machine, such as a firewall's
	SendFailed      uint64 // dropped for any other reason

	// ReadBuffer and WriteBuffer are the sizes in bytes that the kernel reports. Linux
	// includes its overhead, and gives twice the requested size. Zero means unknown.
	ReadBuffer, WriteBuffer int
}

// ConnStats are the counters of one connection.
type ConnStats struct {
	MessagesIn, MessagesOut uint64
	RTT                     time.Duration // zero until measured
	EagerAcks               bool          // lost packets are acknowledged, too; see Config.Acks
	SacksOut, GapSacksOut   uint64        // acknowledgements sent; those of them that report gaps
	Forwards                uint64        // FORWARD-TSN chunks sent because messages were lost
	Duplicates, Late        uint64        // packets received twice; packets received after a newer one was acknowledged
	Dropped                 uint64        // datagrams, records and chunks that were dropped
}

// Stats returns the connection's counters as they are now.
func (c *Conn) Stats() ConnStats {
	c.shard.loop.Lock()
	defer c.shard.loop.Unlock()
	st := ConnStats{MessagesIn: c.received, MessagesOut: c.sent}
	a, dropped := c.peer.Stats()
	st.RTT, st.EagerAcks = a.RTT, a.Eager
	st.SacksOut, st.GapSacksOut, st.Forwards = a.SacksOut, a.GapSacksOut, a.Forwards
	st.Duplicates, st.Late, st.Dropped = a.Duplicates, a.Late, dropped
	return st
}
