package dtls

import (
	"bytes"
	"testing"
)

// plaintextRecord builds an epoch-0 record.
func plaintextRecord(t ContentType, number uint64, body string) []byte {
	b := []byte{byte(t), 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(body) >> 8), byte(len(body))}
	putRecordNumber(b, 0, number)
	return append(b, body...)
}

func TestRecords(t *testing.T) {
	one := plaintextRecord(TypeHandshake, 7, "first")
	two := plaintextRecord(TypeAlert, maxNumber, "")
	putRecordNumber(two, 3, maxNumber)
	datagram := append(bytes.Clone(one), two...)
	var got []Record
	for r := range Records(datagram) {
		got = append(got, r)
	}
	if len(got) != 2 {
		t.Fatalf("%d records, want 2", len(got))
	}
	if r := got[0]; r.Type != TypeHandshake || r.Epoch != 0 || r.Number != 7 || string(r.Body()) != "first" {
		t.Errorf("first record is %+v", r)
	}
	if r := got[1]; r.Type != TypeAlert || r.Epoch != 3 || r.Number != maxNumber || len(r.Body()) != 0 {
		t.Errorf("second record is %+v", r)
	}
	for n := range datagram {
		count := 0
		for range Records(datagram[:n]) {
			count++
		}
		if want := min(1, n/len(one)); count != want {
			t.Errorf("%d bytes hold %d records, want %d", n, count, want)
		}
	}
}

func TestRecordVersions(t *testing.T) {
	for version, ok := range map[string]bool{"\xfe\xfd": true, "\xfe\xff": true, "\x03\x03": false, "\xfe\xfc": false} {
		b := plaintextRecord(TypeHandshake, 0, "x")
		copy(b[offVersion:], version)
		if _, drop := parseRecord(b); (drop == DropNone) != ok {
			t.Errorf("version %x: %v", version, drop)
		}
	}
}

func TestIsDTLS(t *testing.T) {
	for b := range 256 {
		if got, want := IsDTLS([]byte{byte(b)}), b >= 20 && b <= 63; got != want {
			t.Errorf("first byte %d: %v", b, got)
		}
	}
	if IsDTLS(nil) {
		t.Error("an empty datagram is DTLS")
	}
}

func FuzzRecords(f *testing.F) {
	f.Add(plaintextRecord(TypeHandshake, 1, "body"))
	f.Add(append(plaintextRecord(TypeChangeCipherSpec, 1, "\x01"), plaintextRecord(TypeHandshake, 2, "x")...))
	for _, c := range captures(f) {
		for _, d := range c.page {
			f.Add(d)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var joined []byte
		for r := range Records(b) {
			if len(r.Raw) != headerLen+len(r.Body()) || r.Number > maxNumber || cap(r.Raw) != len(r.Raw) {
				t.Fatalf("record %+v", r)
			}
			joined = append(joined, r.Raw...)
		}
		if !bytes.HasPrefix(b, joined) {
			t.Fatal("records are not a prefix of the datagram")
		}
	})
}
