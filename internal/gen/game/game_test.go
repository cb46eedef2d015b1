package game

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"testing"
)

type message interface {
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// example is a message with the code that a person has written for it.
type example struct {
	name   string
	m      message
	append func([]byte) []byte
	parse  func([]byte) (any, error)
	allocs float64 // of UnmarshalBinary
}

func examples() []example {
	input, snapshot, line, inventory, join := Examples()
	return []example{
		{"input", input, func(b []byte) []byte { return appendInput(b, input) },
			func(b []byte) (any, error) { var m Input; err := parseInput(b, &m); return &m, err }, 0},
		{"snapshot", snapshot, func(b []byte) []byte { return appendSnapshot(b, snapshot) },
			func(b []byte) (any, error) { var m Snapshot; err := parseSnapshot(b, &m); return &m, err }, 1},
		{"chat", line, func(b []byte) []byte { return appendLine(b, line) },
			func(b []byte) (any, error) { var m Line; err := parseLine(b, &m); return &m, err }, 1},
		{"inventory", inventory, func(b []byte) []byte { return appendInventory(b, inventory) },
			func(b []byte) (any, error) { var m Inventory; err := parseInventory(b, &m); return &m, err }, 1},
		{"join", join, func(b []byte) []byte { return appendJoin(b, join) },
			func(b []byte) (any, error) { var m Join; err := parseJoin(b, &m); return &m, err }, 1},
	}
}

func TestTheSameBytesAsByHand(t *testing.T) {
	for _, e := range examples() {
		b, err := e.m.AppendBinary(nil)
		if hand := e.append(nil); err != nil || !bytes.Equal(b, hand) {
			t.Errorf("%s: %x, %v, want %x", e.name, b, err, hand)
		}
		got := reflect.New(reflect.TypeOf(e.m).Elem()).Interface().(message)
		if err := got.UnmarshalBinary(b); err != nil {
			t.Errorf("%s: %v", e.name, err)
		}
		if hand, err := e.parse(b); err != nil || !reflect.DeepEqual(got, hand) {
			t.Errorf("%s is %v, %v, want %v", e.name, got, err, hand)
		}
		if again, _ := got.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Errorf("%s changes: %x, want %x", e.name, again, b)
		}
	}
}

func TestAllocations(t *testing.T) {
	for _, e := range examples() {
		buf := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { e.m.AppendBinary(buf) }); n != 0 {
			t.Errorf("%s: writing allocates %v times", e.name, n)
		}
		b, _ := e.m.AppendBinary(nil)
		m := reflect.New(reflect.TypeOf(e.m).Elem()).Interface().(message)
		if n := testing.AllocsPerRun(100, func() { m.UnmarshalBinary(b) }); n != e.allocs {
			t.Errorf("%s: reading allocates %v times, want %v", e.name, n, e.allocs)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	buf := make([]byte, 0, 4096)
	for _, e := range examples() {
		b.Run(e.name+"/generated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.m.AppendBinary(buf)
			}
		})
		b.Run(e.name+"/hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.append(buf)
			}
		})
		b.Run(e.name+"/json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				json.Marshal(e.m)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	input, snapshot, line, inventory, join := Examples()
	hands := []func([]byte) error{
		func(b []byte) error { return parseInput(b, input) },
		func(b []byte) error { return parseSnapshot(b, snapshot) },
		func(b []byte) error { return parseLine(b, line) },
		func(b []byte) error { return parseInventory(b, inventory) },
		func(b []byte) error { return parseJoin(b, join) },
	}
	for i, e := range examples() {
		msg, _ := e.m.AppendBinary(nil)
		text, _ := json.Marshal(e.m)
		b.Run(e.name+"/generated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if e.m.UnmarshalBinary(msg) != nil {
					b.Fatal()
				}
			}
		})
		b.Run(e.name+"/hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if hands[i](msg) != nil {
					b.Fatal()
				}
			}
		})
		b.Run(e.name+"/json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if json.Unmarshal(text, e.m) != nil {
					b.Fatal()
				}
			}
		})
	}
}
