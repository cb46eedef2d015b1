package dtls

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	pionprf "github.com/pion/dtls/v3/pkg/crypto/prf"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

var testSuites = []Suite{ECDSAWithAES128GCM, RSAWithAES128GCM, ECDSAWithChaCha20, RSAWithChaCha20}

func testKeys(s Suite) *Keys {
	return testkit.Must(DeriveKeys(s, bytes.Repeat([]byte{1}, 48), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 32)))
}

// testConns returns both ends of a connection whose handshake is done.
func testConns(s Suite) (client, server *Conn) {
	client, server = new(Conn), new(Conn)
	client.Init(testKeys(s), true, FirstRecord)
	server.Init(testKeys(s), false, FirstRecord)
	client.Done()
	server.Done()
	return client, server
}

func seal(t testing.TB, c *Conn, typ ContentType, plain string) []byte {
	t.Helper()
	b, err := c.Seal(append(c.Reserve(nil), plain...), 0, typ)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantDrop(t *testing.T, c *Conn, what string, raw []byte, want Drop) {
	t.Helper()
	before := c.Drops()[want]
	plain, _, drop := c.Open(bytes.Clone(raw))
	if drop != want || plain != nil {
		t.Errorf("%s: %v, want %v", what, drop, want)
	}
	if drop != DropNone && c.Drops()[want] != before+1 {
		t.Errorf("%s: the drop %v is not counted", what, want)
	}
}

func TestDeriveKeysAgreesWithPion(t *testing.T) {
	master, cr, sr := bytes.Repeat([]byte{7}, 48), bytes.Repeat([]byte{8}, 32), bytes.Repeat([]byte{9}, 32)
	for _, s := range testSuites {
		keyLen, ivLen := 16, 4
		if s.chacha() {
			keyLen, ivLen = 32, 12
		}
		want := testkit.Must(pionprf.GenerateEncryptionKeys(master, cr, sr, 0, keyLen, ivLen, sha256.New))
		k := testkit.Must(DeriveKeys(s, master, cr, sr))
		for _, v := range []struct{ got, want []byte }{
			{k.client[:keyLen], want.ClientWriteKey},
			{k.server[:keyLen], want.ServerWriteKey},
			{k.clientIV[:ivLen], want.ClientWriteIV},
			{k.serverIV[:ivLen], want.ServerWriteIV},
		} {
			if !bytes.Equal(v.got, v.want) {
				t.Errorf("%v: got %x, want %x", s, v.got, v.want)
			}
		}
	}
	if _, err := DeriveKeys(0xc00a, master, cr, sr); !errors.Is(err, errSuite) {
		t.Errorf("a CBC suite: %v, want %v", err, errSuite)
	}
}

func TestSealOpen(t *testing.T) {
	for _, s := range testSuites {
		a, b := testConns(s)
		for _, plain := range []string{"", "x", string(make([]byte, 1188)), string(make([]byte, maxPlaintext))} {
			for _, dir := range []struct{ from, to *Conn }{{a, b}, {b, a}} {
				raw := seal(t, dir.from, TypeApplicationData, plain)
				if len(raw) != len(plain)+dir.from.Overhead() {
					t.Errorf("%v: a record of %d bytes for %d and an overhead of %d, want their sum", s, len(raw), len(plain), dir.from.Overhead())
				}
				got, typ, drop := dir.to.Open(raw)
				if drop != DropNone || typ != TypeApplicationData || string(got) != plain || got == nil {
					t.Errorf("%v: opened %d bytes, type %v, drop %v; want the plaintext, application data, no drop", s, len(got), typ, drop)
				}
			}
		}
		if _, err := a.Seal(append(a.Reserve(nil), make([]byte, maxPlaintext+1)...), 0, TypeApplicationData); !errors.Is(err, errTooLarge) {
			t.Errorf("%v: sealing more than %d bytes: %v, want ErrTooLarge", s, maxPlaintext, err)
		}
	}
}

// A record may be built behind others in one buffer. The bytes before it do not change.
func TestSealAtOffset(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	buf := append(make([]byte, 0, 1500), "before"...)
	for _, plain := range []string{"one", "two"} {
		start := len(buf)
		buf = append(a.Reserve(buf), plain...)
		buf = testkit.Must(a.Seal(buf, start, TypeApplicationData))
	}
	wantString(t, "prefix is", string(buf[:6]), "before")
	var got []string
	for r := range Records(buf[6:]) {
		plain, _, _ := b.Open(r.Raw)
		got = append(got, string(plain))
	}
	if len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("the opened records are %q, want one and two", got)
	}
}

// The explicit nonce is epoch and record number, so it never repeats.
func TestNoncesIncrease(t *testing.T) {
	a, _ := testConns(ECDSAWithAES128GCM)
	last := uint64(0)
	buf := make([]byte, 0, 200)
	for i := range 100_000 {
		b := testkit.Must(a.Seal(append(a.Reserve(buf[:0]), "x"...), 0, TypeApplicationData))
		nonce := binary.BigEndian.Uint64(b[headerLen:])
		if want := uint64(1)<<48 + FirstRecord + uint64(i); nonce != want || nonce <= last {
			t.Fatalf("record %d has nonce %x, want %x", i, nonce, want)
		}
		if !bytes.Equal(b[headerLen:headerLen+8], b[offEpoch:offEpoch+8]) {
			t.Fatalf("the nonce %x differs from epoch and number", b[headerLen:headerLen+8])
		}
		last = nonce
	}
}

func TestNothingBeforeDone(t *testing.T) {
	k := testKeys(ECDSAWithAES128GCM)
	var client, server Conn
	if client.Ready() {
		t.Error("Ready() = true without keys")
	}
	client.Init(k, true, FirstRecord)
	server.Init(k, false, FirstRecord)
	if !client.Ready() || !server.Ready() {
		t.Error("Ready() = false with keys")
	}

	if _, err := server.Seal(server.Reserve(nil), 0, TypeApplicationData); !errors.Is(err, errNotDone) {
		t.Errorf("the server seals before Done: %v, want ErrNotDone", err)
	}
	var early []byte
	for n := FirstRecord; n <= maxBeforeDone; n++ {
		early = seal(t, &client, TypeApplicationData, "x")
	}
	if n := recordNumber(early); n != maxBeforeDone {
		t.Errorf("last record before Done is %d, want %d", n, maxBeforeDone)
	}
	if _, err := client.Seal(client.Reserve(nil), 0, TypeApplicationData); !errors.Is(err, errNotDone) {
		t.Errorf("the client seals record %d before Done: %v, want ErrNotDone", maxBeforeDone+1, err)
	}
	wantDrop(t, &server, "opened before Done", early, dropEarly)

	client.Done()
	server.Done()
	if b := seal(t, &client, TypeApplicationData, "x"); recordNumber(b) != maxBeforeDone+1 {
		t.Errorf("the first record after Done is %d, want %d", recordNumber(b), maxBeforeDone+1)
	}
	wantDrop(t, &server, "again", append([]byte{99}, early[1:]...), dropType)
	if plain, _, drop := server.Open(early); drop != DropNone || string(plain) != "x" {
		t.Errorf("opening the early record after Done: %v, want no drop", drop)
	}
}

// Alerts, handshake messages and data that the peer has sealed are opened.
func TestOpenTakesTypes(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	for typ := range 256 {
		want := dropType
		if typ >= 21 && typ <= 23 {
			want = DropNone
		}
		plain, got, drop := b.Open(seal(t, a, ContentType(typ), "x"))
		if drop != want || drop == DropNone && (string(plain) != "x" || got != ContentType(typ)) {
			t.Errorf("type %d: %q of type %d, %v, want %v", typ, plain, got, drop, want)
		}
	}
}

func TestNumbersRunOut(t *testing.T) {
	a, b := testConns(ECDSAWithChaCha20)
	a.next = maxNumber
	raw := seal(t, a, TypeApplicationData, "last")
	if _, _, drop := b.Open(raw); drop != DropNone || recordNumber(raw) != maxNumber {
		t.Errorf("record %d: %v, want no drop", recordNumber(raw), drop)
	}
	if _, err := a.Seal(a.Reserve(nil), 0, TypeApplicationData); !errors.Is(err, ErrExhausted) {
		t.Errorf("record after the last: %v, want %v", err, ErrExhausted)
	}
}

// The replay window includes the last record number; records after it are dropped.
func TestReplayWindowAtTheEnd(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	record := func(n uint64) []byte {
		a.next = n
		return seal(t, a, TypeApplicationData, "x")
	}
	open := func(n uint64, want Drop) {
		t.Helper()
		if _, _, drop := b.Open(record(n)); drop != want {
			t.Errorf("record %#x: %v, want %v", n, drop, want)
		}
	}
	open(maxNumber-replayWindow-100, DropNone)
	open(maxNumber, DropNone)
	open(maxNumber, dropReplay)
	open(maxNumber-1, DropNone)
	open(maxNumber-1, dropReplay)
	open(maxNumber-replayWindow+1, DropNone)
	open(maxNumber-replayWindow, dropReplay)
	open(maxNumber-replayWindow-100, dropReplay)
	open(0, dropReplay)
}

// A record with a forged number does not move the replay window.
func TestForgeryMovesNothing(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	good := seal(t, a, TypeApplicationData, "x")
	forged := bytes.Clone(good)
	putRecordNumber(forged, 1, maxNumber)
	wantDrop(t, b, "forged number", forged, dropAuth)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if _, _, drop := b.Open(bad); drop == DropNone {
			t.Errorf("a record with byte %d changed is opened", i)
		}
	}
	if plain, _, drop := b.Open(good); drop != DropNone || string(plain) != "x" {
		t.Errorf("the valid record after the forged ones: %v, want no drop", drop)
	}
}

func TestTooManyForgeries(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	raw := seal(t, a, TypeApplicationData, "x")
	bad := bytes.Clone(raw)
	bad[len(bad)-1] ^= 1
	b.failures = maxFailures - 1
	wantDrop(t, b, "last forgery allowed", bad, dropAuth)
	wantDrop(t, b, "a real record under worn-out keys", raw, DropFailures)
}

// Plaintext records after the handshake, of every type and epoch, are never delivered and
// change nothing.
func TestForgedRecordsOfAllTypesAndEpochs(t *testing.T) {
	a, b := testConns(ECDSAWithAES128GCM)
	for typ := range 256 {
		for epoch := range uint16(3) {
			for _, body := range []string{"", "\x01", "\x02\x28", "\x01\x00", string(make([]byte, 24)), string(make([]byte, 64))} {
				raw := append([]byte{byte(typ), 0xfe, 0xfd}, make([]byte, 8)...)
				putRecordNumber(raw, epoch, 1000)
				raw = binary.BigEndian.AppendUint16(raw, uint16(len(body)))
				raw = append(raw, body...)
				if plain, _, drop := b.Open(raw); drop == DropNone || plain != nil {
					t.Errorf("type %d, epoch %d, %d bytes: the record is opened", typ, epoch, len(body))
				} else if epoch != 1 && drop != dropEpoch {
					t.Errorf("type %d, epoch %d: %v, want %v", typ, epoch, drop, dropEpoch)
				}
			}
		}
	}
	if plain, _, drop := b.Open(seal(t, a, TypeApplicationData, "alive")); drop != DropNone || string(plain) != "alive" {
		t.Errorf("a valid record after the forged ones: %v, want no drop", drop)
	}
}

func TestOpenTruncated(t *testing.T) {
	for _, s := range testSuites {
		a, b := testConns(s)
		raw := seal(t, a, TypeApplicationData, "some plaintext")
		for n := range raw {
			wantDrop(t, b, "truncated", raw[:n:n], dropMalformed)
			short := bytes.Clone(raw[:n])
			if n >= headerLen { // corrects the length in the header
				binary.BigEndian.PutUint16(short[offLength:], uint16(n-headerLen))
				if _, _, drop := b.Open(short); drop == DropNone {
					t.Errorf("%v: %d of the %d bytes of a record are opened", s, n, len(raw))
				}
			}
		}
		if _, _, drop := b.Open(raw); drop != DropNone {
			t.Errorf("%v: the whole record is dropped: %v", s, drop)
		}
	}
}

func TestAllocs(t *testing.T) {
	for _, s := range testSuites {
		a, b := testConns(s)
		buf, plain := make([]byte, 0, 1500), make([]byte, 228)
		if n := testing.AllocsPerRun(100, func() {
			r, _ := a.Seal(append(a.Reserve(buf), plain...), 0, TypeApplicationData)
			if _, _, drop := b.Open(r); drop != DropNone {
				t.Fatal(drop)
			}
			r[len(r)-1] ^= 1
			b.window = replay{}
			for r := range Records(r) {
				if _, _, drop := b.Open(r.Raw); drop != dropAuth {
					t.Fatal(drop)
				}
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations to seal, open and refuse a record, want 0", s, n)
		}
	}
}

func TestAlerts(t *testing.T) {
	for b, closes := range map[string]bool{
		"\x01\x00":  true,  // close_notify
		"\x02\x00":  true,  // close_notify with the level fatal
		"\x02\x28":  true,  // fatal handshake_failure
		"\x01\x5a":  false, // user_canceled
		"\x01\x64":  false, // no_renegotiation
		"\x03\x00":  false, // no such level
		"\x00\x00":  false, // the same
		"\x01":      false, // short
		"\x02":      false,
		"\x01\x00x": false, // long
		"\x02\x28x": false,
		"":          false,
	} {
		if AlertCloses([]byte(b)) != closes {
			t.Errorf("%x closes: %v, want %v", b, !closes, closes)
		}
	}
	if b := AppendCloseNotify(nil); string(b) != "\x01\x00" {
		t.Errorf("AppendCloseNotify returns %x, want 0100", b)
	}
}

func FuzzOpen(f *testing.F) {
	a, _ := testConns(ECDSAWithAES128GCM)
	f.Add(seal(f, a, TypeApplicationData, "plain"))
	f.Add(seal(f, a, TypeAlert, "\x01\x00"))
	f.Add([]byte("\x15\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x02\x28"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, b := testConns(ECDSAWithAES128GCM)
		before := b.window
		plain, typ, drop := b.Open(bytes.Clone(raw))
		switch {
		case drop != DropNone && (plain != nil || b.window != before):
			t.Fatalf("a record that is dropped with %v has changed the window or returns bytes", drop)
		case drop == DropNone && typ == TypeApplicationData && string(plain) != "plain":
			t.Fatalf("a forged record is opened: %q", plain)
		}
	})
}
