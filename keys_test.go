package godwit

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit/auth"
)

// The file of keys is made once, also by several processes at a time, and only its owner can read it.
func TestLoadKeys(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "keys.pem")
	texts := make([]string, 4)
	var all sync.WaitGroup
	for i := range texts {
		all.Go(func() {
			cert, key, err := LoadKeys(name)
			if err != nil {
				t.Error(err)
				return
			}
			texts[i] = cert.Fingerprint().String() + key.Text()
		})
	}
	all.Wait()
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("the keys are %s and %s, want the same", text, texts[0])
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left, want one", len(left))
	}
	os.Chmod(name, 0o440) // as in a Secret of Kubernetes
	if _, _, err := LoadKeys(name); err != nil {
		t.Error(err)
	}
	os.Chmod(name, 0o640)
	if _, _, err := LoadKeys(name); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v, want an error", err)
	}
	if _, err := New(Config{KeyFile: filepath.Join(dir, "no", "directory")}); err == nil {
		t.Error("a KeyFile that cannot be written is no error")
	}
}

// A file with one of the two keys, or with a damaged one, is an error that names the file, and the file stays as it is.
func TestFilesOfKeysThatLackOne(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.pem")
	_, key, err := LoadKeys(name)
	must(t, err)
	whole, err := os.ReadFile(name)
	must(t, err)
	for what, text := range map[string]string{
		"nothing":                 "",
		"no certificate":          string(key.PEM()),
		"no invite key":           strings.TrimSuffix(string(whole), string(key.PEM())),
		"another kind of block":   strings.ReplaceAll(string(whole), "GODWIT INVITE KEY", "INVITE KEY"),
		"a certificate cut short": strings.Replace(string(whole), "BEGIN CERTIFICATE-----\nMII", "BEGIN CERTIFICATE-----\nAAA", 1),
	} {
		if text == string(whole) {
			t.Fatalf("%s: the file is whole", what)
		}
		must(t, os.WriteFile(name, []byte(text), 0o600))
		if c, k, err := LoadKeys(name); c != nil || k != nil || err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v, %v; want an error that names the file", what, c, k, err)
		}
		if left, err := os.ReadFile(name); err != nil || string(left) != text {
			t.Errorf("%s: the file has changed: %v", what, err)
		}
	}
}

// A server has the certificate and the key of its file, unless its Config has others.
func TestKeyFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys.pem")
	cert, key, err := LoadKeys(name)
	must(t, err)
	s := serve(t, Config{KeyFile: name})
	if s.direct.fingerprint != [32]byte(cert.Fingerprint().Sum()) || s.direct.key != key.Bytes() {
		t.Error("the server has another certificate or key than its file")
	}
	other, err := auth.NewInviteKey(strings.NewReader(strings.Repeat("x", 32)))
	must(t, err)
	s = serve(t, Config{KeyFile: name, Invites: other})
	if s.direct.fingerprint != [32]byte(cert.Fingerprint().Sum()) || s.direct.key != other.Bytes() {
		t.Error("the server has another certificate than its file, or another key than its Config")
	}
	if _, err := serve(t, Config{}).Invite(auth.InviteClaims{For: 1e9}); err == nil || !strings.Contains(err.Error(), "Config.Invites") {
		t.Errorf("an invite without a key: %v", err)
	}
}
