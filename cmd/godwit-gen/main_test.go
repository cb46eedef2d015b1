package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = "../../internal/gen/sample"

func TestGeneratedCodeIsCurrent(t *testing.T) {
	for _, c := range []struct{ js, dir string }{
		{"sample.js", sample},
		{"table.js", "../../examples/boxes"},
		{"table.js", "../../examples/chat"},
	} {
		if err := run([]string{"-check", "-js", c.js, c.dir}, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckWritesNothing(t *testing.T) {
	js := filepath.Join(t.TempDir(), "new.js")
	err := run([]string{"-check", "-js", js, sample}, nil)
	if err == nil || !strings.Contains(err.Error(), "new.js is not what godwit-gen writes: run go generate") {
		t.Error(err)
	}
	if _, err := os.Stat(js); err == nil {
		t.Error("-check wrote the file")
	}
}

func TestTypeScriptIsOneFile(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{"-js", filepath.Join(dir, "new.ts"), "-client", "./types", sample}, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "new.ts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`import type { Reader, Writer } from "./types";`, "export interface World {", "function writeWorld(w: Writer, m: World): void {"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("there is no %s", want)
		}
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("files: %v", all)
	}
}

func TestArguments(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"--help"}, &out); err != nil || !strings.HasPrefix(out.String(), "usage: godwit-gen") {
		t.Errorf("%v, %s", err, &out)
	}
	for want, args := range map[string][]string{
		"-what":                       {"-what"},
		`"b" is too much`:             {"a", "b"},
		"the name ends in .js or .ts": {"-js", "game.mjs", sample},
	} {
		if err := run(args, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
