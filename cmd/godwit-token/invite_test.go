package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/ufrag"
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
	secret := ufrag.Key(key.Bytes())
	reader := ufrag.NewReader(&secret)
	args := []string{"invite", "-keys", file, "-addr", "203.0.113.7:7777,[2001:db8::1]:7777", "-sub", "ada", "-data", "red", "-channels", "91f7c0a1be23d455", "-node", "66051"}
	for _, more := range [][]string{nil, {"-json"}} {
		i, err := auth.ParseInvite(try(t, "", append(args, more...)...))
		var says ufrag.Fragment
		if !reader.Read([]byte(i.Ufrag), &says) || string(says.Subject) != "ada" || string(says.Data) != "red" || says.Node != 66051 {
			t.Errorf("%v: the invite says %+v, want ada, red and the node", more, says)
		}
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

// write writes a file and returns its name.
func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}
