package auth

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// TestInvitesOfOtherLanguages runs the programs of docs/invites.md, and reads the invites that they
// make.
func TestInvitesOfOtherLanguages(t *testing.T) {
	doc, err := os.ReadFile("../docs/invites.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range []struct{ name, program, file, call string }{
		{"js", "node", "invite.mjs", `
const bytes = (text) => Buffer.from(text, "base64");
for (const { key, data = "", ...more } of JSON.parse(process.argv[2])) {
  let line = "error";
  try {
    line = invite({ key: bytes(key), data: bytes(data), ...more });
  } catch (e) {
    if (!(e instanceof RangeError)) throw e;
  }
  console.log(line);
}`},
		{"python", "python3", "invite.py", `
import sys
for fields in json.loads(sys.argv[1]):
    for name in ["key", "data"]:
        if name in fields:
            fields[name] = base64.b64decode(fields[name])
    try:
        print(invite(**fields))
    except ValueError:
        print("error")`},
	} {
		t.Run(lang.program, func(t *testing.T) {
			program, err := exec.LookPath(lang.program)
			if err != nil {
				t.Skipf("NOT RUN: %s is not installed", lang.program)
			}
			var code []byte
			for _, block := range regexp.MustCompile("(?s)```"+lang.name+"\n(.*?)```").FindAllSubmatch(doc, -1) {
				if bytes.Contains(block[1], []byte("mac(")) {
					code = block[1]
				}
			}
			if lines := bytes.Count(code, []byte("\n")); lines == 0 || lines > 40 {
				t.Fatalf("the program of docs/invites.md has %d lines, want 1 to 40", lines)
			}
			file := filepath.Join(t.TempDir(), lang.file)
			if err := os.WriteFile(file, append(code, lang.call+"\n"...), 0o600); err != nil {
				t.Fatal(err)
			}
			checkInvites(t, func(fields []map[string]any) []string {
				arg, err := json.Marshal(fields)
				if err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(program, file, string(arg)).Output()
				if err != nil {
					t.Fatal(err)
				}
				return strings.Fields(string(out))
			})
		})
	}
}

// checkInvites makes invites with a program, and compares them with what auth makes. The program writes "error" for
// fields of which it makes none.
func checkInvites(t *testing.T, run func([]map[string]any) []string) {
	key, err := NewInviteKey(bytes.NewReader(bytes.Repeat([]byte{0xfb, 0xef, 0x01}, 11)))
	if err != nil {
		t.Fatal(err)
	}
	secret := key.Bytes()
	addresses := []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:7777"), netip.MustParseAddrPort("[2001:db8::1]:7777")}
	subject, data := strings.Repeat("s", MaxInviteSubject), bytes.Repeat([]byte{0xff}, MaxInviteData)
	tests := []struct {
		subject  string
		data     []byte
		channels string
		seconds  int64
		node     uint32
		key      []byte
		bad      bool
	}{
		{seconds: 60},
		{seconds: 60}, // another one
		{seconds: 60, node: 0xabcdef},
		{subject: "ada ü", seconds: 3600},
		{subject: subject, data: data, seconds: 60},
		{data: []byte{1}, channels: "91f7c0a1be23d455", seconds: 60},
		{subject: subject + "s", bad: true},
		{data: append(data, 1), bad: true},
		{key: secret[1:], bad: true},
	}
	var all []map[string]any
	for _, test := range tests {
		fields := map[string]any{
			"key": secret[:], "addresses": addresses, "fingerprint": "sha-256 " + strings.Repeat("AB:", 31) + "CD",
		}
		if test.key != nil {
			fields["key"] = test.key
		}
		if test.subject != "" {
			fields["subject"] = test.subject
		}
		if test.data != nil {
			fields["data"] = test.data
		}
		if test.channels != "" {
			fields["channels"] = test.channels
		}
		if test.node != 0 {
			fields["node"] = test.node
		}
		if test.seconds != 60 {
			fields["seconds"] = test.seconds // 60 is the default
		}
		all = append(all, fields)
	}
	before := time.Now().Unix()
	texts := run(all)
	after := time.Now().Unix()
	if len(texts) != len(tests) {
		t.Fatalf("%d invites, want %d: %q", len(texts), len(tests), texts)
	}
	fragments := make(map[string]bool)
	for n, test := range tests {
		if test.bad {
			if texts[n] != "error" {
				t.Errorf("%v: made %q, want an error", all[n], texts[n])
			}
			continue
		}
		i, err := ParseInvite(texts[n])
		if err != nil {
			t.Fatalf("%v: %q: %v", all[n], texts[n], err)
		}
		sum := append(bytes.Repeat([]byte{0xab}, 31), 0xcd)
		if !slices.Equal(i.Addresses, addresses) || !bytes.Equal(i.Fingerprint[:], sum) || i.Channels != test.channels {
			t.Errorf("%v: the invite is %+v", all[n], i)
		}
		var f ufrag.Fragment
		if !ufrag.NewReader(&key.key).Read([]byte(i.Ufrag), &f) {
			t.Errorf("%v: the fragment %q is not one of the key", all[n], i.Ufrag)
			continue
		}
		if want := key.key.Pwd(i.Ufrag); i.Pwd != want {
			t.Errorf("%v: the password is %q, want %q", all[n], i.Pwd, want)
		}
		if string(f.Subject) != test.subject || !bytes.Equal(f.Data, test.data) || f.Node != test.node {
			t.Errorf("%v: subject %q, data %x, node %d", all[n], f.Subject, f.Data, f.Node)
		}
		if f.Expires < before+test.seconds || f.Expires > after+test.seconds {
			t.Errorf("%v: it expires %d s after it was asked for, want %d", all[n], f.Expires-before, test.seconds)
		}
		if fragments[i.Ufrag] {
			t.Errorf("%v: the fragment %q is not new", all[n], i.Ufrag)
		}
		fragments[i.Ufrag] = true
	}
}
