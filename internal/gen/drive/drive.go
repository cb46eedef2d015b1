// Package drive compares the generated code of both languages: with random values, and with bytes that
// are no messages. internal/gen/differ makes programs that call it.
package drive

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/godwit-rtc/godwit/internal/gen"
	"github.com/godwit-rtc/godwit/internal/gen/values"
	"github.com/godwit-rtc/godwit/pack"
)

// Config says what to compare.
type Config struct {
	Messages []*gen.StructType
	Types    map[string]reflect.Type // the messages and the members of unions, by name
	Script   string                  // web/test/messagepeer.ts as JavaScript
	Module   string                  // the generated module, with a default export: the codecs
	Seed     uint64
	Cases    int
}

// message is a message of generated code.
type message interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// test is one case that the end in TypeScript answers.
type test struct {
	kind byte
	of   int // message
	data []byte
	want string
}

const batchBytes = 256 << 10

// Run compares, and returns how many cases were equal and the first difference.
func Run(c Config) (int, error) {
	p, err := startPeer(c.Script, c.Module)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	r := &values.Random{Rand: rand.New(rand.NewPCG(c.Seed, 1)), Members: c.Types}
	done := 0
	for done < c.Cases {
		var tests []test
		var batch []byte
		for len(batch) < batchBytes && done+len(tests) < c.Cases {
			more := c.random(r)
			for _, t := range more {
				batch = appendCase(batch, t.kind, t.of, t.data)
			}
			tests = append(tests, more...)
		}
		answers, err := p.ask(batch)
		if err != nil {
			return done, err
		}
		for i, t := range tests {
			if got := string(answers[i]); got != t.want && !t.same(got) {
				return done, fmt.Errorf("%s: %s\n        in: %q\n        Go: %q\nTypeScript: %q",
					c.Messages[t.of].Name, []string{"a value", "bytes"}[t.kind], t.data, t.want, got)
			}
			if done++; done%500_000 == 0 {
				fmt.Fprintln(os.Stderr, done, "cases so far")
			}
		}
	}
	return done, nil
}

// same returns whether two failures count as one. The two read different numbers of bits at once, so a message that is
// too short and has something else wrong may fail for either reason. A union that is nil is a range error in Go, and
// undefined where the code expects an object in TypeScript.
// A map with keys that the enumeration does not have is in another order in the two.
func (t *test) same(got string) bool {
	want := t.want
	if want == "!range" && strings.HasPrefix(got, "!TypeError: Cannot read properties of undefined") {
		return true
	}
	odd := got == "!truncated" || want == "!truncated" || t.kind == caseValue && bytes.Contains(t.data, []byte(`"?"`))
	return odd && slices.Contains(refusals, got) && slices.Contains(refusals, want)
}

var refusals = func() []string {
	var all []string
	for _, c := range pack.Causes() {
		all = append(all, "!"+c.String())
	}
	return all
}()

// random returns the cases of one random value: the value, its bytes, and bytes that are nearly these.
func (c *Config) random(r *values.Random) []test {
	of := r.IntN(len(c.Messages))
	s := c.Messages[of]
	r.Odd = []int{0, 0, 20, 200}[r.IntN(4)]
	v := reflect.New(c.Types[s.GoName()])
	r.Struct(s, v.Elem())
	b, err := v.Interface().(message).AppendBinary(nil)
	tests := []test{{caseValue, of, values.Struct(nil, s, v.Elem()), outcome(err, b)}}
	if err != nil {
		b = make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	tests = append(tests, c.reading(of, b))
	for range 3 {
		tests = append(tests, c.reading(of, mutated(r, b)))
	}
	return tests
}

// mutated returns a copy of b with a few changes.
func mutated(r *values.Random, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		switch n := len(b); {
		case n == 0 || r.IntN(8) == 0:
			b = append(b, byte(r.Uint32()))
		case r.IntN(8) == 0:
			b = b[:r.IntN(n)]
		case r.IntN(3) == 0:
			b[r.IntN(n)] = byte(r.Uint32())
		case r.IntN(8) == 0:
			i := r.IntN(n)
			b = append(b[:i], b[i+1:]...)
		default:
			b[r.IntN(n)] ^= 1 << r.IntN(8)
		}
	}
	return b
}

// reading returns the case that b is read: the value, and the value written again.
func (c *Config) reading(of int, b []byte) test {
	s := c.Messages[of]
	v := reflect.New(c.Types[s.GoName()])
	t := test{kind: caseBytes, of: of, data: b}
	if err := v.Interface().(message).UnmarshalBinary(b); err != nil {
		t.want = outcome(err, nil)
		return t
	}
	again, err := v.Interface().(message).AppendBinary(nil)
	if err == nil && s.Mark < 0 && !bytes.Equal(again, b) {
		panic(fmt.Sprintf("%s: two encodings of one value: %x and %x", s.Name, b, again))
	}
	dump := values.Struct(nil, s, v.Elem())
	t.want = outcome(err, append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(dump))), dump...), again...))
	return t
}

func outcome(err error, b []byte) string {
	if e, ok := errors.AsType[pack.Error](err); ok {
		return "!" + e.Cause.String()
	} else if err != nil {
		return "!" + err.Error()
	}
	return "\x00" + string(b)
}
