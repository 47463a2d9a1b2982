package core

import "time"

// stopwatch measures on this machine's monotonic clock, for which the
// configured one is no substitute: the clocks of two machines are never compared,
// and a step of the wall clock must neither hasten nor delay a take-over.
type stopwatch struct{ start time.Time }

func startWatch() stopwatch { return stopwatch{time.Now()} } //nolint:forbidigo // the one place for real time

func (w stopwatch) elapsed() time.Duration { return time.Since(w.start) }
