package typed

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/rowtag"
)

// A table is what the handles of one struct form.
type table struct {
	name     string // name of the struct, for errors
	channels channel.Channels
	schema   []string          // of the messages that are on no channel
	rows     map[string]string // fields of the rows by name
	hello    string            // field of the connect message; empty if there is none
}

// A handle is a field of a table: ToServer, ToClient, Both, ServerCall, ClientCall or Hello.
type handle interface {
	// declare adds the row to the table.
	declare(*declaration) error
	// of returns the table to which the row was added.
	of() *table
	Name() string
	Bad() BadStats
}

// A declaration is one field of a struct that becomes a table.
type declaration struct {
	table *table
	field string
	tag   string
}

// New makes the table that G declares: a struct whose fields are handles. The error names the
// field that is wrong.
func New[G any]() (*G, error) {
	game := new(G)
	t := &table{name: nameOf(game), rows: make(map[string]string)}
	err := eachHandle(game, func(f reflect.StructField, h handle) error {
		err := h.declare(&declaration{table: t, field: f.Name, tag: f.Tag.Get(rowtag.Key)})
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t.name, f.Name, err)
		}
		return nil
	})
	if err == nil && len(t.rows) == 0 {
		err = fmt.Errorf("%s has no rows", t.name)
	}
	if err != nil {
		return nil, fmt.Errorf("typed: %w", err)
	}
	return game, nil
}

// Must is New for a variable of a package: it panics if the struct is not a table.
func Must[G any]() *G {
	game, err := New[G]()
	if err != nil {
		panic(err)
	}
	return game
}

// nameOf returns the name of a struct, for errors.
func nameOf(game any) string {
	return cmp.Or(reflect.TypeOf(game).Elem().Name(), "the table")
}

// eachHandle calls f for the fields of a struct.
func eachHandle(game any, f func(reflect.StructField, handle) error) error {
	v := reflect.ValueOf(game).Elem()
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("a table is a struct, but %v is not", v.Type())
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			return fmt.Errorf("%s.%s: write the name of the field with a capital letter", nameOf(game), field.Name)
		}
		h, ok := v.Field(i).Addr().Interface().(handle)
		if !ok {
			return fmt.Errorf("%s.%s: %v is not the type of a row: use ToServer, ToClient, Both, ServerCall, ClientCall or Hello of package typed", nameOf(game), field.Name, field.Type)
		}
		if err := f(field, h); err != nil {
			return err
		}
	}
	return nil
}

// tableOf returns the table that New made with the struct.
func tableOf(game any) (t *table, err error) {
	err = eachHandle(game, func(_ reflect.StructField, h handle) error {
		t = h.of()
		return nil
	})
	if err == nil && t == nil {
		err = errors.New("make the table with typed.New or typed.Must")
	}
	return t, err
}

func (c *codec[T]) of() *table {
	if c.row == nil {
		return nil
	}
	return c.row.table
}

// add adds a channel to the table.
func (t *table) add(c channel.Channel) (channel.ID, error) {
	t.channels = append(t.channels, c)
	if e, ok := errors.AsType[*channel.TableError](t.channels.Validate()); ok {
		return 0, fmt.Errorf("%s: %s", e.Field, e.Problem)
	}
	return channel.ID(len(t.channels)), nil
}

// describe adds what the table says of a connect message, a request or a reply.
func (t *table) describe(path, schema string) {
	if s := rowtag.Under(path, schema); s != "" {
		t.schema = append(t.schema, s)
	}
}

// row adds a row to the table. A bad message of it ends the session.
func (d *declaration) row(name string) (*row, error) {
	if other, taken := d.table.rows[name]; taken {
		return nil, fmt.Errorf("the name %q is that of %s, too: names must differ", name, other)
	}
	d.table.rows[name] = d.field
	return &row{table: d.table, field: d.field, name: name, fatal: true}, nil
}

// label names the row in errors.
func (r *row) label() string { return r.table.name + "." + r.field }

// text returns the Schema of the configs.
func (t *table) text() string { return strings.Join(t.schema, ";") }
