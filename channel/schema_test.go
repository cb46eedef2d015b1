package channel

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func hashOf(cs Channels) uint64 { return Table{Channels: cs}.Hash() }

// The schemas are in the text and so in the hash, and the text is read again.
func TestSchemasAreInTheTable(t *testing.T) {
	table := Table{
		Channels: Channels{{Name: "world", Mode: Sequenced, Schema: "tick:uint32"}, {Name: "chat", Mode: ReliableOrdered, Compress: true}},
		Schema:   "join.request.name:string(16)",
	}
	const want = "0 control reliable-ordered both 65536 262144 =join.request.name:string(16)\n1 world sequenced both 16384 65536 =tick:uint32\n" +
		"2 chat reliable-ordered both 262144 1048576 deflate\n"
	if got := string(table.AppendText(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	back, err := ParseTable(want)
	if err != nil || string(back.AppendText(nil)) != want {
		t.Errorf("read again: %+v, %v", back, err)
	}
	for _, text := range []string{"0 control reliable-ordered both 65536 262144 =\n", "0 control reliable-ordered both 65536 262144 =a b\n", "0 control reliable-ordered both 65536 262144\n", "0 control reliable-ordered both 65536 262144 1 =a\n", "0 control reliable-ordered both 65536 262145 =a\n", "0 control reliable-ordered both 65536 262144 =" + strings.Repeat("x", 8<<10+1) + "\n"} {
		if got, err := ParseTable(text); err == nil {
			t.Errorf("%.20q is read as %+v, want an error", text, got)
		}
	}
}

// The schema of a table has up to 8 KiB, and the text of a table up to 64 KiB.
func TestLargestSchemas(t *testing.T) {
	var table Table
	for i := range 8 {
		table.Channels = append(table.Channels, Channel{Name: string(rune('a' + i)), Schema: strings.Repeat("x", maxSchema-200)})
	}
	table.Schema = "x"
	table.Schema = strings.Repeat("x", maxText-len(table.AppendText(nil))+1)
	if n := len(table.AppendText(nil)); n != maxText || table.Validate() != nil {
		t.Errorf("a text of %d bytes: %v", n, table.Validate())
	}
	if table.Schema += "x"; table.Validate() == nil {
		t.Error("a text of more than 64 KiB is valid")
	}
	table = Table{Schema: strings.Repeat("x", maxSchema)}
	if err := table.Validate(); err != nil {
		t.Errorf("a schema of 8 KiB: %v", err)
	}
	if table.Schema += "x"; table.Validate() == nil {
		t.Error("a schema of more than 8 KiB is valid")
	}
}

// The error names the first entry that differs, with both types.
func TestDifferencesOfSchemas(t *testing.T) {
	const world = "tick:uint32;boxes:list(100);boxes[].x:float32"
	for _, c := range []struct{ ours, theirs, want string }{
		{"boxes[].x:uint16", "boxes[].x:float32", "world.boxes[].x: server float32, client uint16"},
		{world, strings.Replace(world, "100", "50", 1), "world.boxes: server list(50), client list(100)"},
		{world, world + ";away:bool", "world.away: server bool, client nothing"},
		{world + ";away:bool", world, "world.away: server nothing, client bool"},
		{world, "time:uint32;boxes:list(100)", "world: server time:uint32, client tick:uint32"},
		{"", world, "world: server tick:uint32, client bytes"},
		{world, "", "world: server bytes, client tick:uint32"},
		{":json", world, "world: server tick:uint32, client :json"},
		{"tick:uint32;away:bool", "tick:uint32;away:bool;", "world: server away:bool;, client away:bool"},
		{"tick:uint32;;", "tick:uint32;", "world: server nothing, client ;"},
	} {
		ours, theirs := Table{Channels: Channels{{Name: "world", Schema: c.ours}}}, Table{Channels: Channels{{Name: "world", Schema: c.theirs}}}
		err := ours.Compare(theirs)
		if err == nil || !strings.Contains(err.Error(), ": "+c.want+";") {
			t.Errorf("%v, want it to say %q", err, c.want)
		}
		if err := theirs.Compare(theirs); err != nil {
			t.Errorf("a table differs from itself: %v", err)
		}
	}
	for want, theirs := range map[string]string{
		"join.request.name: server string(20), client string(16)": "join.request.name:string(20)",
		"requests: server bytes, client join.request.name:string": "",
	} {
		err := Table{Schema: "join.request.name:string(16)"}.Compare(Table{Schema: theirs})
		if err == nil || !strings.Contains(err.Error(), ": "+want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
}

// Schemas have limits, because a server sends them to strangers.
func TestLimitsOfSchemas(t *testing.T) {
	long := strings.Repeat("x", 8<<10)
	many := Table{}
	for i := range 8 {
		many.Channels = append(many.Channels, Channel{Name: string(rune('a' + i)), Schema: long})
	}
	const one, all = "use at most 8 KiB of UTF-8 without spaces or control characters", "all schemas together have more than 64 KiB"
	for name, c := range map[string]struct {
		table          Table
		about, problem string
	}{
		"a space":               {Table{Channels: Channels{{Name: "a", Schema: "a b"}}}, "a", one},
		"8 KiB and a byte":      {Table{Channels: Channels{{Name: "a", Schema: long + "x"}}}, "a", one},
		"of requests: a space":  {Table{Schema: "a b"}, "control", one},
		"of requests: too long": {Table{Schema: long + "x"}, "control", one},
		"64 KiB together":       {many, "control", all},
	} {
		var bad *TableError
		if err := c.table.Validate(); !errors.As(err, &bad) || *bad != (TableError{Channel: c.about, Field: "Schema", Problem: c.problem}) {
			t.Errorf("%s: %v, want an error of the field Schema of channel %q: %s", name, err, c.about, c.problem)
		}
	}
	if err := (Table{Channels: many.Channels[:7], Schema: long[:7<<10]}).Validate(); err != nil {
		t.Errorf("within the limits: %v", err)
	}
	m, err := New(time.Unix(0, 0), Config{Server: true})
	if err != nil {
		t.Fatal(err)
	}
	want := TableError{Channel: "a", Field: "Schema", Problem: "a channel that is opened at run time has none"}
	var bad *TableError
	if err := m.Open(1, Channel{Name: "a", Schema: "x:bool"}, false); !errors.As(err, &bad) || *bad != want {
		t.Errorf("opening a channel with a Schema at run time: %v, want %v", err, &want)
	}
}
