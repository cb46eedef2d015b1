//go:build !linux

package load

import (
	"context"
	"time"
)

// pace calls do rate times a second, those of each tick together, until ctx is
// done.
func pace(ctx context.Context, rate float64, tick time.Duration, do func()) {
	if rate <= 0 {
		<-ctx.Done()
		return
	}
	paceCoarsely(ctx, rate, tick, do)
}
