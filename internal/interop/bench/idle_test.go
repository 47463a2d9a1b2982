package bench

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// BenchmarkIdleSessions is what a million sessions that nobody uses take in memory: each the record of a real login, of which
// the tokens are by far the most. It reports the bytes of the record and all bytes of the heap for each, and how many
// goroutines there are more.
func BenchmarkIdleSessions(b *testing.B) {
	const sessions = 1_000_000
	recorded := &recorder{Store: store.NewMemory()}
	cfg := coretest.NewProvider(b, coretest.Options{}).Config()
	cfg.Now, cfg.Store = time.Now, recorded
	coretest.SignedIn(b, newManager(b, cfg), "alice")
	if len(recorded.value) == 0 {
		b.Fatal("no login was stored")
	}
	for b.Loop() {
		goroutines, heap := runtime.NumGoroutine(), heapBytes()
		s := store.NewMemory()
		for i := range sessions {
			key := fmt.Sprintf("%s:%043d", "space:s", i)
			if _, err := s.Swap(b.Context(), key, "", slices.Clone(recorded.value), 8*time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heapBytes()-heap)/sessions, "B/session")
		b.ReportMetric(float64(len(recorded.value)), "B/record")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "goroutines")
		runtime.KeepAlive(s)
	}
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
