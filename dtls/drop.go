package dtls

// A Drop says why a record, or a part of one, went no further. Bad input is not
// an error: it is counted and forgotten.
type Drop uint8

// Causes of a drop.
const (
	DropNone      Drop = iota // not dropped
	DropMalformed             // a length or a field that cannot be
	DropVersion               // neither DTLS 1.2 nor 1.0 in the record header
	DropEpoch                 // plaintext after the handshake, or an epoch that never comes
	DropType                  // a content type that has no business in this epoch
	DropEarly                 // sealed data before the peer's Finished was verified
	DropReplay                // a number seen before, or too old to tell
	DropAuth                  // the AEAD refused it
	DropFailures              // too many refused: the keys are worn out, close
	DropFragment              // a handshake fragment that contradicts an earlier one
	DropFull                  // a bound was reached: fragments, bytes, early records
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

// Drops counts drops by cause: Drops[DropReplay], and so on.
type Drops [dropCount]uint32

// Total returns the drops of every cause.
func (d *Drops) Total() (n uint64) {
	for _, v := range d[DropNone+1:] {
		n += uint64(v)
	}
	return n
}

func (d *Drops) count(cause Drop) { d[cause]++ }
