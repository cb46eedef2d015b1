package dtls

// A Drop says why a record, or a part of one, was dropped. Bad input is not an error: it is
// counted and dropped. A caller distinguishes only DropNone and DropFailures; String names the
// others, for a counter.
type Drop uint8

// Causes of a drop.
const (
	DropNone      Drop = iota // not dropped
	dropMalformed             // an invalid length or field
	dropVersion               // neither DTLS 1.2 nor 1.0 in the record header
	dropEpoch                 // plaintext after the handshake, or an epoch above 1
	dropType                  // a content type that is not valid in this epoch
	dropEarly                 // encrypted data before the peer's Finished was verified
	dropReplay                // a record number that was used before, or is too old to know
	dropAuth                  // the AEAD refused the record
	DropFailures              // the AEAD has refused too many records: close the connection
	dropFragment              // a handshake fragment that contradicts an earlier one
	dropFull                  // a limit was reached: fragments, bytes, early records
	dropCount
)

var dropNames = [dropCount]string{
	"none", "malformed", "version", "epoch", "type", "early", "replay", "auth", "failures", "fragment", "full",
}

func (d Drop) String() string {
	if d < dropCount {
		return dropNames[d]
	}
	return "unknown"
}

// Drops counts drops by cause: the index is a Drop, which [Drop.String] names.
type Drops [dropCount]uint32

// Total returns the sum over all causes.
func (d *Drops) Total() (n uint64) {
	for _, v := range d[DropNone+1:] {
		n += uint64(v)
	}
	return n
}

func (d *Drops) count(cause Drop) { d[cause]++ }
