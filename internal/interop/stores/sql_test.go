package stores

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/storetest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenwell.db")
	sealed := newSQL(t, openSQLite(t, path), store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys})
	unsealed := newSQL(t, openSQLite(t, path), store.SQLConfig{Dialect: store.SQLite, Unsealed: true, Table: "others"})
	t.Run("sealed", func(t *testing.T) { runContract(t, sealed) })
	t.Run("unsealed", func(t *testing.T) { runContract(t, unsealed) })
	// Those who open the file twice are to each other as two processes are.
	t.Run("opened twice", func(t *testing.T) {
		runContract(t, newSQL(t, openSQLite(t, path), store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys}), sealed)
	})
}

func TestPostgreSQLKeepsTheContract(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA login"); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]store.SQLConfig{
		"sealed":              {Keys: sqlKeys},
		"unsealed":            {Unsealed: true, Table: "plain"},
		"in another's schema": {Keys: sqlKeys, Table: "login.sessions"},
	} {
		cfg.Dialect = store.PostgreSQL
		t.Run(name, func(t *testing.T) { runContract(t, newSQL(t, db, cfg)) })
	}
	t.Run("of two pools", func(t *testing.T) {
		cfg := store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys}
		runContract(t, newSQL(t, db, cfg), newSQL(t, openPostgreSQL(t, pg.URL("application")), cfg))
	})
	// Transactions that see nothing of later ones are rolled back when they meet; the store begins again.
	for _, isolation := range []string{"repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			pg.Exec(t, "postgres", "ALTER DATABASE application SET default_transaction_isolation = '"+isolation+"'")
			runContract(t, newSQL(t, openPostgreSQL(t, pg.URL("application")), store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys}))
		})
	}
}

// Any connection of the pool may get any statement, and none knows what another was told.
func TestPostgreSQLKeepsTheContractBehindAPoolOfTransactions(t *testing.T) {
	pg := server.StartPostgres(t)
	pg.Database(t, "application")
	port := server.StartPgBouncer(t, pg)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			db := openPostgreSQL(t, "postgres://postgres@127.0.0.1:"+port+"/application?sslmode=disable&default_query_exec_mode="+mode)
			runContract(t, newSQL(t, db, store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys}))
		})
	}
}

func runContract(t *testing.T, stores ...store.Store) {
	s := &turns{stores: stores}
	storetest.Run(t, func(*testing.T) store.Store { return s })
}

// turns is several stores of the same, called by turns: what one writes the other reads.
type turns struct {
	stores []store.Store
	calls  atomic.Uint64
}

func (s *turns) next() store.Store { return s.stores[s.calls.Add(1)%uint64(len(s.stores))] }

func (s *turns) Load(ctx context.Context, key string) ([]byte, string, error) {
	return s.next().Load(ctx, key)
}

func (s *turns) Peek(ctx context.Context, key string) ([]byte, string, error) {
	return s.next().Peek(ctx, key)
}

func (s *turns) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	return s.next().Swap(ctx, key, rev, value, ttl)
}

func (s *turns) Delete(ctx context.Context, key, rev string) (bool, error) {
	return s.next().Delete(ctx, key, rev)
}

var sqlKeys = []store.Key{{Name: "one", Secret: bytes.Repeat([]byte{1}, 32)}}

// newSQL returns a store that lives as long as the test, and fails the test if it has anything to complain about.
func newSQL(t testing.TB, db *sql.DB, cfg store.SQLConfig) *store.SQL {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = complaints(t)
	}
	s, err := store.NewSQL(t.Context(), db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openSQLite(t testing.TB, path string) *sql.DB {
	t.Helper()
	return openSQL(t, "sqlite", sqliteSource(path))
}

// sqliteSource is what the documentation says.
func sqliteSource(path string) string {
	return "file:" + url.PathEscape(path) + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
}

func openPostgreSQL(t testing.TB, source string) *sql.DB {
	t.Helper()
	return openSQL(t, "pgx", source)
}

func openSQL(t testing.TB, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// complaints is a logger that fails the test.
func complaints(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(line []byte) { t.Errorf("logged: %s", line) }), nil))
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}
