package sessioncore

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// The browser client has the same constants: web/test/constants.test.ts reads the same
// file.
func TestConstantsAreThoseOfTheBrowserClient(t *testing.T) {
	text, err := os.ReadFile("../conform/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Session    map[string]float64
		CloseCodes map[string]session.CloseCode
		Statuses   []string
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	c := Config{}
	c.setDefaults()
	constants := map[string]float64{
		"typeHello": typeHello, "typeWelcome": typeWelcome, "typeRequest": typeRequest, "typeReply": typeReply,
		"typeAck": typeAck, "typeReject": typeReject, "typeHere": typeHere, "typeOpen": typeOpen,
		"typeOpened": typeOpened, "typeShut": typeShut, "typeMove": typeMove, "typeExtension": typeExtension,
		"takesOpen": takesOpen, "takesSending": takesSending, "takesShut": takesShut, "takesOwn": takesOwn, "takesMove": takesMove, "maxMove": session.MaxMove,
		"maxHello": session.MaxHello, "maxName": session.MaxName, "maxText": session.MaxText, "maxPayload": session.MaxRequest,
		"maxOwn": maxOwn, "maxEarly": maxEarly, "maxWaiting": float64(c.MaxWaiting), "maxCode": float64(maxCode),
		"silence": ms(c.Silence), "keepAlive": ms(c.Channel.KeepAlive), "silenceTrips": silenceTrips, "grace": ms(c.Grace),
		"openTimeout": ms(c.OpenTimeout), "drainTime": ms(c.DrainTimeout), "answerTime": ms(answerTime),
	}
	if !maps.Equal(constants, want.Session) {
		t.Errorf("the constants of Go are\n%v\nthose of constants.json\n%v", constants, want.Session)
	}
	codes := map[string]session.CloseCode{
		"Normal": session.CloseNormal, "Kicked": session.CloseKicked, "Shutdown": session.CloseShutdown,
		"ProtocolError": session.CloseProtocolError, "Auth": session.CloseAuth, "Replaced": session.CloseReplaced,
		"Timeout": session.CloseTimeout, "Duplicate": session.CloseDuplicate, "Moved": session.CloseMoved,
		"LimitMessages": session.CloseLimitMessages, "LimitBytes": session.CloseLimitBytes,
		"LimitSize": session.CloseLimitSize, "LimitEarly": session.CloseLimitEarly,
		"LimitRequests": session.CloseLimitRequests, "Program": session.CloseProgram,
	}
	if !maps.Equal(codes, want.CloseCodes) {
		t.Errorf("the close codes of Go are\n%v\nthose of constants.json\n%v", codes, want.CloseCodes)
	}
	var statuses []string
	for s := session.StatusSending; s <= session.StatusResponseLost; s++ {
		statuses = append(statuses, strings.ReplaceAll(s.String(), " ", "-"))
	}
	if !slices.Equal(statuses, want.Statuses) {
		t.Errorf("the statuses of Go are %q, those of constants.json %q", statuses, want.Statuses)
	}
}
