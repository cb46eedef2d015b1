package closed_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/sctp"
	"github.com/godwit-rtc/godwit/session"
)

// TestOneErrorForWhatIsClosed compares the errors that the packages export.
func TestOneErrorForWhatIsClosed(t *testing.T) {
	for name, err := range map[string]error{
		"rtcserver": rtcserver.ErrClosed, "channel": channel.ErrClosed, "sctp": sctp.ErrClosed, "session": session.ErrClosed,
	} {
		if !errors.Is(err, session.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s.ErrClosed is %v: not the error of the other packages, or not net.ErrClosed", name, err)
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("%s.ErrClosed is io.EOF", name)
		}
	}
}
