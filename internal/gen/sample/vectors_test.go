package sample

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/godwit-rtc/godwit/internal/gen"
	"github.com/godwit-rtc/godwit/internal/gen/values"
	"github.com/godwit-rtc/godwit/pack"
)

var update = flag.Bool("update", false, "write testdata/vectors.json")

type message interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
	GodwitSchema() string
}

// kinds has the types of the messages, and of the members of unions.
var kinds = map[string]reflect.Type{
	"Numbers": reflect.TypeFor[Numbers](), "World": reflect.TypeFor[World](), "Lists": reflect.TypeFor[Lists](),
	"Newer": reflect.TypeFor[Newer](), "Older": reflect.TypeFor[Older](), "Joined": reflect.TypeFor[Joined](),
	"Left": reflect.TypeFor[Left](), "Said": reflect.TypeFor[Said](), "Name": reflect.TypeFor[Name](), "Tick": reflect.TypeFor[Tick](),
}

// vector is a message in testdata/vectors.json. The tests of web read the file, too.
type vector struct {
	Message string
	Value   json.RawMessage // as values.Dump writes it
	Hex     string
}

// model returns the types of the messages, by name.
func model(tb testing.TB) map[string]*gen.StructType {
	p, err := gen.Load(".", "", "godwit_gen.go")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]*gen.StructType{}
	for _, s := range p.Messages() {
		all[s.Name] = s
	}
	return all
}

func vectors(tb testing.TB) []vector {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		tb.Fatal(err)
	}
	return all
}

func newMessage(name string) message { return reflect.New(kinds[name]).Interface().(message) }

func TestVectors(t *testing.T) {
	types := model(t)
	if *update {
		writeVectors(t, types)
	}
	for i, v := range vectors(t) {
		b, _ := hex.DecodeString(v.Hex)
		m := newMessage(v.Message)
		err := m.UnmarshalBinary(b)
		if tooWide(t, v) {
			if !errors.Is(err, pack.Error{Cause: pack.CauseRange}) {
				t.Errorf("%d: %s %s, whose int or uint has more than 32 bits: %v, want %v", i, v.Message, v.Hex, err, pack.CauseRange)
			}
			continue
		}
		if err != nil {
			t.Errorf("%d: %s %s: %v", i, v.Message, v.Hex, err)
			continue
		}
		if got := values.Struct(nil, types[v.Message], reflect.ValueOf(m).Elem()); string(got) != string(v.Value) {
			t.Errorf("%d: %s %s is\n%s, want\n%s", i, v.Message, v.Hex, got, v.Value)
		}
		again, err := m.AppendBinary([]byte("before"))
		if err != nil || string(again) != "before"+string(b) {
			t.Errorf("%d: %s is written as %x, %v, want %s", i, v.Message, again, err, v.Hex)
		}
	}
}

// tooWide reports whether a message has an int or a uint that this machine does not have.
func tooWide(t *testing.T, v vector) bool {
	t.Helper()
	var m struct {
		Int  int64
		Uint uint64
	}
	if strconv.IntSize == 64 || v.Message != "Numbers" {
		return false
	}
	if err := json.Unmarshal(v.Value, &m); err != nil {
		t.Fatal(err)
	}
	return m.Int != int64(int32(m.Int)) || m.Uint > math.MaxUint32
}

func writeVectors(t *testing.T, types map[string]*gen.StructType) {
	r := &values.Random{Rand: rand.New(rand.NewPCG(1, 2)), Members: kinds}
	var out bytes.Buffer
	out.WriteString("[\n")
	for i, name := range []string{"Numbers", "World", "Lists", "Newer", "Older", "Joined", "Name", "Tick"} {
		for j := range 12 {
			m := newMessage(name)
			if j > 0 || name == "World" { // a World without events cannot be written
				r.Struct(types[name], reflect.ValueOf(m).Elem())
			}
			b, err := m.AppendBinary(nil)
			if err == nil {
				err = m.UnmarshalBinary(b) // the value that the bytes say
			}
			if err != nil {
				t.Fatal(name, err)
			}
			if i+j > 0 {
				out.WriteString(",\n")
			}
			value := values.Struct(nil, types[name], reflect.ValueOf(m).Elem())
			out.WriteString(`{"Message":"` + name + `","Value":` + string(value) + `,"Hex":"` + hex.EncodeToString(b) + `"}`)
		}
	}
	out.WriteString("\n]\n")
	if err := os.WriteFile("testdata/vectors.json", out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecode reads bytes as each message: whatever is read can be written, in one way.
func FuzzDecode(f *testing.F) {
	names := []string{"Numbers", "World", "Lists", "Newer", "Older", "Joined", "Name", "Tick"}
	for _, v := range vectors(f) {
		b, _ := hex.DecodeString(v.Hex)
		for i, name := range names {
			if name == v.Message {
				f.Add(byte(i), b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		name := names[int(which)%len(names)]
		m := newMessage(name)
		if m.UnmarshalBinary(b) != nil {
			return
		}
		again, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatalf("%s was read but cannot be written: %v", name, err)
		}
		if name != "Newer" && name != "Older" && !bytes.Equal(again, b) {
			t.Fatalf("%s has two encodings: %x and %x", name, b, again)
		}
		second := newMessage(name)
		if err := second.UnmarshalBinary(again); err != nil {
			t.Fatal(err)
		}
		if third, err := second.AppendBinary(nil); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s changes: %x, %x, %v", name, again, third, err)
		}
	})
}
