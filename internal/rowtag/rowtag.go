// Package rowtag reads the struct tags of a table of typed messages. Package typed reads them
// in a program that runs, and godwit-gen in its source, so both have the same rules.
package rowtag

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/godwit-rtc/godwit/channel"
)

// Key is the key of the tags: `godwit:"sequenced,max=2048"`.
const Key = "godwit"

// A Row is what the tag of a field says.
type Row struct {
	// Channel has no Direction and no Schema: they come from the type of the field. Of a request
	// and of a connect message only the Name is set.
	Channel channel.Channel
	JSON    bool // the messages are JSON
}

var modes = []string{"unreliable", "sequenced", "reliable-unordered", "reliable-ordered"}

var errComma = errors.New("the tag has a comma with nothing behind it")

// ParseChannel reads the tag of a field that is a channel. The mode is first; then come, in any
// order and separated by commas, name, max, queue, priority, guarantee, weight and copies, each
// with = and a value, compress and json.
func ParseChannel(field, tag string) (Row, error) {
	first, rest, more := strings.Cut(tag, ",")
	mode := slices.Index(modes, first)
	if tag == "" {
		return Row{}, errors.New(`a channel needs a tag that begins with its mode, such as godwit:"sequenced"`)
	}
	if mode < 0 {
		return Row{}, fmt.Errorf("the tag begins with %q, but must begin with unreliable, sequenced, reliable-unordered or reliable-ordered", first)
	}
	if more && rest == "" {
		return Row{}, errComma
	}
	r := Row{Channel: channel.Channel{Mode: channel.Mode(mode)}}
	return r, r.parse(field, rest, map[string]*int{
		"max": &r.Channel.MaxMessage, "queue": &r.Channel.QueueLimit, "priority": &r.Channel.Priority,
		"guarantee": &r.Channel.Guarantee, "weight": &r.Channel.Weight, "copies": &r.Channel.Copies,
	}, map[string]*bool{"compress": &r.Channel.Compress, "json": &r.JSON})
}

// Parse reads the tag of a field that is a request or a connect message: name and json.
func Parse(field, tag string) (Row, error) {
	var r Row
	return r, r.parse(field, tag, nil, map[string]*bool{"json": &r.JSON})
}

// parse reads the settings of a tag: numbers, and words that stand alone.
func (r *Row) parse(field, settings string, numbers map[string]*int, words map[string]*bool) error {
	r.Channel.Name = Name(field)
	if settings == "" {
		return nil
	}
	seen := make(map[string]bool)
	for s := range strings.SplitSeq(settings, ",") {
		key, value, has := strings.Cut(s, "=")
		if seen[key] {
			return fmt.Errorf("the tag has %s twice", key)
		}
		seen[key] = true
		number, word := numbers[key], words[key]
		switch {
		case word != nil && !has:
			*word = true
		case key == "name" && value != "":
			r.Channel.Name = value
		case number != nil:
			n, err := strconv.Atoi(value)
			if err != nil {
				return fmt.Errorf("the tag has %q, but %s needs a number", s, key)
			}
			*number = n
		case s == "":
			return errComma
		default:
			return fmt.Errorf("the tag has %q, which is not known", s)
		}
	}
	return nil
}

// Name returns the name that a field of Go has on the wire and in TypeScript: Input is input,
// TickCount is tickCount, ID is id, and URLPath is urlPath.
func Name(field string) string {
	r := []rune(field)
	n := 0 // how many letters become small
	for n < len(r) && unicode.IsUpper(r[n]) {
		n++
	}
	if n > 1 && n < len(r) && unicode.IsLower(r[n]) {
		n-- // the last capital begins the next word
	}
	for i := range n {
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}

// JSON is the schema of messages that are JSON.
const JSON = ":json"

// Under returns the schema of a message that is a part of a larger one, at path: its entries
// with path in front of theirs.
func Under(path, schema string) string {
	if schema == "" {
		return ""
	}
	entries := strings.Split(schema, ";")
	for i, e := range entries {
		if !strings.HasPrefix(e, ":") { // which stands for the message itself
			e = "." + e
		}
		entries[i] = path + e
	}
	return strings.Join(entries, ";")
}
