package godwit

import (
	"log/slog"
	"reflect"
	"testing"

	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Config.RTC and Config.RTCHandler reach the WebRTC side. The server sets every other field of
// the rtcserver.Config itself.
func TestWebRTCSideGetsItsSettingsAndTheFieldsOfTheServer(t *testing.T) {
	var s Server
	s.config.Manual, s.config.Logger = true, slog.Default()
	s.config.RTC = rtcserver.Settings{MaxConns: 3, Origins: []string{"https://game.example"}, AllowReliable: true}
	s.config.RTCHandler.Open = func(*rtcserver.Conn) {}
	s.config.Links = []string{session.LinkWebSocket} // which is LinksOnly
	got := s.rtcConfig()
	if s.config.Links = []string{session.LinkWebRTC}; got.Direct != nil || s.rtcConfig().Direct == nil {
		t.Error("Direct is set without WebRTC, or not set with it")
	}
	if !reflect.DeepEqual(got.Settings, s.config.RTC) {
		t.Errorf("the settings are %+v, want %+v", got.Settings, s.config.RTC)
	}
	v := reflect.ValueOf(got)
	for i := range v.NumField() {
		if v.Field(i).IsZero() && v.Type().Field(i).Name != "Direct" { // which is for WebRTC
			t.Errorf("the server does not set %s", v.Type().Field(i).Name)
		}
	}
}
