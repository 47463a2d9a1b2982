package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
)

// The application's own token, ours beside what Go programs cache tokens with today: golang.org/x/oauth2's client
// credentials, cloud.google.com/go/auth's cached provider, aws-sdk-go-v2's credentials cache. All ask one endpoint.
//
// requests: that came to the endpoint. median-ms, worst-ms: how long callers waited for a token or an error. Nothing here
// fails for taking long; it fails when requests of ours are too many, or callers are not served that could be.

// BenchmarkColdCache is 1,000 callers at once, with no token there and an endpoint that takes 20 ms.
func BenchmarkColdCache(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			e := newEndpoint(b, 20*time.Millisecond, time.Hour)
			var all waits
			for b.Loop() {
				ask := c.open(b, b.Context(), e, 0)
				var callers sync.WaitGroup
				start := make(chan struct{})
				for range 1000 {
					callers.Go(func() {
						<-start
						all.time(b.Context(), ask)
					})
				}
				close(start)
				callers.Wait()
			}
			all.report(b)
			e.report(b)
			if n := e.requests.Load(); c.ours() && n != int64(b.N) || all.served != len(all.took) {
				b.Errorf("%d requests in %d cold starts, %d of %d callers served", n, b.N, all.served, len(all.took))
			}
		})
	}
}

// outage is how long the endpoint is watched while it is down. A caller who still stands in line is then sent away: its
// wait is longer than what is reported.
const outage = time.Second

// BenchmarkOutage is 100 callers who ask, and again ten milliseconds after each answer, while the endpoint answers 503
// after 50 ms: for a second, with no token there.
func BenchmarkOutage(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			e := newEndpoint(b, 50*time.Millisecond, time.Hour)
			e.down.Store(true)
			var all waits
			for b.Loop() {
				end, cancel := context.WithTimeout(b.Context(), outage)
				e.quiet.Store(0)
				ask := c.open(b, end, e, 0)
				keepAsking(end, &all, func(ctx context.Context) error {
					asked := time.Now()
					err := ask(ctx)
					var paced *core.Error
					if errors.As(err, &paced) && paced.RetryAfter > 0 {
						e.quiet.Store(asked.Add(paced.RetryAfter).UnixNano())
					}
					return err
				})
				cancel()
			}
			all.report(b)
			e.report(b)
			e.holdToBackoff(b, c)
		})
	}
}

// BenchmarkOutageLiveToken is the same with a token that lives for some seconds yet, and is due to be renewed. served-% is
// the share of the answers that are a token.
func BenchmarkOutageLiveToken(b *testing.B) {
	const life = 30 * time.Second
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			e := newEndpoint(b, 50*time.Millisecond, life)
			var all waits
			for b.Loop() {
				end, cancel := context.WithCancel(b.Context())
				ask := c.open(b, end, e, time.Minute)
				e.down.Store(false)
				e.ahead.Store(0)
				if err := ask(end); err != nil {
					b.Fatal(err)
				}
				e.requests.Add(-1)
				e.down.Store(true)
				e.ahead.Store(int64(life * 9 / 10))
				over := time.AfterFunc(outage, cancel)
				keepAsking(end, &all, ask)
				over.Stop()
			}
			all.report(b)
			e.report(b)
			b.ReportMetric(100*float64(all.served)/float64(all.served+all.failed), "served-%")
			e.holdToBackoff(b, c)
			if c.ours() && all.failed > 0 {
				b.Errorf("%d answers were not the token that was alive", all.failed)
			}
		})
	}
}

// BenchmarkDeadline is one caller with ten milliseconds to spare who comes when 100 others wait already, in the outage.
// The waits are its own.
func BenchmarkDeadline(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			e := newEndpoint(b, 50*time.Millisecond, time.Hour)
			e.down.Store(true)
			var hurried waits
			for b.Loop() {
				end, cancel := context.WithTimeout(b.Context(), outage)
				ask := c.open(b, end, e, 0)
				var callers sync.WaitGroup
				for range 100 {
					callers.Go(func() { _ = ask(end) })
				}
				<-e.arrival
				<-time.After(5 * time.Millisecond) // they all stand in line
				soon, leave := context.WithTimeout(end, 10*time.Millisecond)
				hurried.time(soon, ask)
				leave()
				cancel()
				callers.Wait()
				select { // of a request that nobody waited for
				case <-e.arrival:
				default:
				}
			}
			hurried.report(b)
		})
	}
}

// BenchmarkClientToken is the token that is there and fresh.
func BenchmarkClientToken(b *testing.B) {
	for _, c := range contenders {
		b.Run(c.name, func(b *testing.B) {
			ctx := b.Context()
			ask := c.open(b, ctx, newEndpoint(b, 0, time.Hour), 0)
			if err := ask(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := ask(ctx); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// holdToBackoff fails when requests of ours came before the backoff that callers had been told of was over, or were more
// than one for each: the first backoff takes half a second at least, the next longer, so an outage sees two at most.
func (e *endpoint) holdToBackoff(b *testing.B, c contender) {
	b.Helper()
	if n, early := e.requests.Load(), e.early.Load(); c.ours() && (early > 0 || n > 2*int64(b.N)) {
		b.Errorf("%d requests in %d outages, %d of them before the backoff was over", n, b.N, early)
	}
}

func (c contender) ours() bool { return c.name == "tokenwell" }

// keepAsking lets 100 callers ask until end.
func keepAsking(end context.Context, all *waits, ask asking) {
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			for end.Err() == nil {
				all.time(end, ask)
				select {
				case <-time.After(10 * time.Millisecond):
				case <-end.Done():
				}
			}
		})
	}
	callers.Wait()
}

// waits are how long callers waited, and what for. Those who were sent away are neither served nor failed.
type waits struct {
	mu             sync.Mutex
	took           []time.Duration
	served, failed int
}

func (w *waits) time(ctx context.Context, ask asking) {
	began := time.Now()
	err := ask(ctx)
	took := time.Since(began)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took = append(w.took, took)
	switch {
	case err == nil:
		w.served++
	case ctx.Err() == nil:
		w.failed++
	}
}

func (w *waits) report(b *testing.B) {
	slices.Sort(w.took)
	b.ReportMetric(0, "ns/op") // which says nothing here
	b.ReportMetric(ms(w.took[len(w.took)/2]), "median-ms")
	b.ReportMetric(ms(w.took[len(w.took)-1]), "worst-ms")
}

func (e *endpoint) report(b *testing.B) {
	b.ReportMetric(float64(e.requests.Load())/float64(b.N), "requests")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
