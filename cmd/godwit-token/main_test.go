package main

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
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
			t.Errorf("%s: verify prints %s", alg, said)
		}
		if err := run([]string{"verify", "-key", public, "-aud", "us-1"}, strings.NewReader(token), &strings.Builder{}); err == nil ||
			!strings.Contains(err.Error(), "another server") {
			t.Errorf("%s, another audience: %v", alg, err)
		}
	}
}

// The statements of the help about keys and flags.
func TestKeysOfOtherPrograms(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		os.WriteFile(path, []byte(text), 0o600)
		return path
	}
	// The example keys of RFC 8037, appendix A.
	const public = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"login"}`
	private := file("private.json", strings.Replace(public, `"kid"`, `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","kid"`, 1))
	key := file("key.json", public)
	for _, kid := range []string{"", "another"} {
		args := []string{"sign", "-key", private, "-sub", "ada", "-aud", "eu-1"}
		if kid != "" {
			args = append(args, "-kid", kid)
		}
		token := try(t, "", args...)
		header, _, _ := strings.Cut(token, ".")
		b, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil || !strings.Contains(string(b), `"kid":"`+cmp.Or(kid, "login")+`"`) {
			t.Errorf("the header is %s: %v", b, err)
		}
		if said := try(t, token, "verify", "-key", key, "-aud", "eu-1", "-reusable"); !strings.HasPrefix(said, "sub ada\n") {
			t.Errorf("verify prints %s, want sub ada first", said)
		}
	}
}

// verify accepts a token without an ID only with -reusable.
func TestATokenWithoutAnID(t *testing.T) {
	signer := testkit.Must(auth.Generate(auth.EdDSA, rand.Reader))
	key := filepath.Join(t.TempDir(), "key.pem")
	os.WriteFile(key, testkit.Must(signer.Key().PEM()), 0o600)
	now := time.Now()
	token := testkit.Must(signer.Sign(now, auth.Claims{Subject: "ada", Audience: "eu-1", Expires: now.Add(time.Minute)}))
	args := []string{"verify", "-key", key, "-aud", "eu-1"}
	if err := run(args, strings.NewReader(token), &strings.Builder{}); err == nil {
		t.Error("without -reusable it is accepted")
	}
	if said := try(t, token, append(args, "-reusable")...); !strings.HasPrefix(said, "sub ada\n") {
		t.Errorf("verify prints %s, want sub ada first", said)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"sign", "-h"}, {"key", "--help"}} {
		if got := try(t, "", args...); got != usage {
			t.Errorf("%q prints %s, want the usage", args, got)
		}
	}
}

func TestPublicKeysDoNotSign(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key.pem")
	os.WriteFile(key, []byte(try(t, try(t, "", "key"), "public")), 0o600)
	err := run([]string{"sign", "-key", key, "-sub", "ada", "-aud", "eu-1"}, strings.NewReader(""), &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "public key") {
		t.Errorf("the error is %v, want one that says public key", err)
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
		"key -sub ada":                     "-sub is no flag of key",
		"verify -key k -kid x -aud b":      "-kid is no flag of verify",
		"verify -key k":                    "-key and -aud are needed",
		"verify -key /none -aud b":         "-key: open /none",
	} {
		err := run(strings.Fields(line), strings.NewReader(""), &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", line, err, want)
		}
	}
}
