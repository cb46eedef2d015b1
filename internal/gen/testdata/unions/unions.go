// Package unions has a message with two unions of one member.
package unions

import "github.com/godwit-rtc/godwit/typed"

type Table struct {
	World typed.ToClient[World] `godwit:"sequenced"`
}

type World struct {
	First, Second Thing
	Others        []Thing `godwit:"max=8"`
}

// Thing is a union that may get more members one day.
//
//godwit:union Box
type Thing interface{ isThing() }

type Box struct{ X uint8 }

func (Box) isThing() {}
