package load

import (
	"context"
	"time"
)

// paceCoarsely is pace with the runtime's timers.
func paceCoarsely(ctx context.Context, rate float64, tick time.Duration, do func()) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	begin := time.Now()
	for n := 0; ctx.Err() == nil; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		for due := int(rate * time.Since(begin).Seconds()); n < due && ctx.Err() == nil; n++ {
			do()
		}
	}
}
