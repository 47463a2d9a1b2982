package store

import (
	"errors"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// oneShard returns a Memory that puts all keys into one shard.
func oneShard() (*Memory, *shard) {
	m := NewMemory()
	for i := range m.shards {
		m.shards[i] = m.shards[0]
	}
	return m, m.shards[0]
}

func fill(t *testing.T, m *Memory, n int, ttl time.Duration) {
	t.Helper()
	for i := range n {
		if rev, err := m.Swap(t.Context(), strconv.Itoa(i), "", nil, ttl); err != nil || rev == "" {
			t.Fatalf("key %d: %q, %v", i, rev, err)
		}
	}
}

// However many keys expire at once, readers wait for a batch of them at most. Load
// does not wait for the sweep.
func TestSweepWorksInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batches = 20
		m, s := oneShard()
		fill(t, m, batches*sweepBatch, time.Hour)
		s.timer.Stop()
		s.timer = time.AfterFunc(0, func() {}) // each sweep by hand
		time.Sleep(2 * time.Hour)
		if _, rev, err := m.Load(t.Context(), "0"); rev != "" || err != nil {
			t.Errorf("Load of what has not been swept yet: revision %q, %v", rev, err)
		}
		for left := batches - 1; left >= 0; left-- {
			s.sweep()
			if got := len(s.entries); got != left*sweepBatch {
				t.Fatalf("%d keys are left after a sweep, want %d", got, left*sweepBatch)
			}
			if left > 0 && s.wake.After(time.Now()) {
				t.Fatal("a sweep that has not finished does not come back at once")
			}
		}
		if !s.wake.IsZero() {
			t.Error("the timer is set for an empty shard")
		}
	})
}

func TestSweepsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := oneShard()
		fill(t, m, 10*sweepBatch+1, time.Hour)
		time.Sleep(time.Hour)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.entries) != 0 || len(s.queue) != 0 {
			t.Errorf("%d keys and %d places in the queue are left", len(s.entries), len(s.queue))
		}
	})
}

func TestEmptiedShardShrinks(t *testing.T) {
	const n = 4096
	for name, empty := range map[string]func(*testing.T, *Memory){
		"by expiry": func(*testing.T, *Memory) {
			time.Sleep(time.Hour)
			synctest.Wait()
		},
		"by deletion": func(t *testing.T, m *Memory) {
			for i := range n {
				_, rev, _ := m.Load(t.Context(), strconv.Itoa(i))
				if deleted, err := m.Delete(t.Context(), strconv.Itoa(i), rev); !deleted || err != nil {
					t.Fatalf("key %d: %t, %v", i, deleted, err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, s := oneShard()
				fill(t, m, n, time.Hour)
				empty(t, m)
				s.mu.Lock()
				defer s.mu.Unlock()
				// The map's size cannot be seen; it is rebuilt together with the queue.
				if s.peak >= shrinkFloor || cap(s.queue) >= 2*shrinkFloor {
					t.Errorf("made for %d keys, with a queue of %d places, and holds %d", s.peak, cap(s.queue), len(s.entries))
				}
			})
		})
	}
}

func TestMemoryIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s := oneShard()
		fill(t, m, shardLimit-1, time.Hour)
		brief, err := m.Swap(t.Context(), "brief", "", nil, time.Minute)
		if brief == "" || err != nil {
			t.Fatalf("the last key: %q, %v", brief, err)
		}
		create := func() error {
			_, err := m.Swap(t.Context(), "one more", "", nil, time.Second)
			return err
		}
		if err := create(); !errors.Is(err, ErrFull) {
			t.Errorf("beyond the bound: %v", err)
		}
		// What is there can still be replaced.
		if brief, err = m.Swap(t.Context(), "brief", brief, nil, time.Minute); brief == "" || err != nil {
			t.Errorf("replaced: %q, %v", brief, err)
		}
		if lost, err := m.Swap(t.Context(), "brief", "", nil, time.Minute); lost != "" || err != nil {
			t.Errorf("created over what is there: %q, %v", lost, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := create(); err != nil {
			t.Errorf("after an expiry: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(s.entries) != 0 {
			t.Errorf("%d keys are left", len(s.entries))
		}
	})
}

// Programs that make one Memory for each tenant, and tests, need not close it: the
// timers of keys that have hours to live do not hold it.
func TestDroppedMemoryIsCollected(t *testing.T) {
	m, s := oneShard()
	fill(t, m, 1000, 24*time.Hour)
	store, part := weak.Make(m), weak.Make(s)
	runtime.KeepAlive(m)
	for deadline := time.Now().Add(10 * time.Second); store.Value() != nil || part.Value() != nil; {
		if time.Now().After(deadline) {
			t.Fatalf("not collected: store %t, shard %t", store.Value() != nil, part.Value() != nil)
		}
		runtime.GC()
	}
}
