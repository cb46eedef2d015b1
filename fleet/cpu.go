package fleet

import (
	"runtime"
	"time"
)

// A cpuMeter measures how much of the processors this process uses.
type cpuMeter struct {
	at   time.Time
	used time.Duration
	last float64
}

// share returns the share since the last call, 0 to 1.
func (m *cpuMeter) share(now time.Time) float64 {
	used := processTime()
	if wall := now.Sub(m.at); !m.at.IsZero() && wall > 0 {
		m.last = min(1, float64(used-m.used)/float64(wall)/float64(runtime.GOMAXPROCS(0)))
	}
	m.at, m.used = now, used
	return m.last
}
