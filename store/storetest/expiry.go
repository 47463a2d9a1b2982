package storetest

import (
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

var expiryClauses = []clause{
	{"a key lives for its ttl, and no longer", keysExpire},
	{"any positive ttl will do", extremeTTLs},
	{"Swap renews the ttl", swapRenewsTTL},
	{"Swap shortens the ttl", swapShortensTTL},
	{"a lost Swap leaves the ttl alone", lostSwapLeavesTTL},
	{"Swap takes an expired key for none", swapOnExpired},
	{"Delete takes an expired key for none", deleteOnExpired},
}

const (
	short = 200 * time.Millisecond
	// tolerance is for clocks that are read in whole milliseconds.
	tolerance = 10 * time.Millisecond
	// patience is for what is promised without a time.
	patience = 10 * time.Second
)

// awaitExpiry waits until a key must have expired that was written to live for ttl
// before this was called.
func awaitExpiry(t testing.TB, s store.Store, key string, ttl time.Duration) {
	t.Helper()
	time.Sleep(ttl + tolerance) // nothing to poll for: what is asked is what is there after it
	if value, rev := load(t, s, key); value != nil || rev != "" {
		t.Fatalf("Load(%q) = %.40q, revision %q, after its ttl of %s", key, value, rev, ttl)
	}
}

func keysExpire(t testing.TB, s store.Store) {
	key := newKey()
	start := time.Now()
	rev := write(t, s, key, "", "value", short)
	written := time.Now()
	for {
		asked := time.Now()
		_, got := load(t, s, key)
		switch answered := time.Now(); {
		case got == rev && asked.Before(written.Add(short+tolerance)):
			time.Sleep(short / 30)
			continue
		case got == rev:
			t.Fatalf("Load(%q) has its value %s after it was written for %s", key, asked.Sub(written), short)
		case answered.Before(start.Add(short - tolerance)):
			t.Fatalf("Load(%q) misses %s after it was written for %s", key, answered.Sub(start), short)
		}
		break
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(short / 30) {
		value, rev := peek(t, s, key)
		if value == nil && rev == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Peek(%q) = %.40q, revision %q, long after its ttl", key, value, rev)
		}
	}
}

func extremeTTLs(t testing.TB, s store.Store) {
	const day = 24 * time.Hour
	brief, month, years := newKey(), newKey(), newKey()
	write(t, s, brief, "", "value", 1) // a nanosecond is not "none", nor is it "for ever"
	monthRev := write(t, s, month, "", "value", 30*day)
	yearsRev := write(t, s, years, "", "value", 3650*day)
	awaitExpiry(t, s, brief, short)
	expect(t, s, month, monthRev, "value")
	expect(t, s, years, yearsRev, "value")
	remove(t, s, month, monthRev)
	remove(t, s, years, yearsRev)
}

func swapRenewsTTL(t testing.TB, s store.Store) {
	key, other := newKey(), newKey()
	// A slow store may let the key expire before it is renewed; then try again.
	rev := ""
	for ttl := short; rev == ""; ttl *= 2 {
		first := write(t, s, key, "", "first", ttl)
		if rev = swap(t, s, key, first, "second", life); rev == "" && ttl > patience {
			t.Fatal("Swap loses from the revision that was just written")
		}
	}
	write(t, s, other, "", "other", short)
	awaitExpiry(t, s, other, short)
	expect(t, s, key, rev, "second")
}

func swapShortensTTL(t testing.TB, s store.Store) {
	key := newKey()
	first := write(t, s, key, "", "first", life)
	write(t, s, key, first, "second", short)
	awaitExpiry(t, s, key, short)
}

func lostSwapLeavesTTL(t testing.TB, s store.Store) {
	brief, long := newKey(), newKey()
	rev := write(t, s, long, "", "value", life)
	swap(t, s, long, rev+"0", "other", short)
	swap(t, s, long, "", "other", short)
	write(t, s, brief, "", "value", short)
	swap(t, s, brief, rev, "other", life)
	awaitExpiry(t, s, brief, short)
	expect(t, s, long, rev, "value")
}

func swapOnExpired(t testing.TB, s store.Store) {
	key := newKey()
	old := write(t, s, key, "", "first", short)
	awaitExpiry(t, s, key, short)
	if got := swap(t, s, key, old, "raised", life); got != "" {
		t.Errorf("replaced what had expired: revision %q", got)
	}
	rev := write(t, s, key, "", "second", life)
	if rev == old {
		t.Errorf("revision %q was used again after an expiry", rev)
	}
	expect(t, s, key, rev, "second")
}

func deleteOnExpired(t testing.TB, s store.Store) {
	key := newKey()
	rev := write(t, s, key, "", "value", short)
	awaitExpiry(t, s, key, short)
	if remove(t, s, key, rev) {
		t.Error("deleted what had expired")
	}
}
