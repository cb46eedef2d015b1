package testkit

import (
	"io"
	"os"
)

// StandardError returns what is written to the os.Stderr that construct finds, by construct and then by use. While use runs os.Stderr is
// the original one again. Together they may write some kilobytes.
func StandardError(construct, use func()) string {
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	defer r.Close()
	defer w.Close() // also if construct or use panics
	func() {
		defer func(stderr *os.File) { os.Stderr = stderr }(os.Stderr)
		os.Stderr = w
		construct()
	}()
	use()
	w.Close()
	return string(Must(io.ReadAll(r)))
}
