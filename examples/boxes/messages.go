package main

import (
	"github.com/godwit-rtc/godwit/typed"
)

//go:generate go run github.com/godwit-rtc/godwit/cmd/godwit-gen -js table.js

// Table is what the server and its pages send to each other. An input or a world may get
// lost. Only the newest counts, so each of them has the full state.
type Table struct {
	Input typed.ToServer[Moves]        `godwit:"sequenced"`
	World typed.ToClient[World]        `godwit:"sequenced"`
	Early typed.ToClient[Early]        `godwit:"sequenced"`
	Chat  typed.ToServer[Line]         `godwit:"reliable-ordered"`
	News  typed.ToClient[News]         `godwit:"reliable-ordered"`
	Join  typed.ServerCall[Name, Seat] // the player's name, and the player's box
}

// The board and a box, in units.
const width, height, side = 16000, 9000, 640

// Moves are the newest inputs of a player. The first counts in the tick Tick of the server, the next
// one in the tick before, and so on: if a message is lost, the next one has its inputs, too.
type Moves struct {
	Tick   uint32
	Inputs []Input `godwit:"max=4"`
}

// An Input is where a player wants to go: a direction, of length 1 at full speed.
type Input struct {
	X float64 `godwit:"range=-1..1,step=0.01"`
	Y float64 `godwit:"range=-1..1,step=0.01"`
}

// Early is by how many ticks the inputs of a player are early: the page sends them earlier or later.
type Early struct {
	Ticks int `godwit:"range=-32..31"`
}

// A World is the state of the board after a tick. It is the number of the player that is "it": 0 if there is none.
type World struct {
	Tick  uint32
	It    uint8 `godwit:"range=0..100"`
	Boxes []Box `godwit:"max=100"` // as many as MaxConns
}

// A Box is where the box of a player is: its upper left corner. Four units are less than half
// a pixel.
type Box struct {
	ID   uint8 `godwit:"range=1..100"`
	X    int   `godwit:"range=0..15360,step=4"` // width - side
	Y    int   `godwit:"range=0..8360,step=4"`  // height - side
	Away bool  // the player is interrupted
}

// Limits of what players write, in characters. A character has at most four bytes.
const maxName, maxText = 16, 200

// A Name is what a player wants to be called.
type Name struct {
	Name string `godwit:"max=64"`
}

// A Seat is the player's place in the game. Again is an invite with which the page begins its next session; it is empty if
// the page has the URL of the server.
type Seat struct {
	ID    uint8
	Again string `godwit:"max=4096"`
}

// A Line is what a player says.
type Line struct {
	Text string `godwit:"max=800"`
}

// News is what happens to a player: Text is the name of one that is here or has joined, or
// what the player has said.
type News struct {
	Kind Kind
	ID   uint8
	Text string `godwit:"max=800"`
}

// A Kind is what happens.
type Kind uint8

// The kinds of news.
const (
	Here   Kind = iota // a player that was there before
	Joined             // a player that joins
	Left               // a player that leaves
	Said
)
