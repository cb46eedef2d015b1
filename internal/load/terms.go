package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/godwit-rtc/godwit/channel"
)

// terms are what a client of a godwit server must know to be let in.
type terms struct {
	channels channel.Channels
	schema   string // of requests and the connect message
	version  string // the program's
}

// maxTerms limits what a server may answer, in bytes.
const maxTerms = 128 << 10

// askTerms asks a server for its terms: it refuses who has others, and says what its
// own are (docs/SESSION.md, section 1).
func askTerms(ctx context.Context, signaling string) (t terms, err error) {
	for range 2 { // one may differ after the other: the version, then the table
		no, err := refusal(ctx, signaling, t.version)
		if err != nil {
			return t, err
		}
		switch no["code"] {
		case "app":
			t.version = no["server"]
		case "channels":
			table, err := channel.ParseTable(no["channels"])
			t.channels, t.schema = table.Channels, table.Schema
			return t, err
		default:
			return t, fmt.Errorf("load: the server does not tell its table of channels, but says: %s", no["error"])
		}
	}
	return t, errors.New("load: the server does not take the version that it says it has")
}

// refusal asks for a session with a table of channels that no server has.
func refusal(ctx context.Context, signaling, version string) (map[string]string, error) {
	u, err := url.Parse(signaling)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	q := u.Query()
	q.Set("v", "1")
	q.Set("kind", "native")
	q.Set("channels", "0000000000000000")
	q.Set("app", version)
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	r.Header.Set("Content-Type", "application/sdp")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxTerms))
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	no := make(map[string]string)
	if json.Unmarshal(b, &no) != nil {
		line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
		no["error"] = fmt.Sprintf("status %d, %.100s", resp.StatusCode, line)
	}
	return no, nil
}
