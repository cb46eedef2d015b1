package ufrag

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

var testKey = func() (k Key) {
	for i := range k {
		k[i] = byte(i)
	}
	return k
}()

// vectors are in docs/SESSION.md, too: other programs make invites, and pages write the answer.
type vectors struct {
	Key       string
	Fragments []struct {
		Form          string
		Node          uint32
		Expires       int64
		ID            string
		Subject, Data string // data in hexadecimal
		Mark          string
		Ufrag, Pwd    string
		Tag, TSN      uint32
	}
	Proof struct{ Pwd, Page, Server, Proof string }
}

func TestVectors(t *testing.T) {
	var v vectors
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	k := Key(unhex(t, v.Key))
	r := NewReader(&k)
	for i, c := range v.Fragments {
		f := Fragment{Form: c.Form[0], Node: c.Node}
		if f.Form == Resume {
			f.Mark = [MarkLen]byte(unhex(t, c.Mark))
		} else {
			f.Expires, f.ID, f.Subject, f.Data = c.Expires, [IDLen]byte(unhex(t, c.ID)), []byte(c.Subject), unhex(t, c.Data)
		}
		text := f.Text(&k)
		if text != c.Ufrag || k.Pwd(text) != c.Pwd {
			t.Errorf("%d: ufrag %q and pwd %q, want %q and %q", i, text, k.Pwd(text), c.Ufrag, c.Pwd)
		}
		if tag, tsn := SCTP(c.Pwd); tag != c.Tag || tsn != c.TSN {
			t.Errorf("%d: tag %d and TSN %d, want %d and %d", i, tag, tsn, c.Tag, c.TSN)
		}
		var got Fragment
		if !r.Read([]byte(c.Ufrag), &got) || !equal(&got, &f) || string(r.Pwd([]byte(c.Ufrag))) != c.Pwd {
			t.Errorf("%d: Read returns %+v, want %+v", i, got, f)
		}
	}
	p := v.Proof
	if got := Proof(p.Pwd, [32]byte(unhex(t, p.Page)), [32]byte(unhex(t, p.Server))); hex.EncodeToString(got[:]) != p.Proof {
		t.Errorf("the proof is %x, want %s", got, p.Proof)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(a, b *Fragment) bool {
	return a.Form == b.Form && a.Node == b.Node && a.Expires == b.Expires && a.ID == b.ID && a.Mark == b.Mark &&
		bytes.Equal(a.Subject, b.Subject) && bytes.Equal(a.Data, b.Data)
}

// samples are fragments of every form and length.
func samples() []Fragment {
	return []Fragment{
		{Form: Invite},
		{Form: Invite, Node: 0xabcdef, Expires: 1<<32 - 1, ID: [IDLen]byte{1, 2, 3, 4, 5, 6, 7, 8}, Subject: []byte("ada")},
		{Form: Invite, Expires: 1, Subject: bytes.Repeat([]byte{0xff}, MaxSubject), Data: bytes.Repeat([]byte{0xfe}, MaxData)},
		{Form: Invite, Data: []byte{0}},
		{Form: Resume, Node: 1, Mark: [MarkLen]byte{15: 1}},
	}
}

func TestFragmentsAreReadAsTheyWereMade(t *testing.T) {
	r := NewReader(&testKey)
	longest := 0
	for i, f := range samples() {
		text := f.Text(&testKey)
		longest = max(longest, len(text))
		var got Fragment
		if !r.Read([]byte(text), &got) || !equal(&got, &f) {
			t.Errorf("%d: %+v, want %+v", i, got, f)
		}
		if string(r.Pwd([]byte(text))) != testKey.Pwd(text) || len(testKey.Pwd(text)) != PwdLen {
			t.Errorf("%d: the reader's password differs", i)
		}
	}
	if longest != MaxLen || MaxLen != 193 {
		t.Errorf("the longest fragment has %d characters, want %d, which is 193", longest, MaxLen)
	}
}

// A fragment of another key, or with any character changed, added, removed or exchanged for one that
// decodes to the same bytes, is not one of ours.
func TestForgedFragments(t *testing.T) {
	r := NewReader(&testKey)
	var f Fragment
	refuse := func(what, text string) {
		t.Helper()
		if r.Read([]byte(text), &f) {
			t.Errorf("%s: %q is read", what, text)
		}
	}
	foreign := testKey
	foreign[31]++
	for _, s := range samples() {
		refuse("another key", s.Text(&foreign))
		text := s.Text(&testKey)
		for n := range len(text) {
			refuse("truncated", text[:n])
			for _, c := range []byte("A/Bz\n\r=-_:") {
				if b := []byte(text); b[n] != c {
					b[n] = c
					refuse("changed", string(b))
				}
			}
			refuse("with the end of a line", text[:n]+"\n"+text[n:])
		}
		for _, more := range []string{"A", "AA", "AAA", "AAAA", "=", "\n", strings.Repeat("A", 300)} {
			refuse("longer", text+more)
		}
		other := []byte(text)
		other[0] = Invite + Resume - other[0]
		refuse("of the other form", string(other))
	}
	refuse("nothing", "")
	refuse("of an offer", "PAAAAabcdefgh")
	for _, s := range []Fragment{ // such as nobody makes who uses package auth
		{Form: Invite, Subject: make([]byte, MaxSubject+1)},
		{Form: Invite, Subject: make([]byte, MaxSubject), Data: make([]byte, MaxData+1)},
		{Form: Invite, Data: make([]byte, MaxData+1)},
	} {
		refuse("too long", s.Text(&testKey))
	}
}

// The data of a fragment that its subject runs over are refused, though the MAC is right.
func TestASubjectThatIsTooLong(t *testing.T) {
	f := Fragment{Form: Invite, Subject: []byte("abc")}
	raw, _ := encoding.DecodeString(f.Text(&testKey)[1:])
	raw[nodeLen+expiryLen+IDLen] = 4
	m := sum(testKey[:], string(Invite), raw[:len(raw)-macLen])
	copy(raw[len(raw)-macLen:], m)
	var got Fragment
	if NewReader(&testKey).Read([]byte(string(Invite)+encoding.EncodeToString(raw)), &got) {
		t.Error("it is read")
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	r := NewReader(&testKey)
	var f Fragment
	var texts [][]byte
	for _, s := range samples() {
		text := []byte(s.Text(&testKey))
		forged := other(text)
		texts = append(texts, text, forged, text[:len(text)-4], []byte("D"), []byte("PAAAAxyz"))
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, text := range texts {
			r.Read(text, &f)
			r.Pwd(text)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestProofsDiffer(t *testing.T) {
	page, server := [32]byte{1}, [32]byte{2}
	first := Proof("pwd", page, server)
	for _, other := range [][32]byte{Proof("pwe", page, server), Proof("pwd", [32]byte{3}, server), Proof("pwd", page, [32]byte{3}), Proof("pwd", server, page)} {
		if other == first {
			t.Error("another password or certificate has the same proof")
		}
	}
}

func TestFragmentsForOffers(t *testing.T) {
	random := strings.Repeat("x", 80)
	if got := ForOffer(0, random); got != "PAAAA"+random[5:] || ForOffer(MaxNode, random) != "P////"+random[5:] || IsDirect([]byte(got)) || IsDirect(nil) || !IsDirect([]byte("D")) || !IsDirect([]byte("R")) {
		t.Errorf("%q, want the form and the node in front", got)
	}
}

// The node is at the same place in every form.
func TestNodes(t *testing.T) {
	for _, node := range []uint32{0, 1, 0x010203, MaxNode} {
		texts := []string{ForOffer(node, strings.Repeat("x", 80))}
		for _, f := range samples() {
			f.Node = node
			text := f.Text(&testKey)
			texts = append(texts, text, WithInit(text, 1, 2))
		}
		for _, text := range texts {
			if got, ok := Node([]byte(text)); !ok || got != node {
				t.Errorf("%q is of node %d, %v, want %d", text, got, ok, node)
			}
		}
	}
	for _, text := range []string{"", "P", "PAAA", "XAAAA", "pAAAA", "PAAA\n", "P-AAA", "=AAAA"} {
		if node, ok := Node([]byte(text)); ok {
			t.Errorf("%q is of node %d, want none", text, node)
		}
	}
	b := []byte("PAAAAx")
	if n := testing.AllocsPerRun(100, func() { Node(b) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range samples() {
		f.Add([]byte(s.Text(&testKey)))
	}
	r := NewReader(&testKey)
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Fragment
		if r.Read(b, &got) && got.Text(&testKey) != string(b) {
			t.Errorf("%q is read as %+v, which is %q", b, got, got.Text(&testKey))
		}
	})
}

// other returns a fragment with another character that ICE allows.
func other(text []byte) []byte {
	b := slices.Clone(text)
	if b[9] = 'x'; text[9] == 'x' {
		b[9] = 'y'
	}
	return b
}

// BenchmarkRead is what a check with a fragment costs beside STUN: one that is forged, and one for which
// the password is needed, too.
func BenchmarkRead(b *testing.B) {
	r := NewReader(&testKey)
	good := []byte(samples()[2].Text(&testKey))
	forged := other(good)
	var f Fragment
	b.Run("forged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Read(forged, &f)
		}
	})
	b.Run("good", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Read(good, &f)
			r.Pwd(good)
		}
	})
}

// A fragment with the numbers of a client's INIT is read as without them, and has its password.
func TestFragmentsWithAnInit(t *testing.T) {
	r := NewReader(&testKey)
	for _, f := range samples() {
		plain := f.Text(&testKey)
		with := WithInit(plain, 0x01020304, 0xfffefdfc)
		if len(with) != len(plain)+initLen || with[0] != plain[0]+'a'-'A' || !IsDirect([]byte(with)) || Plain(with) != plain || Plain(plain) != plain {
			t.Errorf("%q with an INIT: %q, and without it again %q", plain, with, Plain(with))
		}
		var got Fragment
		if r.Read([]byte(with), &got) {
			t.Errorf("Read takes %q as it is", with)
		}
		text, tag, tsn, ok := r.Plain([]byte(with))
		if !ok || string(text) != plain || tag != 0x01020304 || tsn != 0xfffefdfc || !r.Read(text, &got) || !equal(&got, &f) {
			t.Errorf("%q: %q, tag %x, TSN %x, %v; read as %+v", with, text, tag, tsn, ok, got)
		}
		if text, tag, _, ok := r.Plain([]byte(plain)); !ok || string(text) != plain || tag != 0 {
			t.Errorf("without an INIT: %q, tag %x, %v", text, tag, ok)
		}
	}
	longest := Fragment{Form: Invite, Subject: bytes.Repeat([]byte("s"), MaxSubject), Data: bytes.Repeat([]byte("d"), MaxData)}
	if n := len(WithInit(longest.Text(&testKey), 1, 1)); n != 204 {
		t.Errorf("the longest fragment has %d characters, want 204", n)
	}
	// docs/SESSION.md has the same one.
	if got := WithInit("RAAAA", 0x01020304, 0x05060708); got != "rAAAAAQIDBAUGBwg" {
		t.Errorf("RAAAA with an INIT is %q", got)
	}
}

// An end that is malformed, or whose tag is 0, is refused.
func TestMalformedInits(t *testing.T) {
	r := NewReader(&testKey)
	f := samples()[0]
	with := WithInit(f.Text(&testKey), 1, 2)
	for name, s := range map[string]string{
		"tag 0":              WithInit(f.Text(&testKey), 0, 2),
		"only the form":      "d",
		"only an end":        "d" + with[len(with)-initLen:][1:],
		"an end of a line":   with[:len(with)-1] + "\n",
		"another character":  with[:len(with)-1] + "-",
		"bits that are over": with[:len(with)-1] + "J",
		"far too long":       "d" + strings.Repeat("A", 300),
	} {
		if text, tag, _, ok := r.Plain([]byte(s)); ok {
			t.Errorf("%s: %q, tag %d", name, text, tag)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.Plain([]byte(with)) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
