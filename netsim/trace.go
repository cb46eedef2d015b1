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

// A Fate says what happened to one datagram: it is one line of a trace.
//
// A trace is a text of JSON objects, one on each line, in the order in which
// the datagrams were sent:
//
//	{"at":0,"path":"up-1","size":1200,"after":[50000000]}
//	{"at":16666667,"path":"up-1","size":1200,"drop":"lost"}
//	{"at":33333333,"path":"up-1","size":1200,"after":[50000000,61000000],"flip":[-1,17]}
//
// Times are in nanoseconds. A line has either "after" or "drop". Empty lines are ignored.
type Fate struct {
	// At is the time from the first datagram of the trace to the sending of this one.
	At time.Duration `json:"at"`

	// Path is the name of the path: "10.0.0.1>10.0.0.2" on a Network; "up-1" or "down-1"
	// for the first client of a Relay, "up-2" or "down-2" for the second.
	Path string `json:"path"`

	// Size is the size of the payload in bytes.
	Size int `json:"size"`

	// Drop says why the datagram did not arrive: in a trace "lost", "queue", "mtu", "tap"
	// or "overflow".
	Drop Drop `json:"drop,omitempty"`

	// After are the times from At to each arrival: one, or more if the datagram was
	// duplicated.
	After []time.Duration `json:"after,omitempty"`

	// Flip is the index of the inverted bit in each arrival, or -1. It is empty if no
	// arrival is damaged.
	Flip []int `json:"flip,omitempty"`
}

// MarshalText returns the name of a Drop in a trace.
func (d Drop) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the name of a Drop in a trace.
func (d *Drop) UnmarshalText(b []byte) error {
	i := slices.Index(dropNames[:], string(b))
	if i <= 0 {
		return fmt.Errorf("%q is not a cause of a drop", b)
	}
	*d = Drop(i)
	return nil
}

const (
	maxTrace    = 1 << 22 // datagrams of a trace: 19 hours at 60 per second
	maxArrivals = 16      // arrivals of one datagram
)

// errTraceTooLong is the error of [ReadTrace] for a trace of more than 4,194,304 datagrams.
var errTraceTooLong = errors.New("netsim: trace too long")

// ReadTrace reads a whole trace. An error names the line.
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
			return nil, errTraceTooLong
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

// A Recorder writes a trace. Any number of wires, networks and relays may use the same
// Recorder, from any goroutine. Call Flush at the end.
type Recorder struct {
	mu    sync.Mutex // guards everything below; no other lock is taken under it
	w     *bufio.Writer
	first time.Time
	begun bool
}

// NewRecorder returns a Recorder that writes to w. The times of the trace count from the
// first datagram.
func NewRecorder(w io.Writer) *Recorder { return &Recorder{w: bufio.NewWriterSize(w, 1<<16)} }

// Flush writes the rest of the trace, which is still in memory. It returns the first error
// of any write; fates that were recorded after this error are lost.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.Flush()
}

// write records a datagram. Flush returns an error of the bufio.Writer. path is quoted
// already.
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

// quote returns s as a JSON string.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // names of paths contain >
	e.Encode(s)            // never fails for a string
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

// list returns the text before the i-th value of a list.
func list(open string, i int) string {
	if i == 0 {
		return open
	}
	return ","
}
