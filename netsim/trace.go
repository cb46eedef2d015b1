package netsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fate is what became of one datagram: one line of a trace.
//
// A trace is a text of JSON objects, one on each line, in the order in which
// the datagrams were sent:
//
//	{"at":0,"path":"up-1","size":1200,"after":[50000000]}
//	{"at":16666667,"path":"up-1","size":1200,"drop":"lost"}
//	{"at":33333333,"path":"up-1","size":1200,"after":[50000000,61000000],"flip":[-1,17]}
//
// Times are nanoseconds. A line without "after" has "drop" and the other way
// round. Empty lines do not count.
type Fate struct {
	// At is when it was sent, since the first datagram of the trace.
	At time.Duration `json:"at"`

	// Path is which way it went: "10.0.0.1>10.0.0.2" on a Network; "up-1" or
	// "down-1" for the first client of a Relay, "up-2" for the second.
	Path string `json:"path"`

	// Size is that of the payload.
	Size int `json:"size"`

	// Drop is why it did not arrive: "lost", "queue", "mtu", "tap" or
	// "overflow" in a trace.
	Drop Drop `json:"drop,omitempty"`

	// After is how long after At it arrived, once or more often.
	After []time.Duration `json:"after,omitempty"`

	// Flip is the bit inverted in each of the arrivals, or -1. Without
	// damage it is empty.
	Flip []int `json:"flip,omitempty"`
}

// MarshalText returns the name of a cause in a trace.
func (d Drop) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText understands the names of causes.
func (d *Drop) UnmarshalText(b []byte) error {
	i := slices.Index(dropNames[:], string(b))
	if i <= 0 {
		return fmt.Errorf("%q is no cause of a drop", b)
	}
	*d = Drop(i)
	return nil
}

const (
	maxTrace    = 1 << 22 // datagrams: 19 hours of 60 a second
	maxArrivals = 16      // of one datagram
)

// ErrTraceTooLong is the error of [ReadTrace] for more than 4,194,304 datagrams.
var ErrTraceTooLong = errors.New("netsim: trace too long")

// ReadTrace reads a trace to its end. Errors name the line.
func ReadTrace(r io.Reader) ([]Fate, error) {
	var trace []Fate
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var f Fate
		err := json.Unmarshal(line, &f)
		if err == nil {
			err = f.check()
		}
		if err != nil {
			return nil, fmt.Errorf("netsim: trace, line %d: %w", n, err)
		}
		if len(trace) == maxTrace {
			return nil, ErrTraceTooLong
		}
		trace = append(trace, f)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("netsim: trace: %w", err)
	}
	return trace, nil
}

// check returns what is wrong with a line.
func (f *Fate) check() error {
	switch {
	case f.At < 0:
		return errors.New("at is negative")
	case f.Size < 0 || f.Size > 65535:
		return fmt.Errorf("size %d is not from 0 to 65535", f.Size)
	case (len(f.After) == 0) == (f.Drop == DropNone):
		return errors.New("it needs either drop or after")
	case len(f.After) > maxArrivals:
		return fmt.Errorf("more than %d arrivals", maxArrivals)
	case len(f.Flip) != 0 && len(f.Flip) != len(f.After):
		return errors.New("flip and after differ in length")
	}
	for _, a := range f.After {
		if a < 0 {
			return errors.New("after is negative")
		}
	}
	for i, bit := range f.Flip {
		if bit < -1 {
			return fmt.Errorf("flip %d is %d", i, bit)
		}
	}
	return nil
}

// A Recorder writes a trace. It may be given to any number of wires, networks
// and relays, and is safe for concurrent use. Call Flush when all is recorded.
type Recorder struct {
	mu    sync.Mutex // guards everything below; no other lock is taken under it
	w     *bufio.Writer
	first time.Time
	begun bool
}

// NewRecorder returns a recorder that writes to w. The first datagram begins
// its time.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{w: bufio.NewWriterSize(w, 1<<16)} }

// Flush writes out what is still in memory. Its error is the first one of any
// write; what was recorded after that is gone.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.Flush()
}

// write records a datagram. An error stays in the bufio.Writer until Flush.
// The path is in quotes already.
func (r *Recorder) write(path string, now time.Time, size int, drop Drop, ds []Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun {
		r.first, r.begun = now, true
	}
	b := r.w.AvailableBuffer()
	b = append(b, `{"at":`...)
	b = strconv.AppendInt(b, max(0, int64(now.Sub(r.first))), 10)
	b = append(b, `,"path":`...)
	b = append(b, path...)
	b = append(b, `,"size":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	if drop != DropNone {
		b = append(b, `,"drop":"`...)
		b = append(b, drop.String()...)
		b = append(b, '"')
	} else {
		b = appendArrivals(b, now, ds)
	}
	r.w.Write(append(b, "}\n"...))
}

// quote returns s as JSON has it.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // names of paths contain >
	e.Encode(s)            // a string always can be
	return string(bytes.TrimSpace(b.Bytes()))
}

// appendArrivals appends the lists of an arrival's times and damage.
func appendArrivals(b []byte, now time.Time, ds []Delivery) []byte {
	damaged := false
	for i, d := range ds {
		b = append(b, list(`,"after":[`, i)...)
		b = strconv.AppendInt(b, int64(d.At.Sub(now)), 10)
		damaged = damaged || d.Flip >= 0
	}
	b = append(b, ']')
	if !damaged {
		return b
	}
	for i, d := range ds {
		b = append(b, list(`,"flip":[`, i)...)
		b = strconv.AppendInt(b, int64(d.Flip), 10)
	}
	return append(b, ']')
}

// list is what stands before the i-th value of a list.
func list(open string, i int) string {
	if i == 0 {
		return open
	}
	return ","
}
