package storetest

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

// Run tests the stores that open returns against the contract of [store.Store]. It
// calls open for each of its subtests, which run in parallel; open fails its t when
// it has no store to give.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	for _, c := range contract() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, open(t))
		})
	}
}

// clause is one sentence of the contract. It needs no more of a test than that it
// can fail, so that the clauses themselves can be tested.
type clause struct {
	name  string
	check func(t testing.TB, s store.Store)
}

func contract() []clause {
	return slices.Concat(readClauses, swapClauses, deleteClauses, expiryClauses, valueClauses, concurrencyClauses)
}

// life is how long keys live that are not to expire during a test.
const life = time.Minute

// newKey returns a key that no store has seen.
func newKey() string { return "storetest:" + rand.Text() }

// swap is a Swap that must not fail; it may lose.
func swap(t testing.TB, s store.Store, key, rev, value string, ttl time.Duration) string {
	t.Helper()
	got, err := s.Swap(t.Context(), key, rev, []byte(value), ttl)
	if err != nil {
		t.Fatalf("Swap(%q): %v", key, err)
	}
	return got
}

// write is a Swap that must win.
func write(t testing.TB, s store.Store, key, rev, value string, ttl time.Duration) string {
	t.Helper()
	got := swap(t, s, key, rev, value, ttl)
	if got == "" {
		t.Fatalf("Swap(%q) from revision %q lost, though nobody else wrote", key, rev)
	}
	return got
}

// remove is a Delete that must not fail.
func remove(t testing.TB, s store.Store, key, rev string) bool {
	t.Helper()
	deleted, err := s.Delete(t.Context(), key, rev)
	if err != nil {
		t.Fatalf("Delete(%q): %v", key, err)
	}
	return deleted
}

// load is a Load that must not fail.
func load(t testing.TB, s store.Store, key string) ([]byte, string) {
	t.Helper()
	value, rev, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatalf("Load(%q): %v", key, err)
	}
	return value, rev
}

// peek is a Peek that must not fail.
func peek(t testing.TB, s store.Store, key string) ([]byte, string) {
	t.Helper()
	value, rev, err := s.Peek(t.Context(), key)
	if err != nil {
		t.Fatalf("Peek(%q): %v", key, err)
	}
	return value, rev
}

// expect fails unless both ways of reading show this state: all writes were of this
// process, so Peek may not be behind.
func expect(t testing.TB, s store.Store, key, rev, value string) {
	t.Helper()
	if got, gotRev := load(t, s, key); gotRev != rev || string(got) != value {
		t.Fatalf("Load(%q) = %.40q, revision %q; want %.40q, %q", key, got, gotRev, value, rev)
	}
	if got, gotRev := peek(t, s, key); gotRev != rev || string(got) != value {
		t.Fatalf("Peek(%q) = %.40q, revision %q; want %.40q, %q", key, got, gotRev, value, rev)
	}
}

// expectMiss fails unless both ways of reading find nothing.
func expectMiss(t testing.TB, s store.Store, key string) {
	t.Helper()
	if value, rev := load(t, s, key); value != nil || rev != "" {
		t.Fatalf("Load(%q) = %.40q, revision %q; want a miss", key, value, rev)
	}
	if value, rev := peek(t, s, key); value != nil || rev != "" {
		t.Fatalf("Peek(%q) = %.40q, revision %q; want a miss", key, value, rev)
	}
}

// expectBytes fails unless a slice still holds what it did.
func expectBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s was modified: %.40q, and was %.40q", what, got, want)
	}
}
