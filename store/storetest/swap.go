package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

var swapClauses = []clause{
	{"Swap creates only where nothing is", swapCreates},
	{"Swap replaces exactly what was read", swapReplaces},
	{"a lost Swap writes nothing, without an error", lostSwapWritesNothing},
	{"Swap of a miss from a revision loses", swapOfMissLoses},
	{"a ttl that is not positive is an error", ttlMustBePositive},
	{"every state has a revision of its own", revisionsAreUnique},
	{"a revision is not used again after a deletion", revisionsAreNotReused},
	{"revisions are random, not a counter", revisionsAreRandom},
}

func swapCreates(t testing.TB, s store.Store) {
	key := newKey()
	rev := write(t, s, key, "", "first", life)
	if got := swap(t, s, key, "", "second", life); got != "" {
		t.Errorf("created over a key that is there: revision %q", got)
	}
	expect(t, s, key, rev, "first")
}

func swapReplaces(t testing.TB, s store.Store) {
	key, other := newKey(), newKey()
	otherRev := write(t, s, other, "", "other", life)
	first := write(t, s, key, "", "first", life)
	second := write(t, s, key, first, "second", life)
	expect(t, s, key, second, "second")
	if got := swap(t, s, key, first, "third", life); got != "" {
		t.Errorf("replaced a state by the revision of the one before it: %q", got)
	}
	if got := swap(t, s, key, otherRev, "third", life); got != "" {
		t.Errorf("replaced a state by another key's revision: %q", got)
	}
	expect(t, s, key, second, "second")
	expect(t, s, other, otherRev, "other")
}

func lostSwapWritesNothing(t testing.TB, s store.Store) {
	key := newKey()
	rev := write(t, s, key, "", "value", life)
	for _, wrong := range []string{"", "0", rev + "0", strings.ToUpper(rev) + "X", "'; --"} {
		got, err := s.Swap(t.Context(), key, wrong, []byte("other"), life)
		if err != nil || got != "" {
			t.Errorf("Swap from revision %q = %q, %v; want it to lose, without an error", wrong, got, err)
		}
		expect(t, s, key, rev, "value")
	}
}

func swapOfMissLoses(t testing.TB, s store.Store) {
	key := newKey()
	if got := swap(t, s, key, "1", "value", life); got != "" {
		t.Errorf("replaced what is not there: revision %q", got)
	}
	expectMiss(t, s, key)

	rev := write(t, s, key, "", "value", life)
	remove(t, s, key, rev)
	if got := swap(t, s, key, rev, "raised", life); got != "" {
		t.Errorf("raised what had been deleted: revision %q", got)
	}
	expectMiss(t, s, key)
}

func ttlMustBePositive(t testing.TB, s store.Store) {
	for _, ttl := range []time.Duration{0, -1, -time.Hour} {
		if _, err := s.Swap(t.Context(), newKey(), "", []byte("value"), ttl); err == nil {
			t.Errorf("created with a ttl of %s", ttl)
		}
		key := newKey()
		rev := write(t, s, key, "", "value", life)
		if _, err := s.Swap(t.Context(), key, rev, []byte("value"), ttl); err == nil {
			t.Errorf("swapped with a ttl of %s", ttl)
		}
	}
}

func revisionsAreUnique(t testing.TB, s store.Store) {
	key, rev := newKey(), ""
	seen := map[string]bool{"": true}
	for range 50 {
		rev = write(t, s, key, rev, "the same value", life)
		if seen[rev] {
			t.Fatalf("two states of one key have the revision %q", rev)
		}
		seen[rev] = true
	}
}

func revisionsAreNotReused(t testing.TB, s store.Store) {
	key := newKey()
	seen := map[string]bool{"": true}
	for range 25 {
		first := write(t, s, key, "", "the same value", life)
		second := write(t, s, key, first, "another value", life)
		if seen[first] || seen[second] {
			t.Fatalf("a revision came back after a deletion: %q or %q", first, second)
		}
		seen[first], seen[second] = true, true
		if !remove(t, s, key, second) {
			t.Fatal("Delete of the current state: not deleted")
		}
		for old := range seen {
			if old != "" && swap(t, s, key, old, "raised", life) != "" {
				t.Fatalf("raised what had been deleted, by revision %q", old)
			}
		}
	}
}

// A counter would hand a revision out twice after a failover or from a restored
// backup. What can be seen of that from here: sixty-four random bits do not fit into a
// few characters, and keys do not share them.
func revisionsAreRandom(t testing.TB, s store.Store) {
	const keys = 64
	seen := map[string]bool{}
	size := 0
	for range keys {
		rev := write(t, s, newKey(), "", "the same value", life)
		if seen[rev] {
			t.Fatalf("two keys have the revision %q", rev)
		}
		seen[rev] = true
		size += len(rev)
	}
	if size < keys*10 {
		t.Errorf("revisions have %d characters on average: too few for 64 random bits", size/keys)
	}
}
