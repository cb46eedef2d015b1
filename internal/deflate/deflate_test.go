package deflate

import (
	"bytes"
	"compress/flate"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// history is text as a chat has it.
func history(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("hello who is in the north tower wait for me at gate two enemies attack now heal please gg")
	var b []byte
	for len(b) < n {
		b = append(append(b, words[random.IntN(len(words))]...), " \n"[random.IntN(2)])
	}
	return b[:n]
}

func noise(n int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// squeeze returns a message that inflates to n MiB of zeroes.
func squeeze(n int) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(make([]byte, 1<<20))
	w.Flush()
	end := b.Len()
	w.Close()
	all := b.Bytes()
	return append(bytes.Repeat(all[:end], n), all[end:]...)
}

// What is packed is read again. It is deflated exactly if it gets smaller.
func TestPackedMessagesAreRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     []byte
		first byte
	}{
		{"text", history(40_000), Deflated},
		{"long text", history(3 << 20), Deflated},
		{"short text", history(Least), Deflated},
		{"zeroes", make([]byte, 100_000), Deflated},
		{"random bytes", noise(100_000), AsIs},
		{"nothing", nil, AsIs},
		{"a byte", []byte("a"), AsIs},
	} {
		p := TakePacker()
		b := p.Pack(c.b)
		if b[0] != c.first || len(b) > len(c.b)+1 || c.first == Deflated && len(b) > len(c.b) {
			t.Errorf("%s: %d bytes become %d, the first is %d, want %d", c.name, len(c.b), len(b), b[0], c.first)
		}
		if r := TakeReader(); c.first == Deflated {
			got, err := r.Inflate(b[1:], len(c.b))
			if err != nil || !bytes.Equal(got, c.b) {
				t.Errorf("%s: read as %d bytes, %v, want the %d that were packed", c.name, len(got), err, len(c.b))
			}
			if _, err := r.Inflate(b[1:], len(c.b)-1); err != ErrLarge {
				t.Errorf("%s: one byte more than the limit: %v, want ErrLarge", c.name, err)
			}
			r.Return()
		} else if !bytes.Equal(b[1:], c.b) {
			t.Errorf("%s: the bytes are not those of the message", c.name)
		}
		p.Return()
	}
}

// A message is deflated if that saves one byte, and not if it saves none.
func TestTheSmallestGain(t *testing.T) {
	saves := map[int]bool{}
	p := TakePacker()
	defer p.Return()
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, level)
	for n := range 100 {
		b := make([]byte, n)
		out.Reset()
		w.Reset(&out)
		w.Write(b)
		w.Close()
		saved := n - out.Len()
		saves[saved] = true
		if got := p.Pack(b); (got[0] == Deflated) != (saved > 0) {
			t.Errorf("%d bytes are deflated to %d: the first byte is %d", n, out.Len(), got[0])
		}
	}
	if !saves[0] || !saves[1] {
		t.Error("no message is just short enough, or just too long")
	}
}

func TestMalformedMessages(t *testing.T) {
	p := TakePacker()
	good := bytes.Clone(p.Pack(history(2000))[1:])
	p.Return()
	r := TakeReader()
	defer r.Return()
	for n := range len(good) {
		if got, err := r.Inflate(good[:n], 2000); err != ErrMalformed {
			t.Fatalf("the first %d bytes of %d are read as %d bytes, %v, want ErrMalformed", n, len(good), len(got), err)
		}
	}
	for name, b := range map[string][]byte{
		"a byte behind the end": append(bytes.Clone(good), 0), "the same message twice": append(bytes.Clone(good), good...),
		"a block of no type": {0xff}, "a distance before the beginning": {0x03 | 0x40, 0x02, 0},
	} {
		if got, err := r.Inflate(b, 1<<20); err != ErrMalformed {
			t.Errorf("%s: %d bytes, %v, want ErrMalformed", name, len(got), err)
		}
	}
	if got, err := r.Inflate(good, 2000); err != nil || len(got) != 2000 {
		t.Errorf("after all of that a good message is %d bytes, %v", len(got), err)
	}
}

// A message of a megabyte that inflates to a gigabyte costs no more memory than the limit allows,
// and none is kept.
func TestABombCostsNoMemory(t *testing.T) {
	bomb := squeeze(1 << 10)
	const limit = 8 << 20
	var before, after, kept runtime.MemStats
	runtime.ReadMemStats(&before)
	r := TakeReader()
	if _, err := r.Inflate(bomb, limit); err != ErrLarge {
		t.Fatalf("%d bytes of a bomb: %v, want ErrLarge", len(bomb), err)
	}
	r.Return()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4*limit {
		t.Errorf("a bomb allocates %d bytes, want at most four times the limit of %d", n, limit)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&kept)
	if n := int64(kept.HeapAlloc) - int64(before.HeapAlloc); n > maxKept {
		t.Errorf("%d bytes are kept", n)
	}
}

// No more states are made than there are processors, and those that are there are used again.
func TestStatesAreBounded(t *testing.T) {
	var taken []*Packer
	for range cap(packers) {
		taken = append(taken, TakePacker())
	}
	if len(packers) != 0 {
		t.Errorf("%d states are free, though one for each processor was taken", len(packers))
	}
	waits := make(chan *Packer)
	go func() { waits <- TakePacker() }()
	taken[0].Return()
	if p := <-waits; p != taken[0] {
		t.Error("a state that was returned is not taken again")
	}
	for _, p := range taken {
		p.Pack(noise(maxKept + 1))
		p.Return()
	}
	for range cap(packers) {
		p := TakePacker()
		if cap(p.out) > maxKept {
			t.Errorf("a state that is kept has a buffer of %d bytes", cap(p.out))
		}
		p.Return()
	}

	var rs []*Reader
	for range cap(readers) + 3 {
		r := TakeReader()
		if _, err := r.Inflate(squeeze(1), 1<<20); err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	for _, r := range rs {
		r.Return()
	}
	if len(readers) != cap(readers) {
		t.Errorf("%d readers are kept, want %d", len(readers), cap(readers))
	}
	for range cap(readers) {
		if r := TakeReader(); cap(r.out) > maxKept {
			t.Errorf("a reader that is kept has a buffer of %d bytes", cap(r.out))
		}
	}
}

// Packing allocates nothing once the state is there.
func TestPackingAllocatesNothing(t *testing.T) {
	for _, b := range [][]byte{history(4000), noise(4000)} {
		pack := func() {
			p := TakePacker()
			p.Pack(b)
			p.Return()
		}
		for range cap(packers) {
			pack()
		}
		if n := testing.AllocsPerRun(100, pack); n != 0 {
			t.Errorf("packing %d bytes allocates %v times", len(b), n)
		}
	}
}

// FuzzInflate reads any bytes: what is accepted is no longer than the limit, and is the same when
// it is packed and read again.
func FuzzInflate(f *testing.F) {
	p := TakePacker()
	for _, b := range [][]byte{history(600), make([]byte, 5000), noise(100)} {
		f.Add(bytes.Clone(p.Pack(b)[1:]), 10_000)
		f.Add(bytes.Clone(p.Pack(b)[1:]), 100)
	}
	p.Return()
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		limit &= 1<<16 - 1
		r := TakeReader()
		defer r.Return()
		out, err := r.Inflate(b, limit)
		if err != nil {
			return
		}
		if len(out) > limit {
			t.Fatalf("%d bytes, beyond the limit of %d", len(out), limit)
		}
		want := bytes.Clone(out)
		p := TakePacker()
		defer p.Return()
		packed := p.Pack(want)
		if packed[0] == AsIs {
			return
		}
		if again, err := r.Inflate(packed[1:], len(want)); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%d bytes are packed and read as %d, %v", len(want), len(again), err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	for _, c := range []struct {
		name string
		b    []byte
	}{{"text-1KiB", history(1 << 10)}, {"text-64KiB", history(64 << 10)}, {"random-64KiB", noise(64 << 10)}} {
		b.Run(c.name, func(b *testing.B) {
			p := TakePacker()
			defer p.Return()
			b.SetBytes(int64(len(c.b)))
			b.ReportAllocs()
			for b.Loop() {
				p.Pack(c.b)
			}
		})
		b.Run("read-"+c.name, func(b *testing.B) {
			p := TakePacker()
			packed := bytes.Clone(p.Pack(c.b))
			p.Return()
			r := TakeReader()
			defer r.Return()
			b.SetBytes(int64(len(c.b)))
			b.ReportAllocs()
			for b.Loop() {
				r.Inflate(packed[1:], len(c.b))
			}
		})
	}
}
