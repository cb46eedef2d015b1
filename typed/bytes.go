package typed

// Bytes is the type of messages that are bytes without a type: the program encodes and decodes
// them. Bytes that a handler gets are a copy.
type Bytes []byte

// AppendBinary appends the bytes to b.
func (m Bytes) AppendBinary(b []byte) ([]byte, error) { return append(b, m...), nil }

// UnmarshalBinary copies b.
func (m *Bytes) UnmarshalBinary(b []byte) error {
	*m = append(Bytes{}, b...)
	return nil
}
