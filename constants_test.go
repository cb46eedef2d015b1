package godwit

import (
	"encoding/json"
	"os"
	"testing"
)

// The browser client has this protocol version: web/test/constants.test.ts reads the same file.
func TestProtocolVersionIsThatOfTheBrowserClient(t *testing.T) {
	text, err := os.ReadFile("internal/conform/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Client struct{ ProtocolVersion int } }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if want.Client.ProtocolVersion != protocolVersion {
		t.Errorf("the protocol version is %d, in constants.json %d", protocolVersion, want.Client.ProtocolVersion)
	}
}
