package stores

import (
	"bytes"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
)

func TestSQLiteAlteredRowIsAnError(t *testing.T) {
	alteredRowIsAnError(t, store.SQLite, openSQLite(t, filepath.Join(t.TempDir(), "tokenwell.db")))
}

func TestPostgreSQLAlteredRowIsAnError(t *testing.T) {
	pg := server.StartPostgres(t)
	alteredRowIsAnError(t, store.PostgreSQL, openPostgreSQL(t, pg.Database(t, "application")))
}

// alteredRowIsAnError lays hands on the table. What cannot be opened is an error, and stays where it is.
func alteredRowIsAnError(t *testing.T, dialect store.Dialect, db *sql.DB) {
	one, two := store.Key{Name: "one", Secret: bytes.Repeat([]byte{1}, 32)}, store.Key{Name: "two", Secret: bytes.Repeat([]byte{2}, 32)}
	s := newSQL(t, db, store.SQLConfig{Dialect: dialect, Keys: []store.Key{one}})
	for _, key := range []string{"mine", "yours"} {
		if rev, err := s.Swap(t.Context(), key, "", []byte("the login of "+key), time.Hour); rev == "" || err != nil {
			t.Fatal(rev, err)
		}
	}
	row := func(key string) (value []byte, rev string) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), "SELECT value, rev FROM tokenwell WHERE key = $1", []byte(key)).Scan(&value, &rev); err != nil {
			t.Fatal(err)
		}
		return value, rev
	}
	put := func(value []byte) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), "UPDATE tokenwell SET value = $1 WHERE key = $2", value, []byte("mine")); err != nil {
			t.Fatal(err)
		}
	}
	mine, rev := row("mine")
	yours, _ := row("yours")
	if bytes.Contains(mine, []byte("login")) {
		t.Errorf("the table holds %q", mine)
	}
	flipped := bytes.Clone(mine)
	flipped[len(flipped)/2] ^= 1
	fails := func(s *store.SQL, why string) {
		t.Helper()
		before, _ := row("mine")
		for way, read := range map[string]func() ([]byte, string, error){
			"Load":       func() ([]byte, string, error) { return s.Load(t.Context(), "mine") },
			"Peek":       func() ([]byte, string, error) { return s.Peek(t.Context(), "mine") },
			"PeekUnless": func() ([]byte, string, error) { return s.PeekUnless(t.Context(), "mine", "another") },
		} {
			if value, got, err := read(); value != nil || got != rev || !errors.Is(err, store.ErrSealed) {
				t.Errorf("%s, %s: %q, %q, %v", why, way, value, got, err)
			}
		}
		if after, got := row("mine"); !bytes.Equal(after, before) || got != rev {
			t.Errorf("%s: the row was touched", why)
		}
	}
	opens := func(s *store.SQL, why string) {
		t.Helper()
		if value, got, err := s.Load(t.Context(), "mine"); string(value) != "the login of mine" || got != rev || err != nil {
			t.Errorf("%s: %q, %q, %v", why, value, got, err)
		}
	}
	put(flipped)
	fails(s, "a flipped bit")
	put(yours)
	fails(s, "another's row")
	put(mine)
	opens(s, "as it was")
	opens(newSQL(t, db, store.SQLConfig{Dialect: dialect, Keys: []store.Key{two, one}}), "a retired key")
	fails(newSQL(t, db, store.SQLConfig{Dialect: dialect, Keys: []store.Key{two}}), "an unknown key")

	// What is known is not even fetched.
	unsealed := newSQL(t, db, store.SQLConfig{Dialect: dialect, Unsealed: true})
	for _, s := range []*store.SQL{s, unsealed} {
		if value, got, err := s.PeekUnless(t.Context(), "mine", rev); value != nil || got != rev || err != nil {
			t.Errorf("PeekUnless of what is known: %q, %q, %v", value, got, err)
		}
	}
	if value, got, err := unsealed.PeekUnless(t.Context(), "mine", "another"); !bytes.Equal(value, mine) || got != rev || err != nil {
		t.Errorf("PeekUnless of what is not known: %q, %q, %v", value, got, err)
	}
}
