package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// SQLConfig sets up a [SQL].
type SQLConfig struct {
	// Dialect is what the database speaks; required.
	Dialect Dialect
	// Keys seal the values, see [Seal]; required, unless Unsealed.
	Keys []Key
	// Unsealed keeps the values as they are: who can read the table can act for
	// every user in it.
	Unsealed bool
	// Table is a name of lower-case letters, digits and underscores, in PostgreSQL
	// also of the form schema.table; "": tokenwell.
	Table string
	// Logger takes what an operator wants to know; nil: slog.Default(). No secret
	// reaches it.
	Logger *slog.Logger
}

// SQL is a Store in a table of PostgreSQL or SQLite, through a *sql.DB that stays the
// caller's. Make one with [NewSQL], and Close it.
//
// Each method is one statement: there is no transaction, no lock, and nothing that is
// kept on a connection. So it works behind a proxy that pools transactions, such as
// PgBouncer, provided that the driver prepares nothing by itself: pgx does not with
// default_query_exec_mode=exec in its connection string. Peek asks the database as Load
// does, which is one query for each request, but a value whose revision is known is not
// fetched.
//
// Expiry is judged by the database's clock, and what has expired is not seen. Its rows
// are deleted about once a minute, a thousand at a time; PostgreSQL keeps them for up to
// a quarter of an hour.
//
// SQLite is the durable choice for one machine: a restart or a kill loses nothing that
// was acknowledged. That a power failure does not either takes synchronous=FULL. With
// NORMAL, which is often recommended for WAL, it takes back the last writes, and with
// them a refresh token that was rotated a moment before. For modernc.org/sqlite, say
//
//	file:tokenwell.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)
//
// In PostgreSQL the same goes for synchronous_commit. [NewSQL] warns when it finds one of
// these settings off.
type SQL struct {
	table *table
	inner interface { // the table, sealed or not
		Store
		UnlessPeeker
	}
	log   *slog.Logger
	stop  context.CancelFunc
	ended chan struct{}
}

// NewSQL returns a store in db. It makes the table if there is none; for databases where
// that is somebody else's to do, see [Dialect.Schema]. It fails when the configuration is
// wrong, and when it cannot create, read, replace and delete a key.
func NewSQL(ctx context.Context, db *sql.DB, cfg SQLConfig) (*SQL, error) {
	statements, err := cfg.Dialect.statements(cfg.Table)
	if err != nil {
		return nil, err
	}
	s := &SQL{table: &table{db: db, sql: statements}, log: cfg.Logger, ended: make(chan struct{})}
	if cfg.Dialect == SQLite {
		s.table.turn = make(chan struct{}, 1)
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	switch {
	case !cfg.Unsealed:
		if s.inner, err = Seal(s.table, cfg.Keys); err != nil {
			return nil, fmt.Errorf("%w (a SQL without Keys must be Unsealed)", err)
		}
	case len(cfg.Keys) > 0:
		return nil, errors.New("store: a SQL that is Unsealed has no use for Keys")
	default:
		s.inner = s.table
	}
	if err := s.table.open(ctx, s.log); err != nil {
		return nil, err
	}
	sweeping, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.ended)
		s.sweep(sweeping)
	}()
	return s, nil
}

// Close ends the deletion of expired rows, and leaves the *sql.DB alone.
func (s *SQL) Close() error {
	s.stop()
	<-s.ended
	return nil
}

// Load implements [Store].
func (s *SQL) Load(ctx context.Context, key string) ([]byte, string, error) {
	return s.inner.Load(ctx, key)
}

// Peek implements [Store].
func (s *SQL) Peek(ctx context.Context, key string) ([]byte, string, error) {
	return s.inner.Peek(ctx, key)
}

// PeekUnless implements [UnlessPeeker].
func (s *SQL) PeekUnless(ctx context.Context, key, known string) ([]byte, string, error) {
	return s.inner.PeekUnless(ctx, key, known)
}

// Swap implements [Store].
func (s *SQL) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	return s.inner.Swap(ctx, key, rev, value, ttl)
}

// Delete implements [Store].
func (s *SQL) Delete(ctx context.Context, key, rev string) (bool, error) {
	return s.inner.Delete(ctx, key, rev)
}
