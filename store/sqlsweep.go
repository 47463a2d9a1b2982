package store

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// sweepEvery is the time between two sweeps, on average: processes that have
	// started together are not to sweep together.
	sweepEvery = time.Minute
	// sweepRows are deleted at a time, which takes some milliseconds. Then others have
	// sweepPause to write.
	sweepRows  = 1000
	sweepPause = 50 * time.Millisecond
)

// sweep deletes expired rows, at once and then from time to time, until ctx ends.
func (s *SQL) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.table.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "store: expired rows could not be deleted", "error", err)
		}
		sleep(ctx, sweepEvery/2+rand.N(sweepEvery))
	}
}

// sweep leaves to the next one what it has no time for.
func (t *table) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepEvery)
	defer cancel()
	for ctx.Err() == nil {
		rows, err := t.exec(ctx, t.sql.sweep, sweepRows)
		if err != nil || rows < sweepRows {
			return err
		}
		sleep(ctx, sweepPause)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
