package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/rtcserver"
)

func TestInvite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.pem")
	said := try(t, "", "keys", "-keys", file)
	cert, key, err := godwit.LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	if said != "fingerprint "+cert.Fingerprint().String()+"\nkey "+key.Text()+"\n" || try(t, "", "keys", "-keys", file) != said {
		t.Errorf("keys prints %s, want the fingerprint and the key of the file, both times", said)
	}
	args := []string{"invite", "-keys", file, "-addr", "203.0.113.7:7777,[2001:db8::1]:7777", "-channels", "91f7c0a1be23d455", "-node", "66051"}
	for _, more := range [][]string{nil, {"-json"}} {
		i, err := auth.ParseInvite(try(t, "", append(args, more...)...))
		if err != nil || len(i.Addresses) != 2 || i.Fingerprint != [32]byte(cert.Fingerprint().Sum()) || i.Channels != "91f7c0a1be23d455" || !strings.HasPrefix(i.Ufrag, "DAQID") {
			t.Errorf("%v: %+v, %v", more, i, err)
		}
	}
	for want, args := range map[string][]string{
		"are needed":      {"invite", "-keys", file},
		"is needed":       {"keys"},
		"-addr":           {"invite", "-keys", file, "-addr", "game.example:7777"},
		"hash of a table": {"invite", "-keys", file, "-addr", "203.0.113.7:7777", "-channels", "x"},
		"nobody can send": {"invite", "-keys", file, "-addr", "0.0.0.0:7777"},
		"the subject has": {"invite", "-keys", file, "-addr", "203.0.113.7:7777", "-sub", strings.Repeat("x", 65)},
		"Node is":         {"invite", "-keys", file, "-addr", "203.0.113.7:7777", "-node", "16777216"},
		"no flag of":      {"invite", "-keys", file, "-aud", "x"},
		"not one ECDSA":   {"keys", "-keys", write(t, "nothing", 0o600)},
		"use chmod 600":   {"keys", "-keys", write(t, "nothing", 0o644)},
	} {
		if err := run(args, strings.NewReader(""), &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
}

// A client with an invite of the command is whom the flags name, at the node that they name.
func TestAClientWithAnInvite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.pem")
	try(t, "", "keys", "-keys", file)
	cert, key, err := godwit.LoadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	who := make(chan godwit.Identity, 1)
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		RTC: rtcserver.Settings{Certificate: cert, Node: 66051}, Invites: key,
		Admit: func(_ context.Context, id godwit.Identity) error { who <- id; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	i, err := auth.ParseInvite(try(t, "", "invite", "-keys", file, "-addr", srv.RTC().Addr().String(), "-sub", "ada", "-data", "red", "-node", "66051"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.Connect(t.Context(), "", client.Config{}, client.SessionConfig{
		Invite: func(context.Context) (auth.Invite, error) { return i, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(0, "")
	if id := <-who; id.Name != "ada" || string(id.Data) != "red" {
		t.Errorf("the client is %+v, want ada with red", id)
	}
}

// write writes a file and returns its name.
func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}
