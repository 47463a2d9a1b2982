package storetest

import (
	"testing"

	"github.com/tokenwell/tokenwell/store"
)

var deleteClauses = []clause{
	{"Delete removes only that state", deleteOnlyThatState},
	{"Delete of a miss deletes nothing, without an error", deleteOfMiss},
	{"a deleted key can be created again", createAfterDelete},
}

func deleteOnlyThatState(t testing.TB, s store.Store) {
	key, other := newKey(), newKey()
	otherRev := write(t, s, other, "", "other", life)
	first := write(t, s, key, "", "first", life)
	second := write(t, s, key, first, "second", life)
	for _, wrong := range []string{"", first, otherRev, second + "0"} {
		if remove(t, s, key, wrong) {
			t.Errorf("Delete by revision %q said that it deleted revision %q", wrong, second)
		}
		expect(t, s, key, second, "second")
	}
	if !remove(t, s, key, second) {
		t.Error("Delete of the current state: not deleted")
	}
	expectMiss(t, s, key)
	expect(t, s, other, otherRev, "other")
}

func deleteOfMiss(t testing.TB, s store.Store) {
	key := newKey()
	for _, rev := range []string{"", "1"} {
		if remove(t, s, key, rev) {
			t.Errorf("deleted what is not there, by revision %q", rev)
		}
	}
	rev := write(t, s, key, "", "value", life)
	remove(t, s, key, rev)
	if remove(t, s, key, rev) {
		t.Error("deleted one state twice")
	}
}

func createAfterDelete(t testing.TB, s store.Store) {
	key := newKey()
	remove(t, s, key, write(t, s, key, "", "first", life))
	rev := write(t, s, key, "", "second", life)
	expect(t, s, key, rev, "second")
}
