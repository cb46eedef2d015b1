package godwit

import (
	"strings"
	"testing"
)

// Some limits may be negative, which is none. The others would let nothing through.
func TestNegativeLimitsAreErrors(t *testing.T) {
	for name, c := range map[string]Config{
		"MaxUsedTokens": {MaxUsedTokens: -1},
		"MaxConns":      {MaxConns: -1},
		"MaxRequests":   {MaxRequests: -1},
		"Silence":       {Silence: -1},
		"OpenTimeout":   {OpenTimeout: -1},
		"Rate":          {Rate: -1},
		"Floor":         {Floor: -1},
	} {
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config."+name+" is negative") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	c := Config{Grace: -1, Ceiling: -1, Limits: Limits{Messages: -1, Bytes: -1, Requests: -1}}
	if err := c.setDefaults(); err != nil {
		t.Errorf("no limit: %v", err)
	}
}
