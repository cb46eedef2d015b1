package godwit

import (
	"math"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// A LocalConfig configures a client in the same process.
type LocalConfig struct {
	Identity Identity
	Hello    []byte  // the connect message, at most MaxHello bytes
	Handler  Handler // handler of the client's end
	User     any     // Conn.User of the client's end
}

// Local connects a client in the same process, for a game with one player and for tests.
// It returns the client's end of the session, a Conn. Messages that this Conn sends go to
// Config.Handler; messages of the server go to LocalConfig.Handler. No datagram leaves
// the process, and none is lost. Local does not call Config.Authorize or check a token.
// The session counts towards MaxConns, but Local does not refuse it because of MaxConns.
// With Config.Manual, [Server.Poll] runs both ends and yields the events that their
// handlers have no func for. Local returns session.ErrClosed if the server is closed,
// shuts down or drains, and session.ErrHello if Hello is too long.
func (s *Server) Local(lc LocalConfig) (*Conn, error) {
	ours, err := s.newConn(lc.Identity, KindInProcess, math.MaxInt, netip.Addr{})
	if err != nil {
		return nil, err
	}
	theirs := &Conn{server: s, handler: &lc.Handler, identity: lc.Identity, kind: KindInProcess, User: lc.User}
	theirs.session, err = sessioncore.New(time.Now(), sessioncore.Config{
		Channel: channel.Config{Channels: s.config.Channels, Ceiling: -1, Rate: 1 << 20},
		Hello:   lc.Hello,
		Limits:  session.Limits{Messages: -1, Bytes: -1}, // of what the server sends: Config.Limits are for clients
	})
	if err != nil {
		s.forget(ours)
		return nil, err
	}
	if !s.links.connect(ours, theirs) {
		s.forget(ours)
		return nil, session.ErrClosed
	}
	return theirs, nil
}
