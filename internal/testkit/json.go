package testkit

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// GetJSON sends a GET request and decodes the answer, which must have the status 200, into a value; nil means that the answer does
// not matter.
func GetJSON(t testing.TB, url string, into any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %s %s", url, err, resp.Status, b)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
	}
}
