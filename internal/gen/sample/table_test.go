package sample

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/typed"
)

// TestTheModuleHasTheTableOfTheServer compares what package typed makes of the table with what godwit-gen has written
// for pages: with another schema no page could connect.
func TestTheModuleHasTheTableOfTheServer(t *testing.T) {
	cfg, err := typed.Server(typed.Must[Table](), godwit.Config{})
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("sample.js")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("  schema: %q,\n", cfg.Schema)}
	for _, c := range cfg.Channels {
		line := fmt.Sprintf("{ name: %q, mode: %q, direction: %q", c.Name, c.Mode, c.Direction)
		want = append(want, line)
		if c.Schema != "" {
			want = append(want, fmt.Sprintf("schema: %q }", c.Schema))
		}
		if c.Compress != strings.Contains(string(module), line+", compress: true") {
			t.Errorf("%s: compress is %v in Go only", c.Name, c.Compress)
		}
	}
	for _, w := range want {
		if !strings.Contains(string(module), w) {
			t.Errorf("sample.js has no %s", w)
		}
	}
}
