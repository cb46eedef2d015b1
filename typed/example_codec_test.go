package typed_test

import (
	"errors"
	"fmt"

	"github.com/godwit-rtc/godwit/typed"
)

// A Point has a codec that is written by hand: three methods, and no tag json.
type Point struct{ X, Y uint8 }

// AppendBinary is the encoder.
func (p *Point) AppendBinary(b []byte) ([]byte, error) { return append(b, p.X, p.Y), nil }

// UnmarshalBinary is the decoder. It sets the whole value, refuses bytes that are left, and keeps
// nothing of b.
func (p *Point) UnmarshalBinary(b []byte) error {
	if len(b) != 2 {
		return errors.New("a point has 2 bytes")
	}
	*p = Point{b[0], b[1]}
	return nil
}

// GodwitSchema is what the table says of the type. It is optional: with it the server refuses a
// client that has another Point.
func (*Point) GodwitSchema() string { return "x:uint8;y:uint8" }

// A codec that godwit-gen has not written.
func Example_codec() {
	game := typed.Must[struct {
		Ping typed.ToServer[Point] `godwit:"unreliable"`
	}]()
	b, err := game.Ping.Encode(nil, Point{3, 4})
	fmt.Println(b, err)
	_, err = game.Ping.Decode(b[:1])
	fmt.Println(err)
	// Output:
	// [3 4] <nil>
	// typed: ping: a point has 2 bytes
}
