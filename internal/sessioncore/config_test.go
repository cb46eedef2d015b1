package sessioncore

import (
	"reflect"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A session keeps what it needs of its Config: each field of its settings is the one of the same name.
func TestASessionKeepsItsSettings(t *testing.T) {
	var c Config
	testkit.Fill(&c)
	c.Expires = time.Unix(1, 0)
	got, from := reflect.ValueOf(c.settings()), reflect.ValueOf(c)
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		if want := from.FieldByName(name); got.Field(i).IsZero() || !reflect.DeepEqual(got.Field(i).Interface(), want.Interface()) {
			t.Errorf("%s is %v, want %v", name, got.Field(i), want)
		}
	}
}
