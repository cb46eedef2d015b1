package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func try(t *testing.T, in string, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(args, strings.NewReader(in), &out); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return out.String()
}

func TestKeySignVerify(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256", "HS256"} {
		dir := t.TempDir()
		private, public := filepath.Join(dir, "private.pem"), filepath.Join(dir, "key.pem")
		pem := try(t, "", "key", "-alg", alg)
		os.WriteFile(private, []byte(pem), 0o600)
		os.WriteFile(public, []byte(try(t, pem, "public")), 0o600)
		token := try(t, "", "sign", "-key", private, "-sub", "ada", "-aud", "eu-1", "-data", `{"skin":3}`)
		said := try(t, token, "verify", "-key", public, "-aud", "eu-1")
		if !strings.Contains(said, "sub ada\naud eu-1\n") || !strings.Contains(said, `data {"skin":3}`) {
			t.Errorf("%s: %s", alg, said)
		}
		if err := run([]string{"verify", "-key", public, "-aud", "us-1"}, strings.NewReader(token), &strings.Builder{}); err == nil ||
			!strings.Contains(err.Error(), "another server") {
			t.Errorf("%s, another audience: %v", alg, err)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"sign", "-h"}, {"key", "--help"}} {
		if got := try(t, "", args...); got != usage {
			t.Errorf("%q: %s", args, got)
		}
	}
}

func TestPublicKeysDoNotSign(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	os.WriteFile(key, []byte(try(t, try(t, "", "key"), "public")), 0o600)
	err := run([]string{"sign", "-key", key, "-sub", "ada", "-aud", "eu-1"}, strings.NewReader(""), &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "public key") {
		t.Errorf("%v", err)
	}
}

func TestMisuseIsExplained(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "say what to do",
		"fly":                              `"fly" is not known`,
		"key -alg RS256":                   "RS256",
		"key ES256":                        `"ES256" is no flag`,
		"sign":                             "-key, -sub and -aud are needed",
		"sign -nonsense":                   "-nonsense",
		"sign -key k -sub a -aud b -for 0": "expired already",
		"verify -key k":                    "-key and -aud are needed",
		"verify -key /none -aud b":         "-key: open /none",
	} {
		err := run(strings.Fields(line), strings.NewReader(""), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}
