package main

import (
	"time"

	"github.com/godwit-rtc/godwit/typed"
)

//go:generate go run github.com/godwit-rtc/godwit/cmd/godwit-gen -js table.js

// Table is what the server and its clients send to each other. Everything that happens comes
// on one channel, so it comes in its order: the history, which is compressed because it is
// long, and then line by line. Its queue has room for some hundred lines: a client that lacks
// more than that begins a new session, and gets the history.
type Table struct {
	Enter typed.ServerCall[Name, Name] // the name that somebody chooses, and the name as all see it
	Kick  typed.ServerCall[Kick, Done] // only the host's client may ask for it
	Say   typed.ToServer[Line]         `godwit:"reliable-ordered"`
	Here  typed.ToClient[People]       `godwit:"reliable-ordered"`
	Log   typed.ToClient[Log]          `godwit:"reliable-ordered,compress,max=100000,queue=200000"`
}

// Limits of what people write, in characters. A character has at most four bytes.
const maxName, maxText = 16, 200

// A Name is what somebody is called.
type Name struct {
	Name string `godwit:"max=64"`
}

// A Line is what somebody says.
type Line struct {
	Text string `godwit:"max=800"`
}

// A Kick puts somebody out.
type Kick struct {
	Name string `godwit:"max=64"`
	Why  string `godwit:"max=256"`
}

// Done is the reply of a request that only succeeds or fails.
type Done struct{}

// People are those who are here.
type People struct {
	People []Person `godwit:"max=100"` // as many as MaxConns
}

// A Person is one who is here.
type Person struct {
	Name string `godwit:"max=64"`
	Host bool   // runs the server
	Away bool   // is interrupted, and may come back
}

// A Log is what has happened: all of it for one who comes, and a single entry after that.
type Log struct {
	Entries []Entry `godwit:"max=100"`
}

// An Entry is one thing that has happened. Text is what the person has said, or why the person
// has left.
type Entry struct {
	At   time.Time
	Kind Kind
	Name string `godwit:"max=64"`
	Text string `godwit:"max=800"`
}

// A Kind is what happens.
type Kind uint8

// The kinds of entries.
const (
	Said Kind = iota
	Entered
	Left
	Kicked
)
