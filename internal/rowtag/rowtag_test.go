package rowtag

import "testing"

func TestNames(t *testing.T) {
	for field, want := range map[string]string{
		"Input": "input", "TickCount": "tickCount", "ID": "id", "URLPath": "urlPath", "PlayerID": "playerID",
		"X": "x", "X2": "x2", "ID2": "id2", "HTTPServer2Go": "httpServer2Go", "A_B": "a_B", "Äpfel": "äpfel",
	} {
		if got := Name(field); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
}

func TestSchemaOfAPart(t *testing.T) {
	for _, tt := range []struct{ schema, want string }{
		{"", ""}, {JSON, "join.request:json"}, {"a:bool;b[].c:int8", "join.request.a:bool;join.request.b[].c:int8"},
	} {
		if got := Under("join.request", tt.schema); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.schema, got, tt.want)
		}
	}
}
