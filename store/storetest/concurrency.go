package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenwell/tokenwell/store"
)

var concurrencyClauses = []clause{
	{"one of many creates wins", oneCreateWins},
	{"one of many Swaps of a state wins", oneSwapWins},
	{"either Swap or Delete of a state wins", swapOrDeleteWins},
	{"a counter kept by Load and Swap counts right", counter},
	{"writes are in one order, which is that of time", linearizable},
	{"Peek is not behind this process's writes", peekIsNotBehind},
}

// together runs n functions at the same time and fails for each that does.
func together(t testing.TB, n int, run func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

const (
	rounds   = 10
	contends = 16
)

func oneCreateWins(t testing.TB, s store.Store) {
	for range rounds {
		race(t, s, newKey(), "")
	}
}

func oneSwapWins(t testing.TB, s store.Store) {
	for range rounds {
		key := newKey()
		race(t, s, key, write(t, s, key, "", "before", life))
	}
}

// race lets many replace the state rev, and looks for a single winner.
func race(t testing.TB, s store.Store, key, rev string) {
	t.Helper()
	revs := make([]string, contends)
	together(t, contends, func(i int) (err error) {
		revs[i], err = s.Swap(t.Context(), key, rev, []byte(strconv.Itoa(i)), life)
		return err
	})
	winner := -1
	for i, got := range revs {
		if got == "" {
			continue
		}
		if winner >= 0 {
			t.Fatalf("two Swaps from revision %q have won: %q and %q", rev, revs[winner], got)
		}
		winner = i
	}
	if winner < 0 {
		t.Fatalf("of %d Swaps from revision %q none has won", contends, rev)
	}
	expect(t, s, key, revs[winner], strconv.Itoa(winner))
}

func swapOrDeleteWins(t testing.TB, s store.Store) {
	for range 2 * rounds {
		key := newKey()
		rev := write(t, s, key, "", "before", life)
		var swapped atomic.Pointer[string]
		var wins, deletes atomic.Int32
		together(t, 4, func(i int) error {
			if i%2 == 0 {
				deleted, err := s.Delete(t.Context(), key, rev)
				if deleted {
					wins.Add(1)
					deletes.Add(1)
				}
				return err
			}
			got, err := s.Swap(t.Context(), key, rev, []byte("after"), life)
			if got != "" {
				wins.Add(1)
				swapped.Store(&got)
			}
			return err
		})
		if got := wins.Load(); got != 1 {
			t.Fatalf("%d of two Swaps and two Deletes of one state have won", got)
		}
		if deletes.Load() == 1 {
			expectMiss(t, s, key)
		} else {
			expect(t, s, key, *swapped.Load(), "after")
		}
	}
}

// counter also looks on: a reader sees the counter grow only, and each revision with
// the one value that it was given to.
func counter(t testing.TB, s store.Store) {
	const each = 20
	key := newKey()
	write(t, s, key, "", "0", life)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	states := states{}
	var reader sync.WaitGroup
	var readErr error
	reader.Go(func() {
		last := 0
		for ; ctx.Err() == nil; runtime.Gosched() {
			value, rev, err := s.Load(t.Context(), key)
			n, notNumber := strconv.Atoi(string(value))
			if readErr = errors.Join(err, notNumber, states.note(rev, n)); readErr != nil {
				return
			}
			if n < last {
				readErr = fmt.Errorf("Load gave %d, and %d before", n, last)
				return
			}
			last = n
		}
	})
	together(t, contends/2, func(int) error {
		for done := 0; done < each; {
			value, rev, err := s.Load(t.Context(), key)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(string(value))
			if err != nil {
				return err
			}
			runtime.Gosched() // let others in between, where the store is too fast for them
			won, err := s.Swap(t.Context(), key, rev, []byte(strconv.Itoa(n+1)), life)
			if err != nil {
				return err
			}
			if won == "" {
				continue
			}
			if err := states.note(won, n+1); err != nil {
				return err
			}
			done++
		}
		return nil
	})
	stop()
	reader.Wait()
	if readErr != nil {
		t.Error(readErr)
	}
	if value, _ := load(t, s, key); string(value) != strconv.Itoa(each*contends/2) {
		t.Errorf("%d increments made %s", each*contends/2, value)
	}
}

// states remembers which value came with which revision.
type states struct{ seen sync.Map }

func (st *states) note(rev string, value int) error {
	if before, there := st.seen.LoadOrStore(rev, value); there && before != value {
		return fmt.Errorf("revision %q is that of %v and of %d", rev, before, value)
	}
	return nil
}

// peekIsNotBehind writes while others read, which is when a cache may be filled with
// what has just been replaced.
func peekIsNotBehind(t testing.TB, s store.Store) {
	key := newKey()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ; ctx.Err() == nil; runtime.Gosched() {
				_, _, _ = s.Peek(ctx, key)
			}
		})
	}
	defer readers.Wait()
	defer stop()

	check := func(after, rev string) {
		t.Helper()
		for range 3 {
			if _, got := peek(t, s, key); got != rev {
				t.Fatalf("Peek after %s shows revision %q, want %q", after, got, rev)
			}
		}
	}
	for range 25 {
		rev := write(t, s, key, "", "created", life)
		check("a create", rev)
		rev = write(t, s, key, rev, "swapped", life)
		check("a Swap", rev)
		if !remove(t, s, key, rev) {
			t.Fatal("Delete of the current state: not deleted")
		}
		check("a Delete", "")
	}
	// A Peek that finds nothing behind a write of another goroutine is as wrong.
	together(t, contends, func(i int) error {
		key := newKey()
		rev, err := s.Swap(t.Context(), key, "", []byte("value"), life)
		if err != nil {
			return err
		}
		_, got, err := s.Peek(t.Context(), key)
		if err == nil && got != rev {
			err = fmt.Errorf("Peek of goroutine %d shows revision %q after it wrote %q", i, got, rev)
		}
		return err
	})
}
