package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// open makes the table unless it is there, sees that it can be used, and warns of settings
// that lose writes.
func (t *table) open(ctx context.Context, log *slog.Logger) error {
	if err := t.make(ctx); err != nil {
		return err
	}
	if err := t.try(ctx); err != nil {
		return err
	}
	return t.settings(ctx, log)
}

func (t *table) make(ctx context.Context) error {
	there, err := t.exists(ctx)
	if err != nil || there {
		return err
	}
	err = run(func() error { return t.create(ctx) })
	if err == nil {
		return nil
	}
	// Of those who make a table at the same time PostgreSQL lets one succeed, IF NOT
	// EXISTS or not.
	if there, _ := t.exists(ctx); there {
		return nil
	}
	return fmt.Errorf("%w (there is no table; Dialect.Schema makes it by hand)", err)
}

func (t *table) exists(ctx context.Context) (there bool, err error) {
	err = run(func() error { return t.db.QueryRowContext(ctx, t.sql.exists).Scan(&there) })
	return there, err
}

func (t *table) create(ctx context.Context) error {
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, t.sql.schema); err != nil {
		return err
	}
	return tx.Commit()
}

// try makes use of every right that is needed, before the first user has to. To create
// takes the right to replace.
func (t *table) try(ctx context.Context) error {
	key := "try:" + newRev()
	rev, err := t.Swap(ctx, key, "", nil, time.Minute)
	if err != nil {
		return err
	}
	_, got, err := t.Load(ctx, key)
	if err == nil && got != rev {
		err = errors.New("store: sql: what was written is not read: do the connections lead to different databases?")
	}
	if err != nil {
		return err
	}
	_, err = t.Delete(ctx, key, rev)
	return err
}

func (t *table) settings(ctx context.Context, log *slog.Logger) error {
	return run(func() error {
		rows, err := t.db.QueryContext(ctx, t.sql.settings)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var complaint string
			if err := rows.Scan(&complaint); err != nil {
				return err
			}
			log.WarnContext(ctx, "store: the database may lose what it has acknowledged, or block", "setting", complaint)
		}
		return rows.Err()
	})
}
