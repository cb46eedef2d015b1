package typed_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A message in the wrong direction, of the wrong type, or with a handler at the wrong end does
// not compile. testdata/wrong has such lines, and marks them.
func TestMistakesDoNotCompile(t *testing.T) {
	const file = "testdata/wrong/wrong.go"
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	n := 0
	for line := range strings.Lines(string(source)) {
		if n++; strings.HasSuffix(line, "// wrong\n") {
			want = append(want, fmt.Sprintf("%s:%d", file, n))
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "./testdata/wrong").CombinedOutput()
	if err == nil {
		t.Fatal("it compiles")
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && strings.HasSuffix(f[0], file) {
			got = append(got, strings.TrimPrefix(f[0], "typed/")+":"+f[1])
		}
	}
	if got = slices.Compact(got); len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("the lines with errors are\n     %q\nwant %q:\n%s", got, want, out)
	}
}
