package godwit

import (
	"math"
	"net/netip"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A LocalConfig is a client in the same process.
type LocalConfig struct {
	Identity Identity
	Hello    []byte  // the connect message, at most MaxHello bytes
	Handler  Handler // the client's
	User     any     // of the client's end
}

// Local connects a client in the same process, for a game with one player and for
// tests. It returns the client's end, which is a Conn like the server's: what it
// sends goes to the server's Handler, what the server sends to its own. Nothing of
// it leaves the process, and nothing is lost. Nobody is asked for authorization,
// and MaxConns counts it but does not refuse it. With Config.Manual, [Server.Poll]
// runs both ends, and yields what either has no func for.
func (s *Server) Local(lc LocalConfig) (*Conn, error) {
	ours, err := s.newConn(lc.Identity, InProcess, math.MaxInt, netip.Addr{})
	if err != nil {
		return nil, err
	}
	theirs := &Conn{server: s, handler: &lc.Handler, identity: lc.Identity, kind: InProcess, made: ours.made, User: lc.User}
	theirs.session, err = session.New(theirs.made, session.Config{
		Channel: channel.Config{Channels: s.config.Channels, Ceiling: -1, Rate: 1 << 20},
		Hello:   lc.Hello,
	})
	if err != nil {
		s.forget(ours)
		return nil, err
	}
	if !s.local.connect(ours, theirs) {
		s.forget(ours)
		return nil, ErrClosed
	}
	return theirs, nil
}
