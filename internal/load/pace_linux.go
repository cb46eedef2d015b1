package load

import (
	"context"
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pace calls do rate times a second, those of each tick together, until ctx is
// done. The runtime's timers may be a millisecond late when a program is otherwise
// idle, so this waits for one of the kernel's.
func pace(ctx context.Context, rate float64, tick time.Duration, do func()) {
	if rate <= 0 {
		<-ctx.Done()
		return
	}
	timer, err := newTicker(tick)
	if err != nil {
		paceCoarsely(ctx, rate, tick, do)
		return
	}
	defer timer.Close()
	begin := time.Now()
	var expirations [8]byte
	for n := 0; ctx.Err() == nil; {
		if _, err := timer.Read(expirations[:]); err != nil || binary.NativeEndian.Uint64(expirations[:]) == 0 {
			return
		}
		for due := int(rate * time.Since(begin).Seconds()); n < due && ctx.Err() == nil; n++ {
			do()
		}
	}
}

// newTicker returns a file that can be read once every interval.
func newTicker(interval time.Duration) (*os.File, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	t := unix.NsecToTimespec(int64(interval))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: t, Value: t}, nil); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "timerfd"), nil
}
