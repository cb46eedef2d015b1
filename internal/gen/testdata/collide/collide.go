// Package collide has names that the generated code uses for something else. After each is the error.
package collide

import "github.com/godwit-rtc/godwit/typed"

type Class struct { // Class: the module for pages cannot export "class": give the table another name
	Map   typed.Both[Map]   `godwit:"unreliable"`
	R     typed.Both[r]     `godwit:"unreliable"`
	Codec typed.Both[Codec] `godwit:"unreliable"`
}

type Map struct { // Map: the module for pages uses the type Map of TypeScript: give it another name
	Keys  map[string]bool `godwit:"max=5,key.max=5"`
	Order bool
}

type r struct{ A bool } // r: the generated code has a variable of this name

type Codec struct{ A bool } // Codec: the module for pages uses the type Codec of TypeScript: give it another name

func pack() {} // pack: the generated code imports "github.com/godwit-rtc/godwit/pack" under this name

var slices = 5 // slices: the generated code imports "slices" under this name

func unpackMap() {} // unpackMap: the generated code has a func of this name

func math() { pack(); unpackMap(); math(); _ = slices }
