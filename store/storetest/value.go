package storetest

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/store"
)

var valueClauses = []clause{
	{"values are any bytes, of any size up to a mebibyte", values},
	{"keys are any bytes", keys},
	{"values handed in are not modified", valuesHandedIn},
	{"values handed out are not modified", valuesHandedOut},
}

func values(t testing.TB, s store.Store) {
	random := make([]byte, 1<<20)
	_, _ = rand.Read(random)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, value := range map[string][]byte{
		"empty":             {},
		"a zero byte":       {0},
		"every byte":        all,
		"text":              []byte("{\"a\": \"ü\"}\r\n"),
		"spaces at the end": []byte("value   "),
		"a mebibyte":        random,
	} {
		key := newKey()
		rev := write(t, s, key, "", string(value), life)
		got, gotRev := load(t, s, key)
		if gotRev != rev || !bytes.Equal(got, value) {
			t.Errorf("%s: Load gives %d bytes, revision %q; want %d, %q", name, len(got), gotRev, len(value), rev)
		}
		got, gotRev = peek(t, s, key)
		if gotRev != rev || !bytes.Equal(got, value) {
			t.Errorf("%s: Peek gives %d bytes, revision %q; want %d, %q", name, len(got), gotRev, len(value), rev)
		}
		expect(t, s, key, write(t, s, key, rev, "smaller", life), "smaller")
	}
	// nil is the empty value too.
	key := newKey()
	rev, err := s.Swap(t.Context(), key, "", nil, life)
	if err != nil || rev == "" {
		t.Fatalf("Swap of a nil value = %q, %v", rev, err)
	}
	expect(t, s, key, rev, "")
}

// Each key differs from another in what some database would overlook.
func keys(t testing.TB, s store.Store) {
	prefix := newKey()
	odd := []string{
		"", " ", "a", "A", "a ", " a", "a\n", "a\x00", "a\x00b", "\x7f", "\xff", "\xff\xfe", "a%", "a_", "a*", "a?", "[a]", "{a}",
		"a'b", `a"b`, `a\b`, "a/b", "a/../b", "a:b", "a=b", "ü", "u\u0308", "日本", strings.Repeat("k", 200),
	}
	revs := map[string]string{}
	for i, suffix := range odd {
		key := prefix + suffix
		revs[key] = write(t, s, key, "", string(rune('A'+i)), life)
	}
	for i, suffix := range odd {
		key := prefix + suffix
		expect(t, s, key, revs[key], string(rune('A'+i)))
	}
	for i, suffix := range odd {
		key := prefix + suffix
		if !remove(t, s, key, revs[key]) {
			t.Errorf("Delete(%q): not deleted", key)
		}
		for j, rest := range odd[i+1:] {
			expect(t, s, prefix+rest, revs[prefix+rest], string(rune('A'+i+1+j)))
		}
	}
}

func valuesHandedIn(t testing.TB, s store.Store) {
	key := newKey()
	// What lies behind the slice is not the store's either.
	backing := []byte("value, and room for an append that must not happen......................")
	want := slices.Clone(backing)
	rev, err := s.Swap(t.Context(), key, "", backing[:5], life)
	if err != nil || rev == "" {
		t.Fatalf("Swap = %q, %v", rev, err)
	}
	expectBytes(t, "the value given to Swap", backing, want)
	expect(t, s, key, rev, "value")
	rev = write(t, s, key, rev, "OTHER", life)
	remove(t, s, key, rev)
	expectBytes(t, "the value given to Swap", backing, want)
}

func valuesHandedOut(t testing.TB, s store.Store) {
	key := newKey()
	rev := write(t, s, key, "", "value", life)
	loaded, _ := load(t, s, key)
	peeked, _ := peek(t, s, key)
	rev = write(t, s, key, rev, "OTHER", life)
	expect(t, s, key, rev, "OTHER")
	remove(t, s, key, rev)
	expect(t, s, key, write(t, s, key, "", "third", life), "third")
	expectBytes(t, "the value that Load gave", loaded, []byte("value"))
	expectBytes(t, "the value that Peek gave", peeked, []byte("value"))
}
