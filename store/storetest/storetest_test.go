package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

func TestSimpleStorePasses(t *testing.T) {
	Run(t, func(*testing.T) store.Store { return newSimple() })
}

// Each store is wrong in one way, and each of the clauses named must notice it.
func TestWrongStoresFail(t *testing.T) {
	clauses := map[string]clause{}
	for _, c := range contract() {
		clauses[c.name] = c
	}
	noticed := map[string]bool{}
	var wg sync.WaitGroup
	for _, test := range []struct {
		name  string
		wrong func(*simple)
		by    []string
	}{
		{"calls a miss an error", func(s *simple) { s.missing = errors.New("not found") }, []string{
			"a miss is nil, no revision and no error", "Delete of a miss deletes nothing, without an error",
		}},
		{"calls empty values misses", func(s *simple) { s.emptyIsMiss = true }, []string{
			"values are any bytes, of any size up to a mebibyte",
		}},
		{"creates over what is there", func(s *simple) { s.createsOver = true }, []string{
			"Swap creates only where nothing is", "a lost Swap writes nothing, without an error", "one of many creates wins",
		}},
		{"lets the last writer win", func(s *simple) { s.ignoresRev = true }, []string{
			"Swap replaces exactly what was read", "Swap of a miss from a revision loses",
			"a revision is not used again after a deletion", "one of many Swaps of a state wins",
			"either Swap or Delete of a state wins", "a counter kept by Load and Swap counts right",
			"Swap takes an expired key for none",
		}},
		{"calls a lost Swap an error", func(s *simple) { s.lost = errors.New("conflict") }, []string{
			"a lost Swap writes nothing, without an error",
		}},
		{"loses now and then", func(s *simple) { s.fickle = true }, []string{"writes are in one order, which is that of time"}},
		{"looks, then writes", func(s *simple) { s.gap = true }, []string{
			"one of many creates wins", "one of many Swaps of a state wins", "either Swap or Delete of a state wins",
			"a counter kept by Load and Swap counts right",
			"writes are in one order, which is that of time",
		}},
		{"deletes whatever is there", func(s *simple) { s.deletesAny = true }, []string{"Delete removes only that state"}},
		{"always says deleted", func(s *simple) { s.saysDeleted = true }, []string{
			"Delete of a miss deletes nothing, without an error", "Delete takes an expired key for none",
			"either Swap or Delete of a state wins", "Delete removes only that state",
		}},
		{"does not delete", func(s *simple) { s.keeps = true }, []string{
			"what was written is read, by Load and by Peek", "a deleted key can be created again",
		}},
		{"counts versions by key", func(s *simple) { s.newRev = func(n int, _ []byte) string { return strconv.Itoa(n) } }, []string{
			"a revision is not used again after a deletion", "revisions are random, not a counter",
		}},
		{"counts versions", func(s *simple) {
			var n atomic.Int64
			s.newRev = func(int, []byte) string { return strconv.FormatInt(n.Add(1), 10) }
		}, []string{"revisions are random, not a counter"}},
		{"names states by their values", func(s *simple) {
			seed := maphash.MakeSeed()
			s.newRev = func(_ int, value []byte) string { return fmt.Sprint(maphash.Bytes(seed, value)) }
		}, []string{
			"every state has a revision of its own", "a revision is not used again after a deletion",
			"revisions are random, not a counter",
		}},
		{"keeps for ever", func(s *simple) { s.ttl = func(time.Duration) time.Duration { return life } }, []string{
			"a key lives for its ttl, and no longer", "Swap shortens the ttl", "Swap takes an expired key for none",
			"Delete takes an expired key for none", "any positive ttl will do", "a lost Swap leaves the ttl alone",
		}},
		{"counts whole seconds", func(s *simple) {
			s.ttl = func(d time.Duration) time.Duration { return d.Truncate(time.Second) + time.Second }
		}, []string{"a key lives for its ttl, and no longer"}},
		{"drops early", func(s *simple) { s.ttl = func(d time.Duration) time.Duration { return d / 100 } }, []string{
			"a key lives for its ttl, and no longer",
		}},
		{"counts milliseconds in thirty-two bits", func(s *simple) {
			s.ttl = func(d time.Duration) time.Duration { return time.Duration(int32(d.Milliseconds())) * time.Millisecond }
		}, []string{"any positive ttl will do"}},
		{"refuses less than a millisecond", func(s *simple) { s.leastTTL = time.Millisecond }, []string{"any positive ttl will do"}},
		{"takes any ttl", func(s *simple) { s.leastTTL = -1 << 62 }, []string{"a ttl that is not positive is an error"}},
		{"keeps the first ttl", func(s *simple) { s.firstTTL = true }, []string{"Swap renews the ttl", "Swap shortens the ttl"}},
		{"renews the ttl when it loses", func(s *simple) { s.lostRenews = true }, []string{"a lost Swap leaves the ttl alone"}},
		{"remembers what Peek saw", func(s *simple) { s.peeked = map[string]entry{} }, []string{
			"what was written is read, by Load and by Peek", "Peek is not behind this process's writes",
		}},
		{"ends values at a zero byte", func(s *simple) {
			s.in = func(v []byte) []byte { v, _, _ = bytes.Cut(v, []byte{0}); return v }
		}, []string{"values are any bytes, of any size up to a mebibyte"}},
		{"cuts values", func(s *simple) { s.in = func(v []byte) []byte { return v[:min(len(v), 1<<16)] } }, []string{
			"values are any bytes, of any size up to a mebibyte",
		}},
		{"changes what it is given", func(s *simple) {
			s.in = func(v []byte) []byte { _ = append(v, "nonce"...); return v }
		}, []string{"values handed in are not modified"}},
		{"writes into what it gave", func(s *simple) { s.inPlace = true }, []string{"values handed out are not modified"}},
		{"folds keys", func(s *simple) { s.key = strings.ToLower }, []string{"keys are any bytes"}},
		{"trims keys", func(s *simple) { s.key = strings.TrimSpace }, []string{"keys are any bytes"}},
		{"takes keys for UTF-8", func(s *simple) { s.key = func(k string) string { return strings.ToValidUTF8(k, "?") } }, []string{
			"keys are any bytes",
		}},
		{"does not look at its context", func(s *simple) { s.deaf = true }, []string{"an ended context ends every method"}},
	} {
		for _, by := range test.by {
			c, ok := clauses[by]
			if !ok {
				t.Fatalf("no clause %q", by)
			}
			noticed[by] = true
			wg.Go(func() { // not a subtest: they wait for processors, and most of these sleep
				s := newSimple()
				test.wrong(s)
				p := &probe{TB: t}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.check(p, s)
				}()
				<-done
				if !p.failed.Load() {
					t.Errorf("a store that %s passes %q", test.name, by)
				}
			})
		}
	}
	wg.Wait()
	for name := range clauses {
		if !noticed[name] {
			t.Errorf("nothing shows that %q can fail", name)
		}
	}
}

// probe is a test that remembers that it failed, and fails nobody else.
type probe struct {
	testing.TB
	failed atomic.Bool
}

func (p *probe) Error(...any)          { p.failed.Store(true) }
func (p *probe) Errorf(string, ...any) { p.failed.Store(true) }
func (p *probe) Fatal(...any)          { p.failed.Store(true); runtime.Goexit() }
func (p *probe) Fatalf(string, ...any) { p.failed.Store(true); runtime.Goexit() }

// simple is a store as short as can be, with a place for each mistake.
type simple struct {
	mu      sync.Mutex
	entries map[string]entry

	missing, lost                                 error
	emptyIsMiss, createsOver, ignoresRev, gap     bool
	fickle                                        bool
	swaps                                         int
	deletesAny, saysDeleted, keeps, inPlace, deaf bool
	firstTTL, lostRenews                          bool
	leastTTL                                      time.Duration
	newRev                                        func(version int, value []byte) string
	ttl                                           func(time.Duration) time.Duration
	in                                            func([]byte) []byte
	key                                           func(string) string
	peeked                                        map[string]entry
}

type entry struct {
	value   []byte
	rev     string
	version int
	expires time.Time
}

func newSimple() *simple {
	return &simple{
		entries:  map[string]entry{},
		leastTTL: 1,
		newRev:   func(int, []byte) string { return rand.Text() },
		ttl:      func(d time.Duration) time.Duration { return d },
		in:       func(v []byte) []byte { return v },
		key:      func(k string) string { return k },
	}
}

// get is called with mu held.
func (s *simple) get(key string) entry {
	e, ok := s.entries[s.key(key)]
	if !ok || !time.Now().Before(e.expires) {
		return entry{version: e.version}
	}
	return e
}

func (s *simple) ended(ctx context.Context) error {
	if s.deaf {
		return nil
	}
	return ctx.Err()
}

func (s *simple) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.ended(ctx); err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.get(key)
	switch {
	case e.rev == "":
		return nil, "", s.missing
	case s.emptyIsMiss && len(e.value) == 0:
		return nil, "", nil
	}
	return e.value, e.rev, nil
}

func (s *simple) Peek(ctx context.Context, key string) ([]byte, string, error) {
	if s.peeked == nil {
		return s.Load(ctx, key)
	}
	s.mu.Lock()
	e, ok := s.peeked[key]
	s.mu.Unlock()
	if ok {
		return e.value, e.rev, nil
	}
	value, rev, err := s.Load(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peeked[key] = entry{value: value, rev: rev}
	return value, rev, err
}

func (s *simple) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if err := s.ended(ctx); err != nil {
		return "", err
	}
	if ttl < s.leastTTL {
		return "", errors.New("ttl")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.get(key)
	if s.swaps++; s.fickle && s.swaps%20 == 0 {
		return "", nil
	}
	switch {
	case old.rev == rev, s.ignoresRev, rev == "" && s.createsOver:
	case s.lostRenews && old.rev != "":
		old.expires = time.Now().Add(ttl)
		s.entries[s.key(key)] = old
		return "", nil
	default:
		return "", s.lost
	}
	s.elsewhere()
	e := entry{value: s.in(value), version: old.version + 1, expires: time.Now().Add(s.ttl(ttl))}
	e.rev = s.newRev(e.version, value)
	if s.firstTTL && old.rev != "" {
		e.expires = old.expires
	}
	if s.inPlace {
		e.value = append(old.value[:0], value...)
	} else {
		e.value = bytes.Clone(e.value)
	}
	s.entries[s.key(key)] = e
	return e.rev, nil
}

func (s *simple) Delete(ctx context.Context, key, rev string) (bool, error) {
	if err := s.ended(ctx); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.get(key)
	switch {
	case old.rev == "":
		return s.saysDeleted, s.missing
	case old.rev != rev && !s.deletesAny:
		return s.saysDeleted, nil
	}
	s.elsewhere()
	if !s.keeps {
		delete(s.entries, s.key(key))
	}
	return true, nil
}

// elsewhere lets others write between the look and the write.
func (s *simple) elsewhere() {
	if s.gap {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
}
