// Package messages compares the messages of internal/gen/game with other formats.
package messages

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/godwit-rtc/godwit/internal/gen/game"
)

// protobuf appends the fields of a struct as generated code for proto3 would: integers as uint32 or sint32, floats
// as float, times as int64, lists of structs as repeated messages, and no zeros.
func protobuf(b []byte, v reflect.Value) []byte {
	for i := range v.NumField() {
		n, f := protowire.Number(i+1), v.Field(i)
		if f.IsZero() {
			continue
		}
		switch {
		case f.Type() == reflect.TypeFor[time.Time]():
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(f.Interface().(time.Time).UnixMilli()))
		case f.Kind() == reflect.Bool:
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, 1)
		case f.CanInt():
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, protowire.EncodeZigZag(f.Int()))
		case f.CanUint():
			b = protowire.AppendTag(b, n, protowire.VarintType)
			b = protowire.AppendVarint(b, f.Uint())
		case f.CanFloat():
			b = protowire.AppendTag(b, n, protowire.Fixed32Type)
			b = protowire.AppendFixed32(b, math.Float32bits(float32(f.Float())))
		case f.Kind() == reflect.String:
			b = protowire.AppendTag(b, n, protowire.BytesType)
			b = protowire.AppendString(b, f.String())
		case f.Kind() == reflect.Slice:
			for j := range f.Len() {
				b = protowire.AppendTag(b, n, protowire.BytesType)
				b = protowire.AppendBytes(b, protobuf(nil, f.Index(j)))
			}
		default:
			panic(f.Type())
		}
	}
	return b
}

// TestOursAreTheSmallest compares the sizes of five messages.
func TestOursAreTheSmallest(t *testing.T) {
	input, snapshot, line, inventory, join := game.Examples()
	for _, m := range []encoding.BinaryAppender{input, snapshot, line, inventory, join} {
		ours, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(m)
		maps, err := msgpack.Marshal(reflect.ValueOf(m).Elem().Interface())
		if err != nil {
			t.Fatal(err)
		}
		proto := protobuf(nil, reflect.ValueOf(m).Elem())
		t.Logf("%-15T %5d bytes, protobuf %5d, MessagePack %5d, JSON %5d", m, len(ours), len(proto), len(maps), len(text))
		if len(ours) >= min(len(proto), len(maps), len(text)) {
			t.Errorf("%T is not the smallest", m)
		}
	}
}
