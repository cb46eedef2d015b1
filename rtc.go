package godwit

import (
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// rtcConfig returns the configuration of the server's WebRTC side.
func (s *Server) rtcConfig() rtcserver.Config {
	return rtcserver.Config{
		Settings: s.config.RTC, Handler: s.config.RTCHandler,
		Authorize: s.authorize, Engine: s.engine, Resumes: resumes,
		Direct: s.rtcDirect(),
		Links:  s.offerLinks, LinksOnly: !s.config.offers(session.LinkWebRTC), Upgrade: s.upgrade,
		Manual: s.config.Manual, Logger: s.config.Logger,
	}
}
