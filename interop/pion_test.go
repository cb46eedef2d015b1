package interop

import (
	"context"

	"github.com/godwit-rtc/godwit/interop/pionserver"
)

var pionServers = implementation{name: "pion", listen: listenPion}

// pionServer adapts a server of pion/webrtc to the tests.
type pionServer struct{ *pionserver.Server }

func (s pionServer) Shutdown(context.Context) error { return s.Close() }

func listenPion(addr string, config config) (server, error) {
	s, err := pionserver.Listen(addr, pionserver.Config{
		Public:     config.public,
		Negotiated: config.negotiated,
		SNAP:       config.snap,
		KeyLog:     config.keyLog,
		Handler: pionserver.Handler{
			Open: func(c *pionserver.Conn) { config.open(c) },
			Message: func(c *pionserver.Conn, m pionserver.Message) {
				config.message(c, message{m.Stream, m.Label, m.Text, m.Data})
			},
			Close: func(c *pionserver.Conn, why string) { config.close(c, why) },
		},
	})
	return pionServer{s}, err
}
