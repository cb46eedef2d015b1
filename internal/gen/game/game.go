// Package game has five messages of a game. The benchmarks of both languages use them, and compare the
// generated code with code that a person has written for the same bytes.
package game

import (
	"time"

	"github.com/godwit-rtc/godwit/typed"
)

//go:generate go run ../../../cmd/godwit-gen -js game.js

// Table is the table of the game.
type Table struct {
	Input     typed.ToServer[Input]     `godwit:"sequenced"`
	Snapshot  typed.ToClient[Snapshot]  `godwit:"sequenced"`
	Chat      typed.Both[Line]          `godwit:"reliable-ordered"`
	Inventory typed.ToClient[Inventory] `godwit:"reliable-ordered"`
	Join      typed.ServerCall[Join, Joined]
}

// Input is what a player does in one tick.
type Input struct {
	Tick    uint32
	Forward int8 `godwit:"range=-1..1"`
	Strafe  int8 `godwit:"range=-1..1"`
	Jump    bool
	Fire    bool
	Crouch  bool
	Weapon  uint8   `godwit:"range=0..7"`
	Yaw     float32 `godwit:"range=-180..180,step=0.1"`
	Pitch   float32 `godwit:"range=-90..90,step=0.1"`
}

// Snapshot is the world in one tick.
type Snapshot struct {
	Tick     uint32
	Ack      uint32   // last Input that the server has seen
	Entities []Entity `godwit:"max=64"`
}

// Entity is a player or a thing.
type Entity struct {
	ID     uint16
	Kind   Kind
	X      float32 `godwit:"range=-512..512,step=0.0625"`
	Y      float32 `godwit:"range=-512..512,step=0.0625"`
	Z      float32 `godwit:"range=-64..64,step=0.0625"`
	VX     float32 `godwit:"range=-16..16,step=0.125"`
	VY     float32 `godwit:"range=-16..16,step=0.125"`
	Yaw    float32 `godwit:"range=0..360,step=1.40625"`
	Health uint8   `godwit:"range=0..100"`
	Firing bool
}

// Kind is what an Entity is.
type Kind uint8

// The kinds.
const (
	KindPlayer Kind = iota
	KindRocket
	KindCrate
	KindFlag
)

// Line is a line of the chat.
type Line struct {
	From uint16
	Team bool
	At   time.Time
	Text string `godwit:"max=200"`
}

// Inventory is what a player has.
type Inventory struct {
	Gold     uint32
	Weight   float32 `godwit:"range=0..500,step=0.1"`
	Capacity uint16
	Items    []Item `godwit:"max=40"`
}

// Item is a stack of equal things.
type Item struct {
	ID       uint16
	Count    uint16
	Slot     uint8 `godwit:"range=0..63"`
	Quality  Quality
	Wear     float32 `godwit:"range=0..1,step=0.01"`
	Equipped bool
}

// Quality is how good an Item is.
type Quality uint8

// The qualities.
const (
	QualityPoor Quality = iota
	QualityCommon
	QualityRare
	QualityEpic
)

// Join asks for a place in the game.
type Join struct {
	Name    string `godwit:"max=24"`
	Team    Team
	Colour  uint32 `godwit:"range=0..16777215"`
	Version uint16
}

// Team is a side of the game.
type Team uint8

// The teams.
const (
	TeamAny Team = iota
	TeamRed
	TeamBlue
)

// Joined is the answer to Join.
type Joined struct {
	ID   uint16
	Seed uint32 `godwit:"fixed"`
	Map  string `godwit:"max=32"`
}
