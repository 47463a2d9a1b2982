package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

// A move is a Swap that many made at the same time: from which revision to which, "" if
// it lost, and when it began and had ended.
type move struct {
	from, to     string
	began, ended time.Duration
}

// linearizable lets writers contend for one key, and holds what each of them
// was told against one order of all writes: every revision is replaced once, by whom it
// was given to before; no write comes before one that had ended when it began; and nobody
// loses to a state that was not there.
func linearizable(t testing.TB, s store.Store) {
	const writers, each = 8, 25
	key := newKey()
	start := time.Now()
	first := write(t, s, key, "", "first", life)
	moves := []move{{to: first, ended: time.Since(start)}}
	var mu sync.Mutex
	together(t, writers, func(w int) error {
		for range each {
			_, from, err := s.Load(t.Context(), key)
			if err != nil {
				return err
			}
			m := move{from: from, began: time.Since(start)}
			if m.to, err = s.Swap(t.Context(), key, from, []byte{byte(w)}, life); err != nil {
				return err
			}
			m.ended = time.Since(start)
			mu.Lock()
			moves = append(moves, m)
			mu.Unlock()
		}
		return nil
	})
	if err := inOneOrder(moves); err != nil {
		t.Error(err)
	}
}

// inOneOrder follows the revisions from the first to the last.
func inOneOrder(moves []move) error {
	won := map[string]move{} // by what it replaced
	for _, m := range moves {
		if m.to == "" {
			continue
		}
		if other, twice := won[m.from]; twice {
			return fmt.Errorf("two Swaps from revision %q have won: %q and %q", m.from, other.to, m.to)
		}
		won[m.from] = m
	}
	made := map[string]move{} // by what it wrote
	var latest time.Duration  // when the last of those before had begun
	rev, steps := "", 0
	for m, ok := won[rev]; ok; m, ok = won[rev] {
		if _, again := made[m.to]; again {
			return fmt.Errorf("revision %q was given twice", m.to)
		}
		if m.ended < latest {
			return fmt.Errorf("the Swap to revision %q had ended before one that comes before it began", m.to)
		}
		latest = max(latest, m.began)
		made[m.to] = m
		rev = m.to
		steps++
	}
	if steps != len(won) {
		return fmt.Errorf("%d Swaps have won, of which %d follow one another", len(won), steps)
	}
	for _, m := range moves {
		if m.to != "" {
			continue
		}
		there, known := made[m.from]
		gone, replaced := won[m.from]
		if known && there.ended < m.began && (!replaced || gone.began > m.ended) {
			return fmt.Errorf("a Swap from revision %q has lost, though that was there all the time", m.from)
		}
	}
	return nil
}
