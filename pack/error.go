package pack

import "github.com/godwit-rtc/godwit/internal/enum"

// Cause says why bytes are no message of the type, or why a value cannot be written.
type Cause uint8

const (
	causeNone      Cause = iota
	CauseTruncated       // the message ends too soon
	CauseTrailing        // bytes behind the message
	CauseRange           // a number, name or kind of event that the type does not have
	CauseLength          // more bytes or elements than the type allows
	CauseUTF8            // a string that is not UTF-8
	CauseForm            // not the only encoding of a value: padding, order of keys, a number that could be shorter
)

var causes = [...]string{
	CauseTruncated: "truncated",
	CauseTrailing:  "trailing",
	CauseRange:     "range",
	CauseLength:    "length",
	CauseUTF8:      "utf8",
	CauseForm:      "form",
}

func (c Cause) String() string { return enum.Name(c, causes[:]) }

// Causes returns every Cause, in order.
func Causes() []Cause {
	return []Cause{CauseTruncated, CauseTrailing, CauseRange, CauseLength, CauseUTF8, CauseForm}
}

// Error is what AppendBinary and UnmarshalBinary of generated code return. Two Errors of one Cause
// are equal, so errors.Is finds them.
type Error struct {
	Cause Cause
}

func (e Error) Error() string { return "pack: " + e.Cause.String() }

func failed(c Cause) error {
	if c == causeNone {
		return nil
	}
	return Error{c}
}
