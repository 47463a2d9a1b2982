package redisstore

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

const keep = time.Minute

func TestNoMarkAllowsAnyAnswer(t *testing.T) {
	t.Parallel()
	m := marks{keep: keep}
	if !m.of("key").allows("any") || !m.of("key").allows("") {
		t.Error("an answer does not count, though nothing was written")
	}
}

func TestMarkAllowsOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	m := marks{keep: keep}
	steps := []struct {
		name string
		do   func()
		want string // the one revision that counts; "none"
	}{
		{"a create", func() { m.wrote("key", m.of("key"), "one") }, "one"},
		{"a Swap", func() { m.wrote("key", m.of("key"), "two") }, "two"},
		{"a Delete", func() { m.wrote("key", m.of("key"), "") }, ""},
		{"another create", func() { m.wrote("key", m.of("key"), "three") }, "three"},
		{"a write of another key", func() { m.wrote("other", m.of("other"), "four") }, "three"},
		{"a write in doubt", func() { m.lost("key") }, "none"},
		// The one in doubt may be carried out after it.
		{"a write after that", func() { m.wrote("key", m.of("key"), "five") }, "none"},
	}
	for _, step := range steps {
		step.do()
		for _, rev := range []string{"", "one", "two", "three", "four", "five"} {
			if got := m.of("key").allows(rev); got != (rev == step.want) {
				t.Errorf("after %s: %q counts: %v", step.name, rev, got)
			}
		}
	}
}

// Which of two writes was the last cannot be told when the second had begun before the first was acknowledged.
func TestMarkOfOverlappingWritesAllowsNothing(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(*marks){
		"of a key that was not written": func(*marks) {},
		"of a key that was":             func(m *marks) { m.wrote("key", m.of("key"), "zero") },
		"of a key that was deleted":     func(m *marks) { m.wrote("key", m.of("key"), "") },
	} {
		t.Run(name, func(t *testing.T) {
			m := marks{keep: keep}
			first(&m)
			one, two := m.of("key"), m.of("key")
			m.wrote("key", one, "one")
			m.wrote("key", two, "two")
			for _, rev := range []string{"", "zero", "one", "two"} {
				if m.of("key").allows(rev) {
					t.Errorf("%q counts", rev)
				}
			}
		})
	}
}

// Whatever else is written meanwhile, and whenever.
func TestMarkIsKeptLongEnoughAndNotForEver(t *testing.T) {
	t.Parallel()
	const step = keep / 4
	for begin := range 4 {
		for _, busy := range []bool{true, false} {
			t.Run(strconv.Itoa(begin)+", busy "+strconv.FormatBool(busy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := marks{keep: keep}
					m.lost("first")
					time.Sleep(time.Duration(begin) * step)
					m.wrote("key", m.of("key"), "rev")
					for age := time.Duration(0); age <= 2*keep; age += step {
						if busy {
							m.lost(age.String())
						}
						found := m.of("key")
						if age < keep && found == nil {
							t.Fatalf("it is gone after %v", age)
						}
						if age == 2*keep && found != nil {
							t.Fatalf("it is there after %v", age)
						}
						time.Sleep(step)
					}
				})
			})
		}
	}
}

// However long ago the one before was: no mark is both there and dropped.
func TestMarkOfAWriteAfterAnotherIsSure(t *testing.T) {
	t.Parallel()
	const step = keep / 4
	for pause := range 20 {
		synctest.Test(t, func(t *testing.T) {
			m := marks{keep: keep}
			m.wrote("key", m.of("key"), "one")
			time.Sleep(keep)
			m.wrote("other", m.of("other"), "rev")
			time.Sleep(time.Duration(pause) * step)
			m.wrote("key", m.of("key"), "two")
			if !m.of("key").allows("two") {
				t.Errorf("it is not after %v", time.Duration(pause)*step)
			}
		})
	}
}

// What does not fit is not forgotten but no longer known in part, for a while.
func TestMarksAreBoundedAndStillRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := marks{keep: keep}
		m.wrote("before", m.of("before"), "old")
		time.Sleep(keep)
		for i := range maxMarks {
			key := strconv.Itoa(i)
			m.wrote(key, m.of(key), "rev")
		}
		if !m.of("before").allows("old") || !m.of("never").allows("any") {
			t.Error("what is not known in part allows nothing already")
		}
		m.wrote("too many", m.of("too many"), "rev")
		m.wrote("before", m.of("before"), "new")
		m.wrote("0", m.of("0"), "again")
		for key, revs := range map[string][]string{"too many": {"rev", ""}, "before": {"old", "new"}, "never": {"", "any"}, "0": {"rev"}} {
			for _, rev := range revs {
				if m.of(key).allows(rev) {
					t.Errorf("%s: %q counts", key, rev)
				}
			}
		}
		if !m.of("0").allows("again") || !m.of("1").allows("rev") {
			t.Error("what is known allows nothing")
		}
		if n := len(m.young.marks); n > maxMarks {
			t.Errorf("%d marks", n)
		}
		time.Sleep(keep - 1)
		m.wrote("later", m.of("later"), "rev")
		if m.of("too many").allows("rev") {
			t.Error("forgotten too early")
		}
		time.Sleep(2 * keep)
		if !m.of("too many").allows("any") {
			t.Error("never trusted again")
		}
	})
}
