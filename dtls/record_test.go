package dtls

import (
	"bytes"
	"testing"
)

// plaintextRecord returns a record of epoch 0.
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
		t.Errorf("the first record is %+v, want a handshake record of epoch 0, number 7", r)
	}
	if r := got[1]; r.Type != TypeAlert || r.Epoch != 3 || r.Number != maxNumber || len(r.Body()) != 0 {
		t.Errorf("the second record is %+v, want an empty alert of epoch 3, number %d", r, uint64(maxNumber))
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
			t.Errorf("version %x: drop %v, want a valid record: %v", version, drop, ok)
		}
	}
}

func TestIsDTLS(t *testing.T) {
	for b := range 256 {
		if got, want := IsDTLS([]byte{byte(b)}), b >= 20 && b <= 63; got != want {
			t.Errorf("IsDTLS of the first byte %d = %v, want %v", b, got, want)
		}
	}
	if IsDTLS(nil) {
		t.Error("IsDTLS(nil) = true")
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
				t.Fatalf("the record %+v has a wrong length, capacity or number", r)
			}
			joined = append(joined, r.Raw...)
		}
		if !bytes.HasPrefix(b, joined) {
			t.Fatal("the records are not a prefix of the datagram")
		}
	})
}
