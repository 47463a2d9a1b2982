package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/storetest"
)

// secret is 32 bytes that tell one key from another.
func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func seal(t testing.TB, s store.Store, keys ...store.Key) *store.Sealed {
	t.Helper()
	sealed, err := store.Seal(s, keys)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func put(t testing.TB, s store.Store, key, rev, value string) string {
	t.Helper()
	newRev, err := s.Swap(t.Context(), key, rev, []byte(value), time.Minute)
	if err != nil || newRev == "" {
		t.Fatalf("Swap: %q, %v", newRev, err)
	}
	return newRev
}

func TestSealedMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		return seal(t, store.NewMemory(), store.Key{Name: "one", Secret: secret(1)})
	})
}

// What lies in the store tells nothing of the value but its length, and never repeats.
func TestSealedValueIsUnreadable(t *testing.T) {
	t.Parallel()
	inner := store.NewMemory()
	s := seal(t, inner, store.Key{Name: "one", Secret: secret(1)})
	const value = "sentinel-refresh-token"
	seen := make(map[string]bool)
	rev := ""
	for range 100 {
		rev = put(t, s, "key", rev, value)
		raw, _, err := inner.Load(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte("sentinel")) || seen[string(raw)] {
			t.Fatalf("the store holds %q", raw)
		}
		seen[string(raw)] = true
	}
}

// Each alteration of a value is an error, and the value is left as it is.
func TestAlteredValueIsAnError(t *testing.T) {
	t.Parallel()
	inner := store.NewMemory()
	s := seal(t, inner, store.Key{Name: "one", Secret: secret(1)}, store.Key{Name: "two", Secret: secret(2)})
	put(t, s, "mine", "", "my value")
	put(t, s, "yours", "", "your value")
	raw := func(key string) []byte {
		value, _, err := inner.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(value)
	}
	mine, yours := raw("mine"), raw("yours")
	altered := map[string][]byte{"nothing": {}, "plain text": []byte(`{"v":1}`), "another record": yours}
	for i := range mine {
		flipped := bytes.Clone(mine)
		flipped[i] ^= 1
		altered[fmt.Sprintf("bit %d", 8*i)] = flipped
		altered[fmt.Sprintf("the first %d bytes", i)] = mine[:i]
	}
	altered["one more byte"] = append(bytes.Clone(mine), 0)
	renamed := bytes.Clone(mine)
	copy(renamed[2:], "two")
	altered["another key's name"] = renamed
	for name, value := range altered {
		_, rev, err := inner.Load(t.Context(), "mine")
		if err != nil {
			t.Fatal(err)
		}
		rev = put(t, inner, "mine", rev, string(value))
		for way, read := range map[string]func(context.Context, string) ([]byte, string, error){"Load": s.Load, "Peek": s.Peek} {
			got, gotRev, err := read(t.Context(), "mine")
			if !errors.Is(err, store.ErrSealed) || got != nil || gotRev != rev {
				t.Errorf("%s, %s: %q, %q, %v", name, way, got, gotRev, err)
			}
		}
		if _, now, _ := inner.Load(t.Context(), "mine"); now != rev {
			t.Errorf("%s: the value was touched", name)
		}
	}
}

// A key that no longer seals still opens; one that is not there does not; what is
// written again is sealed by the newest.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	inner := store.NewMemory()
	one, two := store.Key{Name: "one", Secret: secret(1)}, store.Key{Name: "two", Secret: secret(2)}
	before := seal(t, inner, one)
	during := seal(t, inner, one, two) // every replica can open what two will seal
	after := seal(t, inner, two, one)
	last := seal(t, inner, two)
	load := func(s store.Store, want string) string {
		t.Helper()
		value, rev, err := s.Load(t.Context(), "key")
		if err != nil || string(value) != want {
			t.Errorf("%q, %v, want %q", value, err, want)
		}
		return rev
	}
	put(t, before, "key", "", "by one")
	for _, s := range []store.Store{before, during, after} {
		load(s, "by one")
	}
	if _, _, err := last.Load(t.Context(), "key"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("opened without its key: %v", err)
	}
	put(t, after, "key", load(after, "by one"), "by two")
	for _, s := range []store.Store{during, after, last} {
		load(s, "by two")
	}
	if _, _, err := before.Load(t.Context(), "key"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("opened without its key: %v", err)
	}
	// A secret that is not the one of that name opens nothing.
	if _, _, err := seal(t, inner, store.Key{Name: "two", Secret: secret(3)}).Load(t.Context(), "key"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("opened by another secret: %v", err)
	}
}

// A state that is known is not opened again, nor handed out.
func TestPeekUnlessOpensOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	inner := store.NewMemory()
	s := seal(t, inner, store.Key{Name: "one", Secret: secret(1)})
	if value, rev, err := s.PeekUnless(t.Context(), "key", ""); value != nil || rev != "" || err != nil {
		t.Errorf("a miss: %q, %q, %v", value, rev, err)
	}
	first := put(t, s, "key", "", "first")
	for _, known := range []string{"", "another"} {
		if value, rev, err := s.PeekUnless(t.Context(), "key", known); string(value) != "first" || rev != first || err != nil {
			t.Errorf("knowing %q: %q, %q, %v", known, value, rev, err)
		}
	}
	if value, rev, err := s.PeekUnless(t.Context(), "key", first); value != nil || rev != first || err != nil {
		t.Errorf("knowing it: %q, %q, %v", value, rev, err)
	}
	// Sealed twice, it passes on what is known.
	twice := seal(t, s, store.Key{Name: "outer", Secret: secret(2)})
	rev := put(t, twice, "other", "", "value")
	if value, got, err := twice.PeekUnless(t.Context(), "other", rev); value != nil || got != rev || err != nil {
		t.Errorf("twice: %q, %q, %v", value, got, err)
	}
}

func TestSealRefusesBadKeys(t *testing.T) {
	t.Parallel()
	good := store.Key{Name: "good", Secret: secret(1)}
	for name, keys := range map[string][]store.Key{
		"none":           nil,
		"no name":        {{Secret: secret(1)}},
		"a long name":    {{Name: strings.Repeat("n", 65), Secret: secret(1)}},
		"no secret":      {{Name: "n"}},
		"a short secret": {{Name: "n", Secret: secret(1)[:31]}},
		"a long secret":  {good, {Name: "n", Secret: append(secret(1), 1)}},
		"two of a name":  {good, good},
	} {
		if s, err := store.Seal(store.NewMemory(), keys); err == nil || s != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// A key is its owner's no more than its maker's: changing the slice changes nothing.
func TestSealKeepsItsOwnKeys(t *testing.T) {
	t.Parallel()
	mine := secret(1)
	s := seal(t, store.NewMemory(), store.Key{Name: "one", Secret: mine})
	put(t, s, "key", "", "value")
	clear(mine)
	if value, _, err := s.Load(t.Context(), "key"); err != nil || string(value) != "value" {
		t.Errorf("%q, %v", value, err)
	}
}

func TestKeyShowsNoSecret(t *testing.T) {
	t.Parallel()
	k := store.Key{Name: "the-name", Secret: bytes.Repeat([]byte("s"), 32)}
	for _, v := range []any{k, &k, []store.Key{k}} {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "key", v)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s %q %x", v, v, v, v, v, v), string(encoded), log.String()} {
			if strings.Contains(text, "ssss") || strings.Contains(text, "73737373") || strings.Contains(text, "c3Nzc3") || !strings.Contains(text, "the-name") {
				t.Errorf("%T: %s", v, text)
			}
		}
	}
}

func TestStoresShowNoSecret(t *testing.T) {
	t.Parallel()
	memory := store.NewMemory()
	put(t, memory, "key", "", "ssss-value")
	for _, v := range []any{memory, seal(t, memory, store.Key{Name: "n", Secret: bytes.Repeat([]byte("s"), 32)})} {
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", v, v, v, v), fmt.Sprint([]any{v})} {
			if strings.Contains(text, "ssss") || strings.Contains(text, "115 115") || strings.Contains(text, "0x73") {
				t.Errorf("%T: %s", v, text)
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	s := seal(b, store.NewMemory(), store.Key{Name: "one", Secret: secret(1)})
	rev := put(b, s, "key", "", strings.Repeat("v", 4<<10))
	b.Run("unknown", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = s.PeekUnless(b.Context(), "key", "")
		}
	})
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = s.PeekUnless(b.Context(), "key", rev)
		}
	})
}
