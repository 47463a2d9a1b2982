package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// table is the Store beneath [SQL]: values as they lie in the table. Each method is one
// statement, and the number of rows that it has changed tells whether it has won.
type table struct {
	db  *sql.DB
	sql statements
	// turn is held by who writes, where only one does at a time; else it is nil. Left to
	// itself, SQLite has those who wait ask again and again, and some wait a hundred times
	// longer than others.
	turn chan struct{}
}

// Load implements [Store].
func (t *table) Load(ctx context.Context, key string) ([]byte, string, error) {
	return t.PeekUnless(ctx, key, "")
}

// Peek implements [Store].
func (t *table) Peek(ctx context.Context, key string) ([]byte, string, error) {
	return t.PeekUnless(ctx, key, "")
}

// PeekUnless implements [UnlessPeeker].
func (t *table) PeekUnless(ctx context.Context, key, known string) (value []byte, rev string, err error) {
	err = run(func() error {
		return t.db.QueryRowContext(ctx, t.sql.load, []byte(key), known).Scan(&value, &rev)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	return value, rev, nil
}

// Swap implements [Store].
func (t *table) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if ttl <= 0 {
		return "", errTTL
	}
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	next := newRev()
	var rows int64
	var err error
	if rev == "" {
		rows, err = t.exec(ctx, t.sql.create, []byte(key), next, value, ttl.Seconds())
	} else {
		rows, err = t.exec(ctx, t.sql.replace, []byte(key), rev, next, value, ttl.Seconds())
	}
	if err != nil || rows == 0 {
		return "", err
	}
	return next, nil
}

// Delete implements [Store].
func (t *table) Delete(ctx context.Context, key, rev string) (bool, error) {
	rows, err := t.exec(ctx, t.sql.remove, []byte(key), rev)
	return rows > 0, err
}

func (t *table) exec(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	if t.turn != nil {
		select {
		case t.turn <- struct{}{}:
			defer func() { <-t.turn }()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	err = run(func() error {
		result, err := t.db.ExecContext(ctx, statement, args...)
		if err != nil {
			return err
		}
		rows, err = result.RowsAffected()
		return err
	})
	return rows, err
}

// run runs a statement, and again when the database has rolled it back for the sake of
// others. In PostgreSQL that happens where every transaction is serializable, or a
// repeatable read.
func run(statement func() error) error {
	const most = 100
	err := statement()
	for range most {
		if !rolledBack(err) {
			break
		}
		err = statement()
	}
	if err != nil {
		return fmt.Errorf("store: sql: %w", err)
	}
	return nil
}

func rolledBack(err error) bool {
	state, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	return ok && state.SQLState() == "40001" // serialization_failure
}
