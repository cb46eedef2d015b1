package icelite

import "testing"

// BenchmarkAnswer measures one check: it is parsed, verified, recorded and answered.
func BenchmarkAnswer(b *testing.B) {
	wrong := aCheck()
	wrong.pwd = theirs.Pwd
	flipped := aCheck().chromium()
	flipped[50] ^= 1
	for _, bb := range []struct {
		name     string
		datagram []byte
	}{
		{"Chromium", aCheck().nominating().chromium()},
		{"Firefox", aCheck().firefox()},
		{"WrongIntegrity", wrong.chromium()},
		{"WrongFingerprint", flipped},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			a := New(origin, Config{Local: ours, Remote: theirs})
			var r Request
			out := make([]byte, 0, 128)
			for b.Loop() {
				if r.Parse(bb.datagram) == DropNone {
					a.Answer(origin, home, server, &r, out)
				}
			}
		})
	}
}
