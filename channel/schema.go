package channel

import (
	"cmp"
	"hash/fnv"
	"strconv"
	"strings"
)

// A Table is what must be the same at both ends: the channels, and the schema of what the
// program sends without a channel.
type Table struct {
	Channels Channels

	// Schema has the form of Channel.Schema, and says what requests and the connect message
	// are. Empty means that they are bytes.
	Schema string
}

// AppendText appends the table as text, of which Hash is the hash. Each channel is one
// line: number, name, mode, direction, MaxMessage, QueueLimit, then "deflate" if Compress is
// true, and "=" with the Schema if there is one. The text has defaults in place of zero
// values, so a table with zero values equals one that states the defaults. If Schema is not
// empty, the text begins with a line of the control channel, number 0, which has the
// Schema.
func (t Table) AppendText(b []byte) []byte {
	if t.Schema != "" {
		control := controlChannel
		control.Schema = t.Schema
		b = append(control.AppendLine(b, Control), '\n')
	}
	for i := range t.Channels {
		b = append(t.Channels[i].AppendLine(b, ID(i+1)), '\n')
	}
	return b
}

// Hash returns the 64-bit FNV-1a hash of the table's text. Equal tables have equal
// hashes.
//
// https://datatracker.ietf.org/doc/html/draft-eastlake-fnv
func (t Table) Hash() uint64 {
	h := fnv.New64a()
	h.Write(t.AppendText(nil))
	return h.Sum64()
}

// Validate returns nil if the table is valid, else a *TableError that says what is wrong.
func (t Table) Validate() error {
	if len(t.Schema) > maxSchema || !plain(t.Schema) {
		return &TableError{Channel: controlChannel.Name, Field: "Schema", Problem: problemSchema}
	}
	if err := t.Channels.Validate(); err != nil {
		return err
	}
	if len(t.AppendText(nil)) > maxText {
		return &TableError{Channel: controlChannel.Name, Field: "Schema", Problem: "all schemas together have more than 64 KiB"}
	}
	return nil
}

// ParseTable reads the text of AppendText, at most 64 KiB. The error is a *TableError.
func ParseTable(text string) (Table, error) {
	bad := func(id int) (Table, error) {
		return Table{}, &TableError{Channel: "#" + strconv.Itoa(id), Field: "table", Problem: "not the text of a table"}
	}
	if len(text) > maxText {
		return bad(1)
	}
	var t Table
	if strings.HasPrefix(text, "0 ") {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		control, ok := parseFields(line, Control, false)
		if t.Schema, control.Schema = control.Schema, ""; !ok || t.Schema == "" || control.withDefaults() != controlChannel {
			return bad(0)
		}
	}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if text == "" {
			break
		}
		c, ok := parseFields(line, ID(min(i, MaxChannels)+1), false)
		if !ok {
			return bad(i + 1)
		}
		t.Channels = append(t.Channels, c)
	}
	if err := t.Validate(); err != nil {
		return Table{}, err
	}
	return t, nil
}

// Compare returns nil if the client's table t and the server's table have the same text,
// else a *TableError that names the first difference: of the channels, else of the schemas.
func (t Table) Compare(server Table) error {
	for i := range min(len(t.Channels), len(server.Channels)) {
		a, b := t.Channels[i].withDefaults(), server.Channels[i].withDefaults()
		for _, f := range []struct{ name, ours, theirs string }{
			{"Name", strconv.Quote(a.Name), strconv.Quote(b.Name)},
			{"Mode", a.Mode.String(), b.Mode.String()},
			{"Direction", a.Direction.String(), b.Direction.String()},
			{"MaxMessage", strconv.Itoa(a.MaxMessage), strconv.Itoa(b.MaxMessage)},
			{"QueueLimit", strconv.Itoa(a.QueueLimit), strconv.Itoa(b.QueueLimit)},
			{"Compress", strconv.FormatBool(a.Compress), strconv.FormatBool(b.Compress)},
		} {
			if f.ours != f.theirs {
				return &TableError{Channel: label(t.Channels, i), Field: f.name, Ours: f.ours, Theirs: f.theirs}
			}
		}
	}
	switch n := len(server.Channels); {
	case len(t.Channels) > n:
		return &TableError{Channel: label(t.Channels, n), Field: "channel", Ours: "number " + strconv.Itoa(n+1), Theirs: "missing"}
	case len(t.Channels) < n:
		return &TableError{Channel: label(server.Channels, len(t.Channels)), Field: "channel", Ours: "missing", Theirs: "number " + strconv.Itoa(len(t.Channels)+1)}
	}
	for i := range t.Channels {
		if err := compareSchemas(t.Channels[i].Name, t.Channels[i].Schema, server.Channels[i].Schema); err != nil {
			return err
		}
	}
	return compareSchemas("", t.Schema, server.Schema)
}

// compareSchemas returns nil or the first entry in which two schemas differ. name is the
// name of their channel.
func compareSchemas(name, ours, theirs string) error {
	if ours == theirs {
		return nil
	}
	differ := func(path, a, b string) error {
		if name == "" && path == "" {
			name = "requests"
		}
		return &TableError{Channel: name, Field: path, Schema: true, Ours: a, Theirs: b}
	}
	if ours == "" || theirs == "" {
		a, _, _ := strings.Cut(ours, ";")
		b, _, _ := strings.Cut(theirs, ";")
		return differ("", cmp.Or(a, "bytes"), cmp.Or(b, "bytes"))
	}
	for {
		a, oursLeft, _ := strings.Cut(ours, ";")
		b, theirsLeft, _ := strings.Cut(theirs, ";")
		if a == b && oursLeft != theirsLeft {
			ours, theirs = oursLeft, theirsLeft
			continue
		}
		path, mine, _ := strings.Cut(a, ":")
		other, yours, _ := strings.Cut(b, ":")
		switch {
		case a == b: // one of them has a semicolon at the end
			return differ("", cmp.Or(ours, "nothing"), cmp.Or(theirs, "nothing"))
		case a == "":
			return differ(other, "nothing", yours)
		case b == "":
			return differ(path, mine, "nothing")
		case path == other:
			return differ(path, mine, yours)
		}
		return differ("", a, b) // other fields
	}
}
