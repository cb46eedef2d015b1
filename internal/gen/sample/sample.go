// Package sample has a table whose messages have fields of every type that godwit-gen knows. Tests of
// both languages use its generated code.
package sample

import (
	"time"

	"github.com/godwit-rtc/godwit/pack"
	"github.com/godwit-rtc/godwit/typed"
)

//go:generate go run ../../../cmd/godwit-gen -js sample.js

// Table is a table with rows of every kind.
type Table struct {
	Numbers typed.ToServer[Numbers]        `godwit:"sequenced"`
	World   typed.ToClient[World]          `godwit:"sequenced,max=2048,priority=1"`
	Lists   typed.Both[Lists]              `godwit:"reliable-ordered,compress"`
	Newer   typed.Both[Newer]              `godwit:"reliable-unordered"`
	Older   typed.Both[Older]              `godwit:"reliable-unordered"`
	Raw     typed.ToClient[typed.Bytes]    `godwit:"unreliable"`
	Score   typed.ToClient[map[string]int] `godwit:"reliable-ordered,json,name=high-score"`
	Join    typed.ServerCall[Name, Joined]
	Ping    typed.ClientCall[typed.Bytes, Tick]
	Hello   typed.Hello[Name]
}

// Numbers has every type of a number.
type Numbers struct {
	Yes    bool
	I8     int8
	U8     uint8
	I16    int16
	U16    uint16
	I32    int32
	U32    uint32
	I64    int64
	U64    uint64
	Int    int
	Uint   uint
	F16    uint16 `godwit:"fixed"`
	F32    int32  `godwit:"fixed"`
	F64    uint64 `godwit:"fixed"`
	S64    int64  `godwit:"fixed"`
	Big    int64  `godwit:"bigint"`
	UBig   uint64 `godwit:"bigint"`
	BigF   int64  `godwit:"bigint,fixed"`
	UBigF  uint64 `godwit:"bigint,fixed"`
	Float  float32
	Double float64
	Health uint8   `godwit:"range=0..100"`
	Degree int     `godwit:"range=-180..180,step=5"`
	Much   uint64  `godwit:"range=1000..4294968294"`
	X      float32 `godwit:"range=0..16000,step=4"`
	Turn   float32 `godwit:"range=-1..1,step=0.01"`
	Exact  float64 `godwit:"range=-1000..1000,step=0.001"`
	Kind   Kind
	Only   Only
	Turns  Turns
	Delay  time.Duration
	Fine   time.Duration `godwit:"unit=10us"`
	Slow   time.Duration `godwit:"unit=50ms"`
	At     time.Time
}

// Turns is a number with a name.
type Turns uint32

// Kind is an enumeration.
type Kind uint8

// The kinds.
const (
	KindHere Kind = iota
	KindJoined
	KindLeft
)

// Only has one value.
type Only int

const OnlyOne Only = 0

// World has structs of different shapes.
type World struct {
	Tick  uint32
	Boxes []Box `godwit:"max=100"`
	Pos   Vector
	Home  *Vector
	Skin  *uint8
	Event Event
	Last  [3]Event
	Tags  [2]string `godwit:"max=8"`
	Grid  [3][3]uint8
	Image []byte `godwit:"max=1000"`
	Where Vector64
}

// Box is small.
type Box struct {
	ID   uint16
	X    float32 `godwit:"range=0..16000,step=4"`
	Y    float32 `godwit:"range=0..9000,step=4"`
	Away bool
	Kind Kind
	Path []Vector `godwit:"max=4"`
}

// Vector has three numbers.
type Vector struct {
	X, Y, Z float32
}

// Vector64 is an alias of nothing.
type Vector64 struct {
	X, Y float64
	_    [0]func()
	Note string `godwit:"-"`
}

// Event is what has happened.
//
//godwit:union Joined Left Said
type Event interface{ event() }

// Joined is an Event, and a reply.
type Joined struct {
	ID   uint16
	Name string `godwit:"max=16"`
}

// Left is an Event without fields.
type Left struct{}

// Said is an Event.
type Said struct {
	Who  uint16
	Text string `godwit:"max=300"`
	Big  bool
}

func (Joined) event() {}
func (Left) event()   {}
func (Said) event()   {}

// Lists has lists and maps.
type Lists struct {
	Words   []string          `godwit:"max=300,each.max=20"`
	Numbers []int32           `godwit:"max=10"`
	Steps   []float64         `godwit:"max=10,range=0..1,step=0.125"`
	Maybe   []*Box            `godwit:"max=5"`
	Rows    [][]bool          `godwit:"max=5,each.max=9"`
	Scores  map[string]uint32 `godwit:"max=10,key.max=12"`
	Items   map[int16]Item    `godwit:"max=300"`
	Kinds   map[Kind]Kind     `godwit:"max=3"`
	Bigs    map[int64]bool    `godwit:"max=3,key.bigint"`
	Events  []Event           `godwit:"max=4"`
	Blobs   []Blob            `godwit:"max=3,each.max=5"`
	Whens   []time.Time       `godwit:"max=3"`
	Waits   []time.Duration   `godwit:"max=3,unit=1s"`
	Default *[]uint8          `godwit:"max=3"`
	Pairs   *[2]int8
}

// Blob is bytes with a name.
type Blob []byte

// Item has a name of another case in TypeScript.
type Item struct {
	ItemID int32 `godwit:"name=number"`
	Count  uint8
}

// Name is a hello.
type Name struct {
	Name string `godwit:"max=16"`
}

// Tick is a reply.
type Tick struct {
	N uint32
}

// Older is a message before fields were added.
type Older struct {
	A uint8
	B bool
	_ pack.Evolving
}

// Newer is Older later.
type Newer struct {
	A    uint8
	B    bool
	_    pack.Evolving
	C    bool
	D    string `godwit:"max=10"`
	Kind Kind
	E    []uint16 `godwit:"max=10"`
	F    *Vector
	G    map[uint8]string `godwit:"max=3,each.max=3"`
	H    [2]Vector
	At   time.Time
	Big  uint64 `godwit:"bigint"`
}
