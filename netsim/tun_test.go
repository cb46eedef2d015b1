package netsim

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeDevice is a TUN device whose kernel is a test.
type fakeDevice struct {
	sent   chan []byte // what the kernel sends; closed if the device is lost
	begin  time.Time
	closed chan struct{}

	mu      sync.Mutex
	arrived []string // what the kernel has got
	times   []time.Duration
	refuses bool
}

func newFakeDevice() *fakeDevice {
	return &fakeDevice{sent: make(chan []byte), begin: time.Now(), closed: make(chan struct{})}
}

func (d *fakeDevice) Read(b []byte) (int, error) {
	select {
	case p, ok := <-d.sent:
		if !ok {
			return 0, errBroken
		}
		return copy(b, p), nil
	case <-d.closed:
		return 0, os.ErrClosed
	}
}

func (d *fakeDevice) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses {
		return 0, io.ErrShortWrite
	}
	d.arrived = append(d.arrived, string(b))
	d.times = append(d.times, time.Since(d.begin))
	return len(b), nil
}

func (d *fakeDevice) Close() error { close(d.closed); return nil }

// fakeTun is a Tun between two devices of a bubble.
func fakeTun(t *testing.T, c TunConfig) (tun *Tun, near, far *fakeDevice) {
	near, far = newFakeDevice(), newFakeDevice()
	tun = newTun(c, tunEnd{near, new(Namespace)}, tunEnd{far, new(Namespace)})
	t.Cleanup(func() { tun.Close() })
	return tun, near, far
}

func want(t *testing.T, d *fakeDevice, texts []string, times []time.Duration) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.arrived) != len(texts) {
		t.Fatalf("%q arrived, want %q", d.arrived, texts)
	}
	for i := range texts {
		if d.arrived[i] != texts[i] || d.times[i] != times[i] {
			t.Errorf("%q arrived at %v, want %q at %v", d.arrived, d.times, texts, times)
		}
	}
}

// Each direction has its own link: packets leave in order, when the rate and the delay say.
func TestTunPassesPacketsWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tun, near, far := fakeTun(t, TunConfig{
			Up:   Link{Delay: 50 * ms, Rate: 1000},
			Down: Link{Delay: 20 * ms, Rate: 1000, Queue: 30},
		})
		far.sent <- []byte("up")
		for _, p := range []string{"ten bytes.", "and twenty more bytes", "20 bytes that do fit"} {
			near.sent <- []byte(p)
		}
		synctest.Wait()
		if s := tun.Stats(); s.UnderWay != 3 || s.DownBacklog != 30 || s.UpBacklog != 2 || s.Down.QueueDropped != 1 {
			t.Errorf("%+v: want the three that fit under way", s)
		}
		time.Sleep(time.Second)
		want(t, near, []string{"up"}, []time.Duration{52 * ms})
		want(t, far, []string{"ten bytes.", "20 bytes that do fit"}, []time.Duration{30 * ms, 50 * ms})
	})
}

// A blackout and a new link have an effect on the packets after them; a trace has the fates.
func TestTunChangesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trace bytes.Buffer
		recorder := NewRecorder(&trace)
		tun, near, far := fakeTun(t, TunConfig{Record: recorder})
		send := func(from *fakeDevice, text string) {
			from.sent <- []byte(text)
			synctest.Wait()
		}
		send(far, "first")
		tun.BlackoutFor(time.Second)
		send(far, "dark")
		time.Sleep(time.Second)
		send(far, "after it")
		tun.BlackoutFor(time.Hour)
		tun.BlackoutFor(0)
		tun.SetUp(Link{Loss: 1})
		send(far, "lost")
		tun.SetUp(Link{Duplicate: 1})
		send(far, "twice")
		tun.SetDown(Link{Delay: time.Second})
		send(near, "late")
		want(t, near, []string{"first", "after it", "twice", "twice"}, []time.Duration{0, time.Second, time.Second, time.Second})
		want(t, far, nil, nil)
		time.Sleep(time.Second)
		want(t, far, []string{"late"}, []time.Duration{2 * time.Second})
		if err := recorder.Flush(); err != nil {
			t.Fatal(err)
		}
		fates, err := ReadTrace(&trace)
		if err != nil || len(fates) != 6 || fates[1].Drop != DropLost || len(fates[4].After) != 2 || fates[4].Path != "up-1" || fates[5].Path != "down-1" {
			t.Errorf("%+v, %v", fates, err)
		}
	})
}

// Packets that the kernel refuses are counted. A device that cannot be read is an error of the Tun.
func TestTunCountsAndReportsWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tun, near, far := fakeTun(t, TunConfig{})
		near.refuses = true
		far.sent <- []byte("damaged")
		synctest.Wait()
		if s := tun.Stats(); s.Failed != 1 || s.Up.Passed != 1 {
			t.Errorf("%+v: want one that passed and failed", s)
		}
		if err := tun.Err(); err != nil {
			t.Errorf("before the failure: %v", err)
		}
		close(far.sent)
		synctest.Wait()
		if err := tun.Err(); !errors.Is(err, errBroken) {
			t.Errorf("a device cannot be read: %v", err)
		}
	})
}
