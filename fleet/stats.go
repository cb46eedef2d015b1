package fleet

// Stats are the counters of a node's part in the fleet since Join.
type Stats struct {
	Connected  bool   // NATS is there now
	Reconnects uint64 // times that NATS was back after it had been away

	Sent, SentBytes         uint64 // messages given to NATS, of all kinds, and their bytes
	Received, ReceivedBytes uint64 // messages that NATS has brought, and their bytes

	Unneeded uint64 // messages of groups that were not given to NATS because no other node has members
	Away     uint64 // messages for other nodes that were dropped because NATS was away
	OutOld   uint64 // messages for other nodes that were dropped at the age MaxDelay
	// OutDropped and InDropped are messages that were dropped because MaxPending or MaxPendingBytes was reached. Messages to groups that
	// are larger than NATS takes, together with the name of their channel, count as OutDropped.
	OutDropped, InDropped uint64
	Slow                  uint64 // reports of nats.go that this process reads too slowly

	Lost      uint64 // messages of groups that are missing, by their numbers, before one that has arrived
	Late      uint64 // those of Lost that arrived after a later one; they are dropped to keep the order
	Doubled   uint64 // messages of groups that arrived twice; the second one is dropped
	Foreign   uint64 // messages of nodes whose table of channels differs from that of this node
	Malformed uint64 // messages that are not of this version of the protocol
	NotHere   uint64 // messages for players who were on no node
	Unsent    uint64 // messages for players that their node had and could not queue; see godwit.Conn.Send

	Requests uint64 // requests to players of other nodes
	TimedOut uint64 // those of Requests that had no answer in time

	Claims     uint64 // names of players that this node has claimed
	Refused    uint64 // clients refused, and sessions closed, because their name was claimed by another node
	Replaced   uint64 // sessions closed because another node has claimed their name
	ClaimFails uint64 // attempts to claim or release a name that failed and will be repeated

	SpendFails uint64 // used tokens that NATS could not note, because it was away
	Twice      uint64 // tokens that this node has admitted while NATS was away and that were used elsewhere, too
	Adopted    uint64 // rooms of nodes that were gone which this node has claimed
	Moved      uint64 // players who were sent to other nodes
	// StatesLost are states of players that this node could not hand over, those of players whose sessions have ended amid the move, and states that have come to this node without their players: in
	// the time for which the seat was good, or until the node had drained or was closed. StatesMissed are states that had not come
	// when the player came; the node that sends such a state counts it as lost when it comes.
	StatesLost, StatesMissed uint64

	FrontRefused uint64 // requests to Front of foreign pages, and of addresses with too many
	FrontUnsure  uint64 // requests to Front about a node of which it did not know whether the node is gone

	Nodes   int // other nodes that are there
	Groups  int // groups that this node uses now
	Members int // memberships of sessions of this node in groups
	Players int // names of players who are on this node
	Waiting int // requests to players of other nodes that have no answer yet
}

// Stats returns the counters as they are now.
func (f *Fleet) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.counts
	s.Connected, s.Nodes = !f.away.Load(), len(f.nodes.peers)
	s.Groups, s.Players, s.Waiting = len(f.groups), len(f.players), len(f.questions)
	for _, of := range f.memberships {
		s.Members += len(of)
	}
	return s
}
