package stores

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
)

// Connections end and the server crashes while many write. Callers see errors for as long as it lasts and not a moment
// longer; what a Swap said to have written is there, and no Swap says that it lost when nobody else wrote.
func TestPostgreSQLOutageTellsNoLies(t *testing.T) {
	pg := server.StartPostgres(t)
	s := newSQL(t, openPostgreSQL(t, pg.Database(t, "application")), store.SQLConfig{
		Dialect: store.PostgreSQL, Keys: sqlKeys,
		Logger: slog.New(slog.DiscardHandler), // a sweep may meet an outage, too
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	users := make([]*soleWriter, 16)
	var writing sync.WaitGroup
	for i := range users {
		users[i] = &soleWriter{s: s, key: fmt.Sprintf("user %d", i)}
		writing.Go(func() {
			for ctx.Err() == nil {
				if err := users[i].write(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writes := func() (n int64) {
		for _, u := range users {
			n += u.writes.Load()
		}
		return n
	}
	goOn := func(after string) {
		t.Helper()
		before := writes()
		for deadline := time.Now().Add(20 * time.Second); writes() < before+200; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %s: %d writes", after, writes()-before)
			}
		}
	}
	goOn("the start")
	for range 5 {
		pg.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'application'")
		goOn("connections were ended")
	}
	for range 3 {
		pg.Crash()
		pg.Start(t)
		goOn("a crash")
	}
	stop()
	writing.Wait()
	for _, u := range users {
		if u.errors == 0 {
			t.Errorf("%s noticed nothing of all this", u.key)
		}
	}
}

// soleWriter is the only one who writes a key, and so knows what there is, but for a write that ended in an error.
type soleWriter struct {
	s          store.Store
	key        string
	value, rev string // what there is; no revision: nothing
	writes     atomic.Int64
	errors     int
}

// write writes something new, or now and then nothing.
func (w *soleWriter) write(ctx context.Context) (err error) {
	value, rev, done := rand.Text(), "", false
	if w.rev != "" && value[0] < 'D' {
		value = ""
		done, err = w.s.Delete(ctx, w.key, w.rev)
	} else {
		rev, err = w.s.Swap(ctx, w.key, w.rev, []byte(value), time.Hour)
		done = rev != ""
	}
	switch {
	case err != nil:
		w.errors++
		return w.look(ctx, value)
	case !done:
		return fmt.Errorf("%s: lost from revision %q, though nobody else wrote", w.key, w.rev)
	}
	w.value, w.rev = value, rev
	w.writes.Add(1)
	return nil
}

// look finds out whether value was written.
func (w *soleWriter) look(ctx context.Context, value string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		got, rev, err := w.s.Load(ctx, w.key)
		switch {
		case err == nil && rev == w.rev && string(got) == w.value:
			return nil // it was not
		case err == nil && rev != w.rev && string(got) == value:
			w.value, w.rev = value, rev
			return nil
		case err == nil:
			return fmt.Errorf("%s: found %q, revision %q; it was %q, %q, and %q was to be written", w.key, got, rev, w.value, w.rev, value)
		case ctx.Err() != nil:
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}
