package typed

import (
	"errors"
	"iter"
	"reflect"
	"sync/atomic"

	"github.com/godwit-rtc/godwit/pack"
)

// BadStats are the numbers of messages that could not be decoded, by cause. The causes are those
// of package pack, which generated code uses; Other has the errors of other codecs, such as JSON.
type BadStats struct {
	Truncated, Trailing, Range, Length, UTF8, Form, Other uint64
}

// Total returns the sum over all causes.
func (s BadStats) Total() uint64 {
	n := uint64(0)
	for _, k := range s.ByCause() {
		n += k
	}
	return n
}

// ByCause yields each cause in a word, and its number.
func (s BadStats) ByCause() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, n := range s.fields() {
			name := "other"
			if i > 0 {
				name = pack.Cause(i).String()
			}
			if !yield(name, *n) {
				return
			}
		}
	}
}

// Bad yields the name of each row of game, a struct of [New], and how many of its messages could not
// be decoded, at all ends of sessions in this process.
func Bad[G any](game *G) iter.Seq2[string, BadStats] {
	return func(yield func(string, BadStats) bool) {
		stop := errors.New("enough")
		eachHandle(game, func(_ reflect.StructField, h handle) error {
			if !yield(h.Name(), h.Bad()) {
				return stop
			}
			return nil
		})
	}
}

// fields returns the numbers by pack.Cause; the number of none is that of the others.
func (s *BadStats) fields() [causes]*uint64 {
	return [causes]*uint64{
		&s.Other,
		pack.CauseTruncated: &s.Truncated, pack.CauseTrailing: &s.Trailing, pack.CauseRange: &s.Range,
		pack.CauseLength: &s.Length, pack.CauseUTF8: &s.UTF8, pack.CauseForm: &s.Form,
	}
}

const causes = int(pack.CauseForm) + 1

// counters are BadStats that any goroutine may add to.
type counters [causes]atomic.Uint64

func (c *counters) add(err error) {
	e, _ := errors.AsType[pack.Error](err)
	if int(e.Cause) >= causes {
		e.Cause = 0
	}
	c[e.Cause].Add(1) // 0 stands for other errors
}

// addTo adds the numbers to those of s.
func (c *counters) addTo(s *BadStats) {
	for i, n := range s.fields() {
		*n += c[i].Load()
	}
}

// cause says in a word or a few why a message is bad.
func cause(err error) string {
	if e, ok := errors.AsType[pack.Error](err); ok {
		return e.Cause.String()
	}
	return err.Error()
}
