package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

var readClauses = []clause{
	{"a miss is nil, no revision and no error", missIsNoError},
	{"what was written is read, by Load and by Peek", writtenIsRead},
	{"an ended context ends every method", endedContext},
}

func missIsNoError(t testing.TB, s store.Store) {
	expectMiss(t, s, newKey())
}

func writtenIsRead(t testing.TB, s store.Store) {
	key := newKey()
	expectMiss(t, s, key) // a miss must not be remembered
	rev := write(t, s, key, "", "one", life)
	expect(t, s, key, rev, "one")
	rev = write(t, s, key, rev, "two", life)
	expect(t, s, key, rev, "two")
	if !remove(t, s, key, rev) {
		t.Fatal("Delete of the current state: not deleted")
	}
	expectMiss(t, s, key)
}

// Peek may answer from this process's memory without looking at its context, but it
// may not hang.
func endedContext(t testing.TB, s store.Store) {
	key := newKey()
	rev := write(t, s, key, "", "value", life)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, _, err := s.Load(ctx, key); err == nil {
			t.Error("Load went on after its context had ended")
		}
		if _, err := s.Swap(ctx, key, rev, []byte("other"), life); err == nil {
			t.Error("Swap went on after its context had ended")
		}
		if _, err := s.Delete(ctx, key, rev); err == nil {
			t.Error("Delete went on after its context had ended")
		}
		_, _, _ = s.Peek(ctx, key)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a method hangs though its context has ended")
	}
	// Others are not affected.
	other := newKey()
	expect(t, s, other, write(t, s, other, "", "value", life), "value")
}
