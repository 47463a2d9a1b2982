package store_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/storetest"
)

func TestMemoryKeepsContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewMemory() })
}

// Stores of one process may be as exact as its clock.
func TestMemoryExpiresToTheNanosecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		rev := swap(t, m, "key", "", time.Hour)
		time.Sleep(time.Hour - 1)
		if _, got, _ := m.Load(t.Context(), "key"); got != rev {
			t.Errorf("a nanosecond before its time: revision %q", got)
		}
		time.Sleep(time.Nanosecond)
		if _, got, _ := m.Load(t.Context(), "key"); got != "" {
			t.Errorf("at its time: revision %q", got)
		}
		synctest.Wait()
		if _, got, _ := m.Peek(t.Context(), "key"); got != "" {
			t.Errorf("a moment after its time Peek shows revision %q", got)
		}
	})
}

func TestMemoryRenewedKeyOutlivesItsOldTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		rev := swap(t, m, "key", "", time.Minute)
		for range 100 {
			time.Sleep(59 * time.Second)
			rev = swap(t, m, "key", rev, time.Minute)
		}
		time.Sleep(time.Minute - 1)
		if _, got, _ := m.Peek(t.Context(), "key"); got != rev {
			t.Errorf("revision %q, want %q", got, rev)
		}
		rev = swap(t, m, "key", rev, time.Second) // earlier than the timer
		time.Sleep(time.Second)
		synctest.Wait()
		if _, got, _ := m.Peek(t.Context(), "key"); got != "" {
			t.Errorf("revision %q outlives its shortened life", rev)
		}
	})
}

// That no goroutine is left is checked by synctest.
func TestMemoryReturnsMemoryOfAMillionSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := store.NewMemory()
		before := heap()
		for i := range manySessions {
			ttl := time.Hour + time.Duration(i%10)*time.Minute
			if _, err := m.Swap(t.Context(), fmt.Sprintf("session %d", i), "", make([]byte, 100), ttl); err != nil {
				t.Fatal(err)
			}
		}
		full := heap() - before
		if full < manySessions*100 {
			t.Fatalf("%d bytes for %d sessions: this measures nothing", full, manySessions)
		}
		swap(t, m, "the one that stays", "", 24*time.Hour)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if left := heap() - before; left > full/50 {
			t.Errorf("of %d bytes %d are left", full, left)
		}
		if _, rev, _ := m.Peek(t.Context(), "the one that stays"); rev == "" {
			t.Error("it did not")
		}
		runtime.KeepAlive(m)
	})
}

func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func swap(t *testing.T, m *store.Memory, key, rev string, ttl time.Duration) string {
	t.Helper()
	got, err := m.Swap(t.Context(), key, rev, []byte("value"), ttl)
	if err != nil || got == "" {
		t.Fatalf("Swap = %q, %v", got, err)
	}
	return got
}
