package testkit

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Captures returns the words of each line in the files testdata/*.hex, by the names of the
// files. Comments, which begin with "#", and empty lines are left out. The README.md in the
// directory says what the words mean.
func Captures(t testing.TB) map[string][][]string {
	t.Helper()
	names, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(names) == 0 {
		t.Fatal("there are no captures")
	}
	all := make(map[string][][]string)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var lines [][]string
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			if words := strings.Fields(line); len(words) > 0 {
				lines = append(lines, words)
			}
		}
		all[filepath.Base(name)] = lines
	}
	return all
}

// Hex returns the bytes of a text in hexadecimal.
func Hex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
