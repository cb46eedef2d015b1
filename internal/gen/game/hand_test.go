package game

import (
	"errors"
	"time"
)

// What a person writes for the same bytes: a writer and a reader of bits, and a function for each message. It checks
// what a server must check before it believes a client, and nothing more.

type bitWriter struct {
	b   []byte
	acc uint64
	n   uint
}

func (w *bitWriter) put(v uint64, n uint) {
	w.acc |= v << w.n
	w.n += n
	for w.n >= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
		w.n -= 8
	}
}

func (w *bitWriter) varint(v uint64, n uint) {
	for ; v > 127 && n > 7; n -= 7 {
		w.put(v&127|128, 8)
		v >>= 7
	}
	w.put(v, min(n, 8))
}

func (w *bitWriter) text(s string, n uint) {
	w.put(uint64(len(s)), n)
	if len(s) == 0 {
		return
	}
	w.put(0, -w.n&7)
	w.b = append(w.b, s...)
}

func (w *bitWriter) end() []byte {
	if w.n > 0 {
		w.b = append(w.b, byte(w.acc))
	}
	return w.b
}

func bit(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

func quantize(v float32, lo, hi, step float64) uint64 {
	return uint64((max(lo, min(hi, float64(v)))-lo)/step + 0.5)
}

type bitReader struct {
	b   []byte
	acc uint64
	n   uint
	bad bool
}

var errBad = errors.New("bad message")

func (r *bitReader) get(n uint) uint64 {
	for r.n < n {
		if len(r.b) == 0 {
			r.bad = true
			return 0
		}
		r.acc |= uint64(r.b[0]) << r.n
		r.b = r.b[1:]
		r.n += 8
	}
	v := r.acc & (1<<n - 1)
	r.acc >>= n
	r.n -= n
	return v
}

func (r *bitReader) varint(n uint) uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		size := min(n-shift, 8)
		c := r.get(size)
		v |= c & 127 << shift
		if size < 8 || c < 128 {
			return v
		}
	}
}

func (r *bitReader) text(n uint) string {
	length := int(r.get(n))
	if length == 0 {
		return ""
	}
	r.acc, r.n = 0, 0
	if length > len(r.b) {
		r.bad = true
		return ""
	}
	s := string(r.b[:length])
	r.b = r.b[length:]
	return s
}

func (r *bitReader) end() error {
	if r.bad || len(r.b) > 0 {
		return errBad
	}
	return nil
}

func appendInput(b []byte, m *Input) []byte {
	w := bitWriter{b: b}
	w.varint(uint64(m.Tick), 32)
	w.put(uint64(m.Forward+1), 2)
	w.put(uint64(m.Strafe+1), 2)
	w.put(bit(m.Jump), 1)
	w.put(bit(m.Fire), 1)
	w.put(bit(m.Crouch), 1)
	w.put(uint64(m.Weapon), 3)
	w.put(quantize(m.Yaw, -180, 180, 0.1), 12)
	w.put(quantize(m.Pitch, -90, 90, 0.1), 11)
	return w.end()
}

func parseInput(b []byte, m *Input) error {
	r := bitReader{b: b}
	m.Tick = uint32(r.varint(32))
	m.Forward = int8(r.get(2)) - 1
	m.Strafe = int8(r.get(2)) - 1
	m.Jump = r.get(1) != 0
	m.Fire = r.get(1) != 0
	m.Crouch = r.get(1) != 0
	m.Weapon = uint8(r.get(3))
	m.Yaw = float32(float64(r.get(12))*0.1 - 180)
	m.Pitch = float32(float64(r.get(11))*0.1 - 90)
	return r.end()
}

func appendSnapshot(b []byte, m *Snapshot) []byte {
	w := bitWriter{b: b}
	w.varint(uint64(m.Tick), 32)
	w.varint(uint64(m.Ack), 32)
	w.put(uint64(len(m.Entities)), 7)
	for i := range m.Entities {
		e := &m.Entities[i]
		w.varint(uint64(e.ID), 16)
		w.put(uint64(e.Kind), 2)
		w.put(quantize(e.X, -512, 512, 0.0625), 15)
		w.put(quantize(e.Y, -512, 512, 0.0625), 15)
		w.put(quantize(e.Z, -64, 64, 0.0625), 12)
		w.put(quantize(e.VX, -16, 16, 0.125), 9)
		w.put(quantize(e.VY, -16, 16, 0.125), 9)
		w.put(quantize(e.Yaw, 0, 360, 1.40625), 9)
		w.put(uint64(e.Health), 7)
		w.put(bit(e.Firing), 1)
	}
	return w.end()
}

func parseSnapshot(b []byte, m *Snapshot) error {
	r := bitReader{b: b}
	m.Tick = uint32(r.varint(32))
	m.Ack = uint32(r.varint(32))
	n := r.get(7)
	if n > 64 || int(n)*10 > len(r.b) {
		return errBad
	}
	m.Entities = make([]Entity, n)
	for i := range m.Entities {
		e := &m.Entities[i]
		e.ID = uint16(r.varint(16))
		e.Kind = Kind(r.get(2))
		e.X = float32(float64(r.get(15))*0.0625 - 512)
		e.Y = float32(float64(r.get(15))*0.0625 - 512)
		e.Z = float32(float64(r.get(12))*0.0625 - 64)
		e.VX = float32(float64(r.get(9))*0.125 - 16)
		e.VY = float32(float64(r.get(9))*0.125 - 16)
		e.Yaw = float32(float64(r.get(9)) * 1.40625)
		e.Health = uint8(r.get(7))
		e.Firing = r.get(1) != 0
	}
	return r.end()
}

func appendLine(b []byte, m *Line) []byte {
	w := bitWriter{b: b}
	w.varint(uint64(m.From), 16)
	w.put(bit(m.Team), 1)
	w.varint(uint64(m.At.UnixMilli())<<1, 64)
	w.text(m.Text, 8)
	return w.end()
}

func parseLine(b []byte, m *Line) error {
	r := bitReader{b: b}
	m.From = uint16(r.varint(16))
	m.Team = r.get(1) != 0
	m.At = time.UnixMilli(int64(r.varint(64) >> 1)).UTC()
	m.Text = r.text(8)
	return r.end()
}

func appendInventory(b []byte, m *Inventory) []byte {
	w := bitWriter{b: b}
	w.varint(uint64(m.Gold), 32)
	w.put(quantize(m.Weight, 0, 500, 0.1), 13)
	w.varint(uint64(m.Capacity), 16)
	w.put(uint64(len(m.Items)), 6)
	for i := range m.Items {
		e := &m.Items[i]
		w.varint(uint64(e.ID), 16)
		w.varint(uint64(e.Count), 16)
		w.put(uint64(e.Slot), 6)
		w.put(uint64(e.Quality), 2)
		w.put(quantize(e.Wear, 0, 1, 0.01), 7)
		w.put(bit(e.Equipped), 1)
	}
	return w.end()
}

func parseInventory(b []byte, m *Inventory) error {
	r := bitReader{b: b}
	m.Gold = uint32(r.varint(32))
	m.Weight = float32(float64(r.get(13)) * 0.1)
	m.Capacity = uint16(r.varint(16))
	n := r.get(6)
	if n > 40 || int(n)*4 > len(r.b)+8 {
		return errBad
	}
	m.Items = make([]Item, n)
	for i := range m.Items {
		e := &m.Items[i]
		e.ID = uint16(r.varint(16))
		e.Count = uint16(r.varint(16))
		e.Slot = uint8(r.get(6))
		e.Quality = Quality(r.get(2))
		e.Wear = float32(float64(r.get(7)) * 0.01)
		e.Equipped = r.get(1) != 0
	}
	return r.end()
}

func appendJoin(b []byte, m *Join) []byte {
	w := bitWriter{b: b}
	w.text(m.Name, 5)
	w.put(uint64(m.Team), 2)
	w.put(uint64(m.Colour), 24)
	w.varint(uint64(m.Version), 16)
	return w.end()
}

func parseJoin(b []byte, m *Join) error {
	r := bitReader{b: b}
	m.Name = r.text(5)
	m.Team = Team(r.get(2))
	m.Colour = uint32(r.get(24))
	m.Version = uint16(r.varint(16))
	return r.end()
}
