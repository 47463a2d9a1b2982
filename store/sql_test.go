package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/store"
)

func newSQL(t *testing.T, f *fakeSQL, log io.Writer) *store.SQL {
	t.Helper()
	s, err := store.NewSQL(t.Context(), f.open(t), store.SQLConfig{
		Dialect: store.PostgreSQL, Unsealed: true, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sweeps(statement string) bool { return strings.Contains(statement, "SKIP LOCKED") }

// A database that is full of expired rows is not told to delete them all at once, nor without a pause, nor by all
// processes at the same time. That no goroutine is left is checked by synctest.
func TestSQLSweepsInBatchesFromTimeToTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		told := make(chan time.Duration, 1000)
		batches := func() (at []time.Duration) {
			for len(told) > 0 {
				at = append(at, <-told)
			}
			return at
		}
		expired := int64(2500)
		s := newSQL(t, &fakeSQL{exec: func(_ context.Context, statement string) (int64, error) {
			if !sweeps(statement) {
				return 1, nil
			}
			told <- time.Since(start)
			n := min(expired, 1000)
			expired -= n
			return n, nil
		}}, io.Discard)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if first := batches(); len(first) != 3 || first[0] == first[1] || first[1] == first[2] {
			t.Fatalf("2,500 rows are deleted at %v", first)
		}

		time.Sleep(time.Hour)
		synctest.Wait()
		hour, gaps := batches(), map[time.Duration]bool{}
		for i, at := range hour[1:] {
			gaps[at-hour[i]] = true
		}
		if len(hour) < 45 || len(hour) > 80 || len(gaps) < 20 {
			t.Errorf("%d sweeps in an hour, %d different times apart", len(hour), len(gaps))
		}

		_ = s.Close()
		_ = s.Close() // does no harm
		time.Sleep(time.Hour)
		if late := batches(); late != nil {
			t.Errorf("it sweeps after Close, at %v", late)
		}
	})
}

// What fails one sweep is told, and does not keep the next from trying. A database that hangs fails it too.
func TestSQLSweepsAgainAfterAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries, hanging atomic.Int32
		var log bytes.Buffer
		s := newSQL(t, &fakeSQL{exec: func(ctx context.Context, statement string) (int64, error) {
			if !sweeps(statement) {
				return 1, nil
			}
			switch tries.Add(1) {
			case 1:
				return 0, errors.New("the server is away")
			case 2, 4:
				hanging.Add(1)
				defer hanging.Add(-1)
				<-ctx.Done()
				time.Sleep(time.Millisecond)
				return 0, ctx.Err()
			default:
				return 1, nil
			}
		}}, &log)
		for tries.Load() < 4 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if _ = s.Close(); hanging.Load() != 0 { // in its fourth try
			t.Error("it goes on after Close")
		}
		got := log.String()
		if strings.Count(got, "\n") != 2 || !strings.Contains(got, "away") || !strings.Contains(got, "deadline") {
			t.Errorf("two faults and a Close are logged as\n%s", got)
		}
	})
}

// A write is sent again when it was certainly rolled back, and else never: it might have happened.
func TestSQLSendsAgainOnlyWhatWasRolledBack(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]int{"40001": 3, "40003": 1, "08006": 1, "57014": 1, "57P01": 1} {
		sent := 0
		s := newSQL(t, &fakeSQL{exec: func(_ context.Context, statement string) (int64, error) {
			if !strings.HasPrefix(statement, "UPDATE") {
				return 1, nil
			}
			if sent++; sent < 3 {
				return 0, fmt.Errorf("wrapped: %w", sqlState(state))
			}
			return 1, nil
		}}, io.Discard)
		rev, err := s.Swap(t.Context(), "key", "rev", nil, time.Minute)
		won := rev != "" && err == nil
		failed := rev == "" && errors.Is(err, sqlState(state))
		if sent != want || want == 3 && !won || want == 1 && !failed {
			t.Errorf("%s: sent %d times: %q, %v", state, sent, rev, err)
		}
	}

	always := false
	s := newSQL(t, &fakeSQL{exec: func(context.Context, string) (int64, error) {
		if always {
			return 0, sqlState("40001")
		}
		return 1, nil
	}}, io.Discard)
	_ = s.Close()
	always = true
	if deleted, err := s.Delete(t.Context(), "key", "rev"); deleted || !errors.Is(err, sqlState("40001")) {
		t.Errorf("rolled back each time: %v, %v", deleted, err)
	}
}

// Reads that go to a replica, a moment behind, would be no Load.
func TestSQLRefusesADatabaseThatShowsOtherThanWasWritten(t *testing.T) {
	t.Parallel()
	f := &fakeSQL{behind: true, rev: "of yesterday"}
	s, err := store.NewSQL(t.Context(), f.open(t), store.SQLConfig{Dialect: store.PostgreSQL, Unsealed: true})
	if s != nil || err == nil || !strings.Contains(err.Error(), "different databases") {
		t.Errorf("%v, %v", s, err)
	}
}

type sqlState string

func (s sqlState) Error() string    { return "state " + string(s) }
func (s sqlState) SQLState() string { return string(s) }

func TestSQLRefusesWrongConfiguration(t *testing.T) {
	t.Parallel()
	keys := []store.Key{{Name: "one", Secret: secret(1)}}
	for name, test := range map[string]struct {
		cfg  store.SQLConfig
		want string
	}{
		"no dialect":      {store.SQLConfig{Keys: keys}, "dialect"},
		"other dialect":   {store.SQLConfig{Keys: keys, Dialect: 3}, "dialect"},
		"neither":         {store.SQLConfig{Dialect: store.SQLite}, "Unsealed"},
		"both":            {store.SQLConfig{Dialect: store.SQLite, Keys: keys, Unsealed: true}, "Unsealed"},
		"a short secret":  {store.SQLConfig{Dialect: store.SQLite, Keys: []store.Key{{Name: "k", Secret: []byte("hunter2")}}}, "32"},
		"SQLite's schema": {store.SQLConfig{Dialect: store.SQLite, Keys: keys, Table: "main.tokenwell"}, "main.tokenwell"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, test.cfg, test.want) })
	}
	for _, table := range []string{
		"Sessions", "a b", "a;b", "a.b.c", ".a", "a.", "1a", "a-b", `"a"`, "a'", "a\n", "a\x00", "täble", "a; DROP TABLE b; --",
		strings.Repeat("a", 41), strings.Repeat("a", 41) + ".b",
	} {
		refused(t, store.SQLConfig{Dialect: store.PostgreSQL, Keys: keys, Table: table}, fmt.Sprintf("%q", table))
		if schema, err := store.PostgreSQL.Schema(table); err == nil || schema != "" {
			t.Errorf("a schema for %q: %v", table, err)
		}
	}
}

func refused(t *testing.T, cfg store.SQLConfig, want string) {
	t.Helper()
	f := &fakeSQL{exec: func(_ context.Context, statement string) (int64, error) {
		t.Errorf("told the database %q", statement)
		return 0, nil
	}}
	s, err := store.NewSQL(t.Context(), f.open(t), cfg)
	if s != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v, %v; want an error with %q", s, err, want)
	}
}
