// Package bad has what godwit-gen refuses. After each field is the error.
package bad

import (
	"time"

	"github.com/godwit-rtc/godwit/pack"
	"github.com/godwit-rtc/godwit/typed"
)

type Table struct {
	Bad   typed.Both[Bad]       `godwit:"unreliable"`
	Other typed.Both[Evolves]   `godwit:"unreliable"`
	Mode  typed.Both[Good]      // Table.Mode: a channel needs a tag that begins with its mode, such as godwit:"sequenced"
	Press typed.Both[Good]      `godwit:"unreliable,compress"` // Table.Press: channel: bad table: channel "press": Compress: use a reliable channel
	What  typed.Both[Good]      `godwit:"unreliable,what=1"`   // Table.What: the tag has "what=1", which is not known
	Text  typed.Both[string]    `godwit:"unreliable"`          // Table.Text: string is not a struct type of this package
	Time  typed.Both[time.Time] `godwit:"unreliable"`          // Table.Time: time.Time is not a struct type of this package
	N     int                   // Table.N: int is no handle such as typed.ToClient[World]
	Fine  typed.Both[Good]      `godwit:"unreliable"`
	Own   typed.Both[Own]       `godwit:"unreliable"`
	Same  typed.Both[Good]      `godwit:"unreliable,name=fine"` // Table.Same: Fine has the name "fine", too
	H1    typed.Hello[Good]
	H2    typed.Hello[Good] // Table.H2: H1 is a Hello, too
	g     typed.Both[Good]  `godwit:"unreliable"` // Table.g: the field is not exported
}

type Good struct{ A bool }

type Bad struct {
	small   bool            // Bad.small: the field is not exported
	Text    string          // Bad.Text: a string needs a limit: max=N in its tag (bytes)
	Words   []string        `godwit:"max=5"` // Bad.Words: a string needs a limit: each.max=N in its tag (bytes)
	Names   map[string]bool `godwit:"max=5"` // Bad.Names: a string needs a limit: key.max=N in its tag (bytes)
	List    []bool          // Bad.List: []bool needs a limit: max=N in its tag
	Zero    []bool          `godwit:"max=0"`                  // Bad.Zero: []bool needs max=N with a number of 1 or more, not max=0
	Fast    float64         `godwit:"range=0..1"`             // Bad.Fast: range=A..B and step=S come together
	Step    int             `godwit:"step=2"`                 // Bad.Step: step needs range=A..B, too
	Odd     float64         `godwit:"range=0..1,step=0.3"`    // Bad.Odd: step=0.3 does not divide range=0..1
	Coarse  float32         `godwit:"range=0..1e6,step=0.01"` // Bad.Coarse: a float32 is too coarse for step=0.01 at 1e+06
	Many    float64         `godwit:"range=0..1e9,step=0.1"`  // Bad.Many: range=0..1e9 has fewer than 2 or more than 2^32 values
	Wide    uint8           `godwit:"range=0..256"`           // Bad.Wide: range=0..256 is more than the type has
	Minus   uint            `godwit:"range=-1..5"`            // Bad.Minus: range=-1..5 is more than the type has
	Turned  int             `godwit:"range=5..1"`             // Bad.Turned: range=5..1 is not A..B of two integers, the smaller first
	Long    int             `godwit:"range=0..5000000000"`    // Bad.Long: range=0..5000000000 has more than 2^32 values
	Uneven  int             `godwit:"range=0..10,step=3"`     // Bad.Uneven: step=3 does not divide range=0..10
	Both    uint16          `godwit:"range=0..10,fixed"`      // Bad.Both: a range has its own number of bits
	Exact   int64           `godwit:"range=0..10,bigint"`     // Bad.Exact: a range has its own number of bits
	Big     int32           `godwit:"bigint"`                 // Bad.Big: bigint is for integers of 64 bits
	Fixed   uint8           `godwit:"fixed"`                  // Bad.Fixed: uint8 is fixed already
	Flag    bool            `godwit:"fixed"`                  // Bad.Flag: the tag "fixed" is not one of bool
	Unit    time.Duration   `godwit:"unit=3us"`               // Bad.Unit: unit=3us is no duration such as 1us, 1ms or 50ms
	Chan    chan bool       // Bad.Chan: chan bool is not supported
	Func    func()          // Bad.Func: func() is not supported
	Complex complex128      // Bad.Complex: complex128 is not supported
	Pointer uintptr         // Bad.Pointer: uintptr is not supported
	Any     any             // Bad.Any: an interface needs a name and the comment //godwit:union with its types
	Error   error           // Bad.Error: error is not supported
	Plain   Plain           // Bad.Plain: the interface Plain needs a comment with its types: //godwit:union Joined Left
	Wrong   Wrong           // Bad.Wrong: there is no type Nobody for the union Wrong
	NoBody  Pure            // Bad.NoBody: Good of the union Pure is not a struct with the methods of the interface
	Count   Counted         // Bad.Count: Count of the union Counted is not a struct with the methods of the interface
	NoName  Nameless        // Bad.NoName: Unnamed of the union Nameless is not a struct with the methods of the interface
	Boxed   Boxed           // Bad.Boxed: Box of the union Boxed is not a struct with the methods of the interface
	Grows   Growing         // Bad.Grows: Grown is evolving, which only a whole message can be
	Typed   Typed           // Bad.Typed: WithType of the union Typed has a field that is "type" in TypeScript
	Again   Again           // Bad.Again: Once is twice in the union Again
	Thing   thing
	Thing2  Thing            // Bad.Thing2: github.com/godwit-rtc/godwit/internal/gen/testdata/bad.thing and
	Twice   **bool           // Bad.Twice: a pointer to a pointer or interface is not supported
	Struct  struct{ A bool } // Bad.Struct: give the struct a name
	Self    *Bad             // Bad.Self: Bad contains itself
	Generic Of[bool]         // Bad.Generic: a generic type is not supported
	Nothing []Empty          `godwit:"max=3"` // Bad.Nothing: elements that take no bits are not supported
	Marked  Marked
	Inner   Later            // Bad.Inner: Later is evolving, which only a whole message can be
	Holes   Holes            // Bad.Holes: the constants of Holes are not 0, 1, 2 and so on: HolesTen is 10; to send the number
	Number  Holes            `godwit:"number"`
	Whole   Holes            `godwit:"fixed"`
	Large   Holes            `godwit:"bigint"`
	Ranged  Holes            `godwit:"range=0..10"`
	ByFloat map[float64]bool `godwit:"max=3"` // Bad.ByFloat: the key of a map is a whole number without a range, an enumeration or a string
	OK      bool
	Dashed  bool    `godwit:"name=a-b"` // Bad.Dashed: "a-b" is no name for TypeScript
	Pair    bool    `godwit:"name=ok"`  // Bad.Pair: two fields are "ok" in TypeScript
	Unknown Missing // Bad.Unknown: the type is not known: does the package build?
	In
	*Good                            // Bad.Good: an embedded pointer is not supported
	Left  chan bool                  `godwit:"-"`
	Deep  map[int8]map[string][]bool `godwit:"max=1,each.max=2,each.key.max=3"` // Bad.Deep: []bool needs a limit: each.each.max=N in its tag
}

type Evolves struct {
	_ pack.Evolving
	_ pack.Evolving // Evolves._: there is a mark pack.Evolving already
	U Fine          // Evolves.U: a union below the mark would be nil
	E Empty         // Evolves.E: a field below the mark that takes no bits is not supported
}

type Later struct {
	A bool
	_ pack.Evolving
}

// Marked is not evolving: its mark has a name.
type Marked struct {
	A    bool
	Mark pack.Evolving
}

type Empty struct{}

type Of[T any] struct{ A T }

type Plain interface{ plain() }

//godwit:union Nobody
type Wrong interface{ wrong() }

//godwit:union Good
type Pure interface{ pure() }

//godwit:union In
type Fine interface{ fine() }

type In struct{ A bool }

func (In) fine() {}

//godwit:union Count
type Counted interface{ counted() }

type Count int

func (Count) counted() {}

//godwit:union Unnamed
type Nameless interface{}

type Unnamed = struct{ A bool }

//godwit:union Box
type Boxed interface{ boxed() }

type Box = BoxOf[bool]

type BoxOf[T any] struct{ A T }

func (BoxOf[T]) boxed() {}

//godwit:union Grown
type Growing interface{ growing() }

type Grown struct {
	_ pack.Evolving
	A bool
}

func (Grown) growing() {}

//godwit:union WithType
type Typed interface{ typed() }

type WithType struct{ Type bool }

func (WithType) typed() {}

//godwit:union Once Once
type Again interface{ again() }

type Once struct{ A bool }

func (Once) again() {}

//godwit:union In
type Thing interface{ fine() }

type thing struct{ A bool }

type Holes int

const (
	HolesOne Holes = 0
	HolesTen Holes = 10
)

type Own struct{ A bool }

func (Own) AppendBinary(b []byte) ([]byte, error) { return b, nil } // Own.AppendBinary: godwit-gen writes this method
