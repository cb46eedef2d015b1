package fleet

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"time"

	"github.com/godwit-rtc/godwit"
)

// Config configures a node's part in the fleet. The zero value is a fleet of one node, with a NATS
// server in this process that other processes cannot reach.
type Config struct {
	// Name is the name of the node, unique in the fleet, for logs and for Where. Empty means the name
	// of the host and a random part.
	Name string

	// Prefix begins the names of all subjects and buckets of the fleet, so that several fleets can use
	// one NATS system: letters, digits, "-" and "_", at most 32. Empty means "godwit". It is the same at
	// all nodes.
	Prefix string

	// NATS is the address of the NATS system, such as "nats://10.0.0.2:4222", or several with commas between
	// them. Its JetStream must be on for Duplicates. Empty means that the process starts a NATS server.
	NATS string

	// User, Password and Credentials (the name of a file with a JWT and a key) are for NATS. User and
	// Password are also those that the NATS server of this process asks for if it listens.
	User, Password, Credentials string

	// TLS, if not nil, is used for the connection to NATS and, with Listen, by the NATS server of this
	// process, for which it needs a certificate.
	TLS *tls.Config

	// Listen is an address, "host:port", at which the NATS server of this process listens for other nodes:
	// they have it as NATS. Port 0 means that the system chooses one; see Fleet.NATSAddress. Empty means that it does not
	// listen. An address that other machines can reach needs User and Password: who may connect to NATS is
	// part of the fleet.
	Listen string

	// Dir is the directory in which the NATS server of this process keeps its streams. Empty means that it keeps them
	// in memory, and they are gone when the process ends.
	Dir string

	// Replicas is the number of servers of a NATS cluster that keep each claim of a name, each room and each used token. Zero means 1. It needs
	// that many NATS servers with JetStream. Use 3 in a cluster: with 1, names and rooms are not unique for some 10 s when the server that has
	// them starts again.
	Replicas int

	// WhenAway says what happens to a new client on which the whole fleet would have to agree while NATS is away.
	// Zero means AwayAdmit.
	WhenAway Away

	// MaxPending and MaxPendingBytes limit what waits in this process, in each direction: messages for NATS
	// that are not written yet, and messages of other nodes that are not processed yet. Further ones are
	// dropped and counted. Zero means 8192, and 8 MiB. No message, and no state of a player, can be larger than MaxPendingBytes. MaxPendingBytes also limits the requests that are kept until they have an answer,
	// for a player who goes to another node meanwhile: a request for which there is no room is not sent to that node.
	MaxPending, MaxPendingBytes int

	// MaxDelay is the age at which a message for other nodes that could not be written is dropped and counted.
	// Zero means 2 s.
	MaxDelay time.Duration

	// MaxGroups limits the groups that this node uses at the same time. Zero means 65,536. See Group.Join.
	MaxGroups int

	// MaxRequests limits the requests to players of other nodes that have no answer. Zero means 4096.
	MaxRequests int

	// RequestTimeout is how long Ask waits for the answer of a player. Zero means 10 s. A fifth of it is how long a node
	// waits for another node, or for JetStream, that has to agree. All nodes should have the same, because a node remembers for that time
	// which requests its players have got.
	RequestTimeout time.Duration

	// URL is where the signaling of this node's server is reached by players, such as "https://node-3.game.example/godwit/". It
	// is part of the seats that the fleet makes. It may be empty if all players come with invites.
	URL string

	// UDP is where relays reach the UDP port of this node's server, if it has a number, godwit.Config.RTC.Node: see FeedRelay. Zero
	// means the address at which the server listens, if that is the address of one interface; port 0 means the port of the server.
	UDP netip.AddrPort

	// Region and Version are for the filters of Pick. The fleet does not use them.
	Region, Version string

	// Seats means that players need a seat of the fleet: the server takes only tokens and invites that Fleet.Seat, Fleet.Front or
	// a move has made. Authorize, Secret and Tokens of godwit.Config must not be set then. Without Seats the seats have no
	// token, and the server admits whom it would admit without the fleet.
	Seats bool

	// Adopt, if not nil, is called when a room has come to this node: because its node is gone, or because a player wants
	// to go there and no node has it. It is called once for each such room, on a goroutine that waits for it, mostly one of the fleet:
	// it may call methods of the Fleet, also those that wait, except Close, which returns session.ErrInHandler.
	// It must return soon: until then the node writes none of its rooms to NATS, and four seconds after NATS was away others may claim them.
	// Rooms go only to nodes with Adopt.
	Adopt func(*Room)

	// Leave, if not nil, returns the state of a player who moves to another node, at most MaxState bytes. It is called for
	// players with a name, directly before Handler.Close and like it: all that the client has sent has arrived. The other
	// node gets the state with Arrive.
	Leave func(*godwit.Conn) []byte

	// Arrive, if not nil, is called directly before Handler.Open, and like it, for a player who comes from another
	// node with Leave. The state is nil if it has not come within 3 s, for example because the other node has ended, or if there is none:
	// the session at the other node has ended amid the move, because its server was closed, or the client was interrupted for too long or
	// was at the new node first.
	Arrive func(c *godwit.Conn, state []byte)

	// Place, if not nil, reports whether a player of this node may be moved to another one. Drain asks it.
	// It must not call methods of the Fleet, which waits for it with its lock held; those that wait return session.ErrInHandler.
	Place func(*godwit.Conn, Node) bool

	deadAfter, comingFor time.Duration // for tests; zero means the constants

	// Logger gets a line at level info when NATS is away and when it is back, and at level warn when
	// something is wrong. Nil means that warnings go to standard error. Its handler must not call methods of the Fleet, which
	// may wait for it with its lock held.
	Logger *slog.Logger

	ping time.Duration // time between two pings of NATS; zero means pingEvery
}

// Away says what happens while NATS is away.
type Away uint8

const (
	// AwayAdmit admits the client. What the fleet has to agree on is settled when NATS is back: of several
	// sessions with one name all but one are closed then.
	AwayAdmit Away = iota
	// AwayRefuse refuses the client with the status 503, so that it tries again.
	AwayRefuse
)

// String returns the choice in one word.
func (a Away) String() string {
	if a == AwayAdmit {
		return "admit"
	}
	return "refuse"
}

var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (c *Config) setDefaults(i instance) error {
	if c.Name == "" {
		host, _ := os.Hostname()
		c.Name = cmp.Or(host, "node") + "-" + i.String()[:6]
	}
	c.Prefix = cmp.Or(c.Prefix, "godwit")
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.MaxPending = cmp.Or(c.MaxPending, 8192)
	c.MaxPendingBytes = cmp.Or(c.MaxPendingBytes, 8<<20)
	c.MaxDelay = cmp.Or(c.MaxDelay, 2*time.Second)
	c.MaxGroups = cmp.Or(c.MaxGroups, 65536)
	c.MaxRequests = cmp.Or(c.MaxRequests, 4096)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 10*time.Second)
	c.ping = cmp.Or(c.ping, pingEvery)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxPending", int64(c.MaxPending)}, {"MaxPendingBytes", int64(c.MaxPendingBytes)}, {"MaxDelay", int64(c.MaxDelay)},
		{"MaxGroups", int64(c.MaxGroups)}, {"MaxRequests", int64(c.MaxRequests)}, {"RequestTimeout", int64(c.RequestTimeout)},
		{"Replicas", int64(c.Replicas)},
	} {
		if l.value < 0 {
			return fmt.Errorf("fleet: Config.%s is negative: use zero for the default, or a positive value", l.name)
		}
	}
	switch {
	case !validPrefix.MatchString(c.Prefix):
		return fmt.Errorf("fleet: Config.Prefix is %q, but must have 1 to 32 letters, digits, - and _", c.Prefix)
	case len(c.Name) > 64:
		return errors.New("fleet: Config.Name has more than 64 bytes")
	case c.WhenAway > AwayRefuse:
		return fmt.Errorf("fleet: Config.WhenAway is %d, but must be AwayAdmit or AwayRefuse", c.WhenAway)
	case c.NATS != "" && (c.Listen != "" || c.Dir != ""):
		return errors.New("fleet: Config.Listen and Dir are for the NATS server of this process, which Config.NATS replaces")
	case c.NATS == "" && c.Credentials != "":
		return errors.New("fleet: Config.Credentials are for Config.NATS, which is empty")
	}
	if c.Listen != "" && c.Password == "" { // a host name counts as one that others can reach

		if a, err := netip.ParseAddrPort(c.Listen); err != nil || !a.Addr().IsLoopback() {
			return fmt.Errorf("fleet: other machines can reach %q of Config.Listen: set User and Password, or listen at 127.0.0.1", c.Listen)
		}
	}
	return nil
}
