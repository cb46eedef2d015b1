package peer

import (
	"testing"
	"time"
)

// BenchmarkSend sends one message of 200 bytes: SCTP with its checksum, then DTLS.
func BenchmarkSend(b *testing.B) {
	w := newPair(b, false)
	w.connect()
	b.ReportAllocs()
	now := time.Now()
	for b.Loop() {
		if _, _, err := w.server.Send(now, w.room[:0], 0, 1, w.payload[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive receives one message of 200 bytes, and sends the acknowledgements that are
// due.
func BenchmarkReceive(b *testing.B) {
	const batch = 1000
	w := newPair(b, false)
	w.connect()
	records := make([][]byte, batch)
	b.ReportAllocs()
	now := time.Now()
	for i := 0; b.Loop(); i++ {
		if i%batch == 0 {
			b.StopTimer()
			w.record(b, now, records)
			b.StartTimer()
		}
		w.server.events, _ = w.server.Receive(now, w.client.addr, records[i%batch], w.server.events[:0])
		w.server.Flush(now)
		w.server.Append(now, w.back[:0])
	}
}

// record fills records with messages of the client.
func (w *pair) record(b *testing.B, now time.Time, records [][]byte) {
	for i := range records {
		var err error
		if records[i], _, err = w.client.Send(now, records[i][:0], 0, 1, w.payload[:]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEcho sends a message of 200 bytes from the client to the server and back: each side
// sends one and receives one.
func BenchmarkEcho(b *testing.B) {
	w := newPair(b, false)
	w.connect()
	w.echo(b) // buffers have their final size after it
	b.ReportAllocs()
	for b.Loop() {
		w.echo(b)
	}
}

// echo sends one message from the client to the server and one back.
func (w *pair) echo(b testing.TB) {
	now := time.Now()
	out, _, err := w.client.Send(now, w.room[:0], 0, 1, w.payload[:])
	if err != nil {
		b.Fatal(err)
	}
	w.server.events, _ = w.server.Receive(now, w.client.addr, out, w.server.events[:0])
	out, _, err = w.server.Send(now, w.back[:0], 0, 1, w.server.events[0].Payload)
	if err != nil {
		b.Fatal(err)
	}
	w.client.events, _ = w.client.Receive(now, w.server.addr, out, w.client.events[:0])
}

func TestEchoDoesNotAllocate(t *testing.T) {
	w := newPair(t, false)
	w.connect()
	w.echo(t)
	if n := testing.AllocsPerRun(1000, func() { w.echo(t) }); n != 0 {
		t.Errorf("%v allocations for an echo, want 0", n)
	}
}
