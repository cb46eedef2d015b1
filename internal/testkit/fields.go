package testkit

import "reflect"

// Fill sets each exported field of the struct that p points to, and of the structs in it, to a value that is not zero:
// a number differs from those of all other fields. A slice gets one element and a pointer something to point
// to. Maps, channels, funcs and interfaces stay as they are, and so do structs without an exported field.
func Fill(p any) {
	next := 1
	fill(reflect.ValueOf(p).Elem(), &next)
}

func fill(v reflect.Value, next *int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), next)
			}
		}
		return
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), next)
		return
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
		return
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
		return
	}
	*next++
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.Kind() == reflect.String:
		v.SetString(string(rune('a' + *next)))
	case v.CanInt():
		v.SetInt(int64(*next))
	case v.CanUint():
		v.SetUint(uint64(*next))
	case v.CanFloat():
		v.SetFloat(float64(*next))
	}
}

// Unset returns the names of the fields of a struct that are zero, such as "Rate". A field of a struct in it
// is called by both names, such as "Channel.Rate", unless all of that struct is zero.
func Unset(s any) []string { return unset(nil, reflect.ValueOf(s), "") }

func unset(names []string, v reflect.Value, prefix string) []string {
	for i := range v.NumField() {
		f, name := v.Field(i), prefix+v.Type().Field(i).Name
		if f.IsZero() {
			names = append(names, name)
			continue
		}
		if f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		if f.Kind() == reflect.Struct {
			names = unset(names, f, name+".")
		}
	}
	return names
}
