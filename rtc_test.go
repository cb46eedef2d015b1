package godwit

import (
	"log/slog"
	"reflect"
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/rtcserver"
)

// Every field of Config.RTC reaches the WebRTC side. Fields that the server sets itself are not
// in Config.RTC.
func TestRTCConfigHasTheFieldsThatAProgramMaySet(t *testing.T) {
	var s Server
	s.config.Manual, s.config.Logger = true, slog.Default()
	mine := reflect.ValueOf(&s.config.RTC).Elem()
	for i := range mine.NumField() {
		setUnlike(t, mine.Field(i), i+1)
	}
	got := reflect.ValueOf(s.rtcConfig())
	var own []string
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		field := mine.FieldByName(name)
		switch {
		case !field.IsValid():
			own = append(own, name)
			if got.Field(i).IsZero() {
				t.Errorf("the server does not set %s", name)
			}
		case got.Field(i).IsZero() || name != "Handler" && !reflect.DeepEqual(got.Field(i).Interface(), field.Interface()):
			t.Errorf("%s is %v, want %v", name, got.Field(i), field)
		}
	}
	slices.Sort(own)
	if want := []string{"Authorize", "Engine", "Links", "LinksOnly", "Logger", "Manual", "Resumes", "Upgrade"}; !slices.Equal(own, want) {
		t.Errorf("the server sets %v itself, want %v", own, want)
	}
	if n := mine.NumField() + len(own); n != got.NumField() {
		t.Errorf("Config.RTC has a field that %T lacks", rtcserver.Config{})
	}
}

// setUnlike sets v to a value that no other field has.
func setUnlike(t *testing.T, v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8:
		v.SetUint(uint64(n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Interface:
		v.Set(reflect.ValueOf(t.Output()))
	case reflect.Struct: // Handler, whose funcs are not compared
		v.Set(reflect.ValueOf(rtcserver.Handler{Open: func(*rtcserver.Conn) {}}))
	default:
		t.Fatalf("what is a %v?", v.Type())
	}
}
