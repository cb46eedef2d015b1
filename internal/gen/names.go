package gen

import (
	"strings"
	"unicode"
)

// upperCamel returns the name of a type in TypeScript.
func upperCamel(name string) string {
	r := []rune(name)
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// without returns name without the name of its type in front or behind, as KindHere of Kind is Here.
func without(name, typeName string) string {
	short := upperCamel(name)
	for _, cut := range []func(s, part string) (string, bool){strings.CutPrefix, strings.CutSuffix} {
		if s, ok := cut(short, upperCamel(typeName)); ok && s != "" && !unicode.IsLower([]rune(s)[0]) {
			return strings.TrimLeft(s, "_")
		}
	}
	return short
}

// reserved has the words that cannot be the name of a variable in the generated JavaScript, and those
// that the code around uses.
var reserved = func() map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(`arguments await break case catch class const continue debugger default delete do
		else enum eval export extends false finally for function if implements import in instanceof interface let new null
		package private protected public return static super switch this throw true try typeof undefined var void while
		with yield m r w Array BigInt Date Error Infinity Map Math NaN Number Uint8Array Int32Array Float32Array
		Float64Array isNaN`) {
		m[w] = true
	}
	return m
}()
