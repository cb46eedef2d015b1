package godwit

import (
	"reflect"
	"testing"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// fill gives every counter of a struct a different number.
func fill(v any, from uint64) {
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		switch f := s.Field(i); {
		case f.CanUint():
			f.SetUint(from + uint64(i))
		case f.Kind() == reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(from + 100 + uint64(j))
			}
		}
	}
}

// Each counter of a channel is added once to the total of the same name.
func TestEachCounterOfAChannelHasItsTotal(t *testing.T) {
	var sum, was, now channel.ChannelStats
	for _, from := range []uint64{1000, 5000} {
		fill(&now, from)
		for range 2 {
			growChannel(&sum, &was, &now)
		}
		now := reflect.ValueOf(now)
		for i := range now.NumField() {
			name, got := now.Type().Field(i).Name, reflect.ValueOf(sum).Field(i)
			if got.CanUint() && got.Uint() != now.Field(i).Uint() {
				t.Errorf("%s: %d, want %d", name, got.Uint(), now.Field(i).Uint())
			}
		}
	}
}

// So does each counter of a session.
func TestEachCounterOfASessionHasItsTotal(t *testing.T) {
	var sum, was Totals
	for _, from := range []uint64{1000, 5000} {
		var st session.Stats
		fill(&st.Stats, from)
		fill(&st, from+500)
		for range 2 {
			sum.grow(&was, &st)
		}
		got := reflect.ValueOf(sum)
		for i := range got.NumField() {
			name := got.Type().Field(i).Name
			want := reflect.ValueOf(st).FieldByName(name)
			switch f := got.Field(i); {
			case f.CanUint() && f.Uint() != want.Uint():
				t.Errorf("%s: %d, want %d", name, f.Uint(), want.Uint())
			case f.Kind() == reflect.Array && f.Interface() != want.Interface():
				t.Errorf("%s: %v, want %v", name, f, want)
			}
		}
	}
}
