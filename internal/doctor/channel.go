package doctor

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/client"
)

// openChannel opens a data channel as a page does, with a second offer.
func (v *visit) openChannel(ctx context.Context) bool {
	if v.answer == nil || !v.overUDP {
		v.skip("channel", "not tried: nothing answers over UDP")
		return true
	}
	token := v.takeToken()
	var refused *response
	e, err := client.Listen(":0", client.Config{AnswerTimeout: 2 * v.config.Wait})
	if err != nil {
		v.fail("channel", FaultChannel, "", "no socket: %v", err)
		return true
	}
	defer e.Close()
	var began time.Time
	c, err := e.Connect(ctx, func(ctx context.Context, offer []byte) ([]byte, error) {
		resp, err := v.post(ctx, offer, token)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			refused = resp
			return nil, errors.New(resp.Status)
		}
		began = time.Now()
		return []byte(parseAnswer(resp.body).Answer.SDP), nil
	}, nil)
	switch {
	case refused != nil:
		said := parseRefusal(refused.body)
		v.skip("channel", "not tried: the server refuses a second offer (%s); a token is usually good once, so give a second -token", said.Error)
	case err != nil:
		v.fail("channel", FaultChannel, "something on the way lets only STUN through, or only short datagrams: players need the WebSocket", "checks are answered, but no data channel opens: %v", rootCause(err))
	default:
		took := time.Since(began)
		c.Close()
		v.report(Result{Check: "channel", Text: "a data channel opens, " + brief(took) + " after the answer", Data: map[string]any{"opened": ms(took)}})
	}
	return true
}
