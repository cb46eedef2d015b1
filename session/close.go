package session

import (
	"fmt"
	"strconv"
)

// A CloseCode says why a session ended. Both ends get the same number. The codes from
// CloseProgram, 256, to 65535 are for the program, which gives them a meaning. Section 5
// of docs/SESSION.md has the numbers.
type CloseCode uint32

// The codes. After CloseShutdown, CloseTimeout and CloseMoved a client may begin a new session by
// itself. Package client and the browser client do so if the program asks for it.
const (
	CloseNormal        CloseCode = 0   // the program, or the player, has finished
	CloseKicked        CloseCode = 1   // the server's program called Conn.Kick
	CloseShutdown      CloseCode = 2   // the server shuts down
	CloseProtocolError CloseCode = 3   // the other end broke the protocol: see Text
	CloseAuth          CloseCode = 4   // the credentials have expired, or the server's program says that they are not valid
	CloseReplaced      CloseCode = 5   // the same Identity connected once more
	CloseTimeout       CloseCode = 6   // interrupted for too long: see godwit.Config.Grace; or the path is too narrow: see Text
	CloseDuplicate     CloseCode = 7   // the same Identity is connected already
	CloseMoved         CloseCode = 8   // the server's program called Conn.Move: the client continues at another server; with a Text at the server, the move took too long
	CloseLimitMessages CloseCode = 16  // too many messages per second
	CloseLimitBytes    CloseCode = 17  // too many bytes per second
	CloseLimitSize     CloseCode = 18  // a message larger than its channel allows
	CloseLimitEarly    CloseCode = 19  // too much sent before the session was open
	CloseLimitRequests CloseCode = 20  // so many requests that there was no room to queue their rejections
	CloseProgram       CloseCode = 256 // the first code of the program's own
)

var closeNames = map[CloseCode]string{
	CloseNormal: "normal", CloseKicked: "kicked", CloseShutdown: "shutdown", CloseProtocolError: "protocol error",
	CloseAuth: "auth", CloseReplaced: "replaced", CloseTimeout: "timeout", CloseDuplicate: "duplicate", CloseMoved: "moved",
	CloseLimitMessages: "limit: messages", CloseLimitBytes: "limit: bytes", CloseLimitSize: "limit: size",
	CloseLimitEarly: "limit: early", CloseLimitRequests: "limit: requests",
}

// String returns the name of the code, or "code" and its number.
func (c CloseCode) String() string {
	if s, ok := closeNames[c]; ok {
		return s
	}
	return "code " + strconv.FormatUint(uint64(c), 10)
}

// A CloseReason says why a session ended. Both ends get one.
type CloseReason struct {
	Code   CloseCode
	Text   string // at most MaxText bytes
	Remote bool   // the other end ended the session

	// LostOut is the number of bytes of this end's reliable messages that were not
	// acknowledged when the session ended: the other end's program may not have got them.
	// LostIn is the LostOut of the other end, which the other end sends when it closes the
	// session; zero if this end did not get it.
	LostOut, LostIn uint64
}

// String returns the reason in words, for a log.
func (r CloseReason) String() string {
	who := "closed here"
	if r.Remote {
		who = "closed by the other end"
	}
	s := fmt.Sprintf("%s: %v", who, r.Code)
	if r.Text != "" {
		s += ": " + r.Text
	}
	if r.LostOut > 0 {
		s += fmt.Sprintf(" (gave up %d bytes)", r.LostOut)
	}
	if r.LostIn > 0 {
		s += fmt.Sprintf(" (%d bytes did not arrive)", r.LostIn)
	}
	return s
}
