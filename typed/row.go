package typed

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/rowtag"
	"github.com/godwit-rtc/godwit/session"
)

// A codec is what one row needs to know about the type of its messages. Its methods may be
// called from any goroutine.
type codec[T any] struct {
	row  *row
	what string // name of the message in errors
	json bool
	free chan *box[T] // boxes that nobody uses
	bad  counters
}

// A row is what all rows of a table have, whatever their types.
type row struct {
	table *table
	field string // field of the struct, for errors
	name  string
	id    channel.ID // 0 if the row is not a channel
	// fatal means that a bad message ends the session.
	fatal bool
}

// A box holds a value while it is encoded or decoded, so that the interfaces that point to the
// value need not be made for each message.
type box[T any] struct {
	value       T
	appender    encoding.BinaryAppender
	unmarshaler encoding.BinaryUnmarshaler
	b           []byte
}

// Limits of the boxes that wait to be used again: how many for each row, and the bytes of the
// largest message for which memory is kept.
const (
	maxBoxes = 16
	maxKept  = 64 << 10
)

var errNoTable = errors.New("typed: the row is of a struct that neither typed.New nor typed.Must has made")

// set makes the codec of a row ready. It returns an error if T has no codec.
func (c *codec[T]) set(r *row, what string, json bool) error {
	c.row, c.what, c.json, c.free = r, what, json, make(chan *box[T], maxBoxes)
	if x := newBox[T](); !json && (x.appender == nil || x.unmarshaler == nil) {
		return fmt.Errorf("%T has no methods AppendBinary and UnmarshalBinary: run godwit-gen, or write json in the tag", x.value)
	}
	return nil
}

// schema returns the text that stands for the type in the table.
func (c *codec[T]) schema() string {
	if c.json {
		return rowtag.JSON
	}
	if s, ok := any(new(T)).(interface{ GodwitSchema() string }); ok {
		return s.GodwitSchema()
	}
	return ""
}

func newBox[T any]() *box[T] {
	x := new(box[T])
	x.appender, _ = any(&x.value).(encoding.BinaryAppender)
	x.unmarshaler, _ = any(&x.value).(encoding.BinaryUnmarshaler)
	return x
}

// take returns a box, whose value is zero.
func (c *codec[T]) take() *box[T] {
	select {
	case x := <-c.free:
		return x
	default:
		return newBox[T]()
	}
}

// put makes x free for the next message.
func (c *codec[T]) put(x *box[T]) {
	var zero T
	x.value = zero
	if cap(x.b) > maxKept {
		x.b = nil
	}
	select {
	case c.free <- x:
	default:
	}
}

// encode returns a box whose b is the message.
func (c *codec[T]) encode(m T) (*box[T], error) {
	if c.row == nil {
		return nil, errNoTable
	}
	x := c.take()
	x.value = m
	var err error
	if c.json {
		x.b, err = json.Marshal(&x.value)
	} else {
		x.b, err = x.appender.AppendBinary(x.b[:0])
	}
	if err != nil {
		c.put(x)
		return nil, fmt.Errorf("typed: %s: %w", c.what, err)
	}
	return x, nil
}

// decode reads a message, and does not count a bad one.
func (c *codec[T]) decode(b []byte) (m T, err error) {
	if c.row == nil {
		return m, errNoTable
	}
	x := c.take()
	if c.json {
		err = json.Unmarshal(b, &x.value)
	} else {
		err = x.unmarshaler.UnmarshalBinary(b)
	}
	if err == nil {
		m = x.value
	}
	c.put(x)
	return m, err
}

// receive reads a message of the other end. A bad one is counted, and ends the session where
// the row says so; then ok is false.
func (c *codec[T]) receive(e session.End, b []byte) (m T, ok bool) {
	m, err := c.decode(b)
	if err == nil {
		return m, true
	}
	c.refuse(e, err)
	return m, false
}

// refuse counts a bad message and ends the session where the row says so.
func (c *codec[T]) refuse(e session.End, err error) {
	c.bad.add(err)
	if c.row.fatal {
		e.Close(session.CloseProtocolError, c.what+": "+cause(err))
	}
}

// Name returns the name of the row.
func (c *codec[T]) Name() string {
	if c.row == nil {
		return ""
	}
	return c.row.name
}

// Encode appends the encoding of m to b.
func (c *codec[T]) Encode(b []byte, m T) ([]byte, error) {
	x, err := c.encode(m)
	if err != nil {
		return b, err
	}
	b = append(b, x.b...)
	c.put(x)
	return b, nil
}

// Decode reads a message, for programs that get bytes, from Poll or from their own Message
// func. The caller decides what a bad message means: Decode does not count it.
func (c *codec[T]) Decode(b []byte) (T, error) {
	m, err := c.decode(b)
	if err != nil && c.row != nil {
		err = fmt.Errorf("typed: %s: %w", c.what, err)
	}
	return m, err
}

// Bad returns how many messages of the row could not be decoded, at all ends of sessions in
// this process.
func (c *codec[T]) Bad() (s BadStats) {
	c.bad.addTo(&s)
	return s
}
