package channel

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Each limit of a channel is accepted as a value, and the next value is refused.
func TestLimitsOfAChannel(t *testing.T) {
	for _, c := range []struct {
		field     string
		good, bad Channel // except the name, if it is empty in both
	}{
		{"Name", Channel{Name: "n"}, Channel{}},
		{"Name", Channel{Name: strings.Repeat("é", 32)}, Channel{Name: strings.Repeat("é", 32) + "e"}},
		{"Name", Channel{Name: "!"}, Channel{Name: "a b"}},
		{"Name", Channel{Name: "~"}, Channel{Name: "a\x7f"}},
		{"Name", Channel{Name: "\u0080"}, Channel{Name: "\x1f"}},
		{"Name", Channel{Name: "\ufffd"}, Channel{Name: "\xff"}},
		{"Mode", Channel{Mode: ReliableOrdered}, Channel{Mode: ReliableOrdered + 1}},
		{"Direction", Channel{Direction: ToClient}, Channel{Direction: ToClient + 1}},
		{"MaxMessage", Channel{MaxMessage: 1}, Channel{MaxMessage: -1}},
		{"MaxMessage", Channel{MaxMessage: 8 << 20}, Channel{MaxMessage: 8<<20 + 1}},
		{"QueueLimit", Channel{QueueLimit: 64 << 20}, Channel{QueueLimit: 64<<20 + 1}},
		{"QueueLimit", Channel{MaxMessage: 100, QueueLimit: 132}, Channel{MaxMessage: 100, QueueLimit: 131}},
		{"QueueLimit", Channel{QueueLimit: 16<<10 + 32}, Channel{QueueLimit: 16<<10 + 31}},
		{"QueueLimit", Channel{Mode: Sequenced, QueueLimit: 16<<10 + 32}, Channel{QueueLimit: -1}},
		{"QueueLimit", Channel{Mode: ReliableUnordered, QueueLimit: 256<<10 + 32}, Channel{Mode: ReliableUnordered, QueueLimit: 256<<10 + 31}},
		{"Priority", Channel{Priority: 7}, Channel{Priority: 8}},
		{"Priority", Channel{Priority: 1}, Channel{Priority: -1}},
		{"Guarantee", Channel{Guarantee: math.MaxInt32}, Channel{Guarantee: -1}},
		{"Weight", Channel{Weight: 1000}, Channel{Weight: 1001}},
		{"Weight", Channel{Weight: 1}, Channel{Weight: -1}},
		{"Copies", Channel{Copies: 16}, Channel{Copies: 17}},
		{"Copies", Channel{Copies: -1}, Channel{Copies: 1000}},
	} {
		if c.field != "Name" {
			c.good.Name, c.bad.Name = "chat", "chat"
		}
		if err := (Channels{c.good}).Validate(); err != nil {
			t.Errorf("Validate of %+v: %v, want nil", c.good, err)
		}
		label := c.bad.Name
		if label == "" {
			label = "#1"
		}
		var bad *TableError
		if err := (Channels{c.bad}).Validate(); !errors.As(err, &bad) || bad.Channel != label || bad.Field != c.field || bad.Problem == "" {
			t.Errorf("%+v: %v, want an error of %s", c.bad, err, c.field)
		}
	}
}

func TestLimitsOfATable(t *testing.T) {
	var table Channels
	for i := range MaxChannels {
		table = append(table, Channel{Name: "channel" + string(rune('0'+i))})
	}
	if err := table.Validate(); err != nil {
		t.Error(err)
	}
	many := append(table, Channel{Name: "one more"})
	for want, cs := range map[TableError]Channels{
		{Channel: "#64", Field: "table", Problem: "a table has at most 63 channels"}:                               many,
		{Channel: "a", Field: "Name", Problem: "the name is taken; names must differ"}:                             {{Name: "a"}, {Name: "b"}, {Name: "a"}},
		{Channel: "control", Field: "Name", Problem: "the name is taken; names must differ"}:                       {{Name: "control"}},
		{Channel: "#2", Field: "Name", Problem: "use 1 to 64 bytes of UTF-8 without spaces or control characters"}: {{Name: "a"}, {}},
	} {
		if err := cs.Validate(); !reflect.DeepEqual(err, error(&want)) {
			t.Errorf("%v, want %v", err, &want)
		}
	}
	if id, ok := table.ID("channel1"); id != 2 || !ok {
		t.Errorf("ID(\"channel1\") = %d, %v; want 2, true", id, ok)
	}
	if id, ok := table.ID("none"); id != 0 || ok {
		t.Errorf("ID(\"none\") = %d, %v; want 0, false", id, ok)
	}
	for id, want := range map[ID]string{0: "control", 1: "channel0", 63: table[62].Name, 64: ""} {
		if got := table.Name(id); got != want {
			t.Errorf("channel %d is called %q, want %q", id, got, want)
		}
	}
}

// A table's text has the defaults in it.
func TestDefaultsOfATable(t *testing.T) {
	table := Channels{
		{Name: "a"}, {Name: "b", Mode: Sequenced}, {Name: "c", Mode: ReliableUnordered, Priority: 3, Guarantee: math.MaxInt32, Weight: 5},
		{Name: "d", Mode: ReliableOrdered, MaxMessage: 2 << 20}, {Name: "e", MaxMessage: 65_505}, {Name: "f", MaxMessage: 65_504},
	}
	const want = "1 a unreliable both 16384 65536\n2 b sequenced both 16384 65536\n3 c reliable-unordered both 262144 1048576\n" +
		"4 d reliable-ordered both 2097152 2097184\n5 e unreliable both 65505 65537\n6 f unreliable both 65504 65536\n"
	if got := string(Table{Channels: table}.AppendText(nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for i, want := range []string{" 0 0 1", " 0 0 1", " 3 2147483647 5"} {
		line := string(table[i].AppendLine(nil, ID(i+1)))
		if got := string(table[i].AppendOpenLine([]byte("before "), ID(i+1))); got != "before "+line+want {
			t.Errorf("%q, want what is before, %q and %q", got, line, want)
		}
	}
}

// A line is read if it is how a channel is written, and in no other form.
func TestLinesOfATable(t *testing.T) {
	chat := Channel{Name: "chat", Mode: ReliableOrdered, Direction: ToClient, MaxMessage: 1000, QueueLimit: 5000}
	sending := chat
	sending.Priority, sending.Guarantee, sending.Weight = 7, 2147483647, 1000
	small, typed := chat, chat
	small.Compress, typed.Schema = true, "from:uint16;text:string(200)"
	both := sending
	both.Compress, both.Schema = true, ":json"
	for line, want := range map[string]Channel{
		"5 chat reliable-ordered to-client 1000 5000":                                  chat,
		"5 chat reliable-ordered to-client 1000 5000 7 2147483647 1000":                sending,
		"5 chat reliable-ordered to-client 1000 5000 deflate":                          small,
		"5 chat reliable-ordered to-client 1000 5000 =from:uint16;text:string(200)":    typed,
		"5 chat reliable-ordered to-client 1000 5000 7 2147483647 1000 deflate =:json": both,
	} {
		if got, ok := ParseChannel(line, 5); !ok || got != want {
			t.Errorf("ParseChannel(%q) = %+v, %v; want %+v, true", line, got, ok, want)
		}
	}
	for _, line := range []string{
		"", "5", "5 chat reliable-ordered to-client 1000", "5 chat reliable-ordered to-client 1000 ", " 5 chat reliable-ordered to-client 1000 5000",
		"5 chat sequenced to-client 1000 5000 deflate", "5 chat reliable-ordered to-client 1000 5000 deflate deflate",
		"5 chat reliable-ordered to-client 1000 5000 =", "5 chat reliable-ordered to-client 1000 5000 =:json deflate",
		"5 chat reliable-ordered to-client 1000 5000 =a =b", "5 chat reliable-ordered to-client 1000 5000 =" + strings.Repeat("x", 8<<10+1),
		"4 chat reliable-ordered to-client 1000 5000", "05 chat reliable-ordered to-client 1000 5000",
		"5  reliable-ordered to-client 1000 5000", "5 chat reliable to-client 1000 5000", "5 chat reliable-ordered from-client 1000 5000",
		"5 chat reliable-ordered to-client 0 2000000", "5 chat reliable-ordered to-client 1000 0", "5 chat reliable-ordered to-client 1000 1031",
		"5 chat reliable-ordered to-client x 5000", "5 chat reliable-ordered to-client 1000 x",
		"5 chat reliable-ordered to-client +1000 5000", "5 chat reliable-ordered to-client 1000 05000",
		"5 chat reliable-ordered to-client 10000000 20000000", "5 chat reliable-ordered to-client 1000 99999999999999999999",
		"5 chat reliable-ordered to-client 1000 5000 ", "5 chat reliable-ordered to-client 1000 5000 0 0", "5 chat reliable-ordered to-client 1000 5000 0 0 1 0",
		"5 chat reliable-ordered to-client 1000 5000 x 0 1", "5 chat reliable-ordered to-client 1000 5000 0 x 1", "5 chat reliable-ordered to-client 1000 5000 0 0 x",
		"5 chat reliable-ordered to-client 1000 5000 8 0 1", "5 chat reliable-ordered to-client 1000 5000 0 -1 1", "5 chat reliable-ordered to-client 1000 5000 0 0 1001",
		"5 chat reliable-ordered to-client 1000 5000 0 0 0", "5 chat reliable-ordered to-client 1000 5000 0 0 +1", "5 chat reliable-ordered to-client 1000 5000 0 2147483648 1",
		"5 chat reliable-ordered to-client +1000 5000 0 0 1",
	} {
		if got, ok := ParseChannel(line, 5); ok {
			t.Errorf("ParseChannel(%q) = %+v, true; want false", line, got)
		}
	}
}

// The error of a table's text names the line, or the channel and the field.
func TestTextThatIsNoTable(t *testing.T) {
	const good = "1 a unreliable both 16384 65536\n"
	for want, text := range map[TableError]string{
		{Channel: "#1", Field: "table", Problem: "not the text of a table"}: "\n",
		{Channel: "#2", Field: "table", Problem: "not the text of a table"}: good + "3 b unreliable both 16384 65536\n",
		{Channel: "#3", Field: "table", Problem: "not the text of a table"}: good + "2 b unreliable both 16384 65536\n\n",
		{Channel: "#4", Field: "table", Problem: "not the text of a table"}: good + "2 b unreliable both 1 65536\n3 c unreliable both 1 65536\n4 d unreliable both 1 65536 0 0 1\n",
		{Channel: "b", Field: "Mode", Problem: "unknown"}:                   good + "2 b unheard-of both 16384 65536\n",
		{Channel: "b", Field: "Direction", Problem: "unknown"}:              good + "2 b unreliable neither 16384 65536\n",
	} {
		if table, err := ParseTable(text); table.Channels != nil || !reflect.DeepEqual(err, error(&want)) {
			t.Errorf("%q: %v, want %v", text, err, &want)
		}
	}
	long := good + strings.Repeat("x", 64<<10-len(good))
	for text, line := range map[string]string{long: "#2", long + "x": "#1"} {
		var bad *TableError
		if _, err := ParseTable(text); !errors.As(err, &bad) || bad.Channel != line {
			t.Errorf("%d bytes: %v, want what is wrong with line %s", len(text), err, line)
		}
	}
	if table, err := ParseTable(strings.TrimSuffix(good, "\n")); err != nil || len(table.Channels) != 1 || table.Channels[0].Name != "a" {
		t.Errorf("without the last line feed: %v, %v; want one channel", table, err)
	}
}

// The error names the first difference of two tables, with both values.
func TestDifferencesOfTables(t *testing.T) {
	ours := Channels{{Name: "a", Mode: Sequenced}, {Name: "b", Direction: ToServer, MaxMessage: 10, QueueLimit: 100}}
	change := func(f func(c *Channel)) Channels {
		theirs := append(Channels(nil), ours...)
		f(&theirs[1])
		return theirs
	}
	for want, theirs := range map[TableError]Channels{
		{Channel: "b", Field: "Name", Ours: `"b"`, Theirs: `"c"`}:              change(func(c *Channel) { c.Name = "c" }),
		{Channel: "b", Field: "Mode", Ours: "unreliable", Theirs: "sequenced"}: change(func(c *Channel) { c.Mode = Sequenced }),
		{Channel: "b", Field: "Direction", Ours: "to-server", Theirs: "both"}:  change(func(c *Channel) { c.Direction = Both }),
		{Channel: "b", Field: "MaxMessage", Ours: "10", Theirs: "11"}:          change(func(c *Channel) { c.MaxMessage = 11 }),
		{Channel: "b", Field: "QueueLimit", Ours: "100", Theirs: "101"}:        change(func(c *Channel) { c.QueueLimit = 101 }),
		{Channel: "b", Field: "Compress", Ours: "false", Theirs: "true"}:       change(func(c *Channel) { c.Compress = true }),
		{Channel: "b", Field: "channel", Ours: "number 2", Theirs: "missing"}:  ours[:1],
		{Channel: "c", Field: "channel", Ours: "missing", Theirs: "number 3"}:  append(ours[:2:2], Channel{Name: "c"}),
		{Channel: "a", Field: "MaxMessage", Ours: "16384", Theirs: "16385"}:    {{Name: "a", Mode: Sequenced, MaxMessage: 16385}},
	} {
		if err := (Table{Channels: ours}).Compare(Table{Channels: theirs}); !reflect.DeepEqual(err, error(&want)) {
			t.Errorf("%v, want %v", err, &want)
		}
	}
	same := change(func(c *Channel) { c.Priority, c.Guarantee, c.Weight, c.Copies = 1, 2, 3, 4 })
	same[0].MaxMessage, same[0].QueueLimit = 16384, 65536
	if err := (Table{Channels: ours}).Compare(Table{Channels: same}); err != nil || hashOf(same) != hashOf(ours) {
		t.Errorf("explicit defaults, or how an end sends, make a difference: %v", err)
	}
}

// What a peer can make an end hold is the queues of the channels that it may send on,
// and the control channel's 256 KiB.
func TestMostThatIsHeld(t *testing.T) {
	table := Channels{
		{Name: "both", QueueLimit: 20_000}, {Name: "up", Direction: ToServer, QueueLimit: 40_000},
		{Name: "down", Direction: ToClient, Mode: ReliableOrdered, QueueLimit: 300_000}, {Name: "default", Direction: ToClient},
	}
	if server, client := table.MaxHeld(true), table.MaxHeld(false); server != 256<<10+60_000 || client != 256<<10+320_000+64<<10 {
		t.Errorf("a server holds at most %d bytes, want %d; a client %d, want %d", server, 256<<10+60_000, client, 256<<10+320_000+64<<10)
	}
}

// A table with its defaults written out is the same table, and the original does not change.
func TestTableWithItsDefaults(t *testing.T) {
	table := Channels{{Name: "a"}, {Name: "b", Mode: ReliableOrdered, MaxMessage: 10}, {Name: "c", QueueLimit: 1 << 20, Weight: 3}}
	was := slices.Clone(table)
	full := table.WithDefaults()
	for i, want := range []Channel{
		{Name: "a", MaxMessage: 16 << 10, QueueLimit: 64 << 10, Weight: 1},
		{Name: "b", Mode: ReliableOrdered, MaxMessage: 10, QueueLimit: 1 << 20, Weight: 1},
		{Name: "c", MaxMessage: 16 << 10, QueueLimit: 1 << 20, Weight: 3},
	} {
		if full[i] != want {
			t.Errorf("%+v, want %+v", full[i], want)
		}
	}
	if !slices.Equal(table, was) || hashOf(full) != hashOf(table) || !slices.Equal(full.WithDefaults(), full) {
		t.Error("WithDefaults changes the table or its hash, or is not the same when it is repeated")
	}
}
