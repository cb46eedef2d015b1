package rtcserver

import (
	"fmt"
	"testing"
)

// Every value of an enumeration prints as a different word; an invalid value prints as
// "unknown".
func TestValuesPrintAsWords(t *testing.T) {
	seen := make(map[string]bool)
	check := func(kind string, n int, value func(i int) fmt.Stringer) {
		for i := range n {
			text := value(i).String()
			if text == "" || text == "unknown" || seen[kind+text] {
				t.Errorf("%s %d has the name %q, which is empty or used twice", kind, i, text)
			}
			seen[kind+text] = true
		}
		if text := value(255).String(); text != "unknown" {
			t.Errorf("%s 255 has the name %q, want unknown", kind, text)
		}
	}
	check("DropReason", int(dropReasons), func(i int) fmt.Stringer { return DropReason(i) })
	check("Kind", 2, func(i int) fmt.Stringer { return Kind(i) })
	check("LinkEventType", 5, func(i int) fmt.Stringer { return LinkEventType(i) })
	check("CloseCode", int(CloseNoAssociation), func(i int) fmt.Stringer {
		if i == 255 {
			return CloseCode(255)
		}
		return CloseCode(i + 1)
	})
}
