package gen

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/godwit-rtc/godwit/internal/rowtag"
)

// collideGo returns an error for each name of the package that the generated code in Go uses for something else.
func (p *Package) collideGo(imports map[string]string, needed []*StructType) error {
	var errs []error
	refuse := func(name, what string) {
		if o := p.scope.Lookup(name); o != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %s: give it another name", p.at(o.Pos()), name, what))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(imports)) {
		refuse(imports[path], fmt.Sprintf("the generated code imports %q under this name", path))
	}
	for _, s := range needed {
		for _, name := range []string{"pack" + s.Name, "unpack" + s.Name} {
			refuse(name, "the generated code has a func of this name")
		}
		if slices.Contains([]string{"b", "m", "r", "w"}, s.Go) {
			refuse(s.Go, "the generated code has a variable of this name")
		}
	}
	return errors.Join(errs...)
}

// CollideScript returns an error for each name of the package that means something else in the module for pages.
func (p *Package) CollideScript() error {
	var errs []error
	for _, name := range []string{"Codec", "Coder", "Date", "Map", "Reader", "Uint8Array", "Writer"} {
		if o := p.names[name]; o != nil {
			errs = append(errs, fmt.Errorf("%s: %s: the module for pages uses the type %s of TypeScript: give it another name", p.at(o.Pos()), o.Name(), name))
		}
	}
	if name := rowtag.Name(p.Table); p.taken(name) {
		errs = append(errs, fmt.Errorf("%s: %s: the module for pages cannot export %q: give the table another name", p.at(p.scope.Lookup(p.Table).Pos()), p.Table, name))
	}
	return errors.Join(errs...)
}

// taken reports whether a variable of the module for pages cannot have a name: it is a word of JavaScript or the name
// of a func or list of the module.
func (p *Package) taken(name string) bool {
	for t := range p.names {
		if name == "write"+t || name == "read"+t || name == plural(t) {
			return true
		}
	}
	return reserved[name] || slices.ContainsFunc(helpers, func(h helper) bool { return h.name == name })
}
