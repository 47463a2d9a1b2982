package store_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
)

// fakeSQL is a PostgreSQL that keeps nothing but the revision written last.
type fakeSQL struct {
	// exec is asked before all that is written, and says how many rows that changes; nil: one.
	exec func(ctx context.Context, statement string) (int64, error)
	// behind shows what was there before.
	behind bool

	mu  sync.Mutex
	rev driver.Value
}

func (f *fakeSQL) open(t testing.TB) *sql.DB {
	db := sql.OpenDB(f)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (f *fakeSQL) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, nil }
func (f *fakeSQL) Driver() driver.Driver                        { return nil }

type fakeConn struct{ *fakeSQL }

func (fakeConn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("nothing is to be prepared")
}

func (fakeConn) Begin() (driver.Tx, error) { return nil, errors.New("no transaction is to be begun") }
func (fakeConn) Close() error              { return nil }

func (c fakeConn) ExecContext(ctx context.Context, statement string, args []driver.NamedValue) (driver.Result, error) {
	n := int64(1)
	if c.exec != nil {
		var err error
		if n, err = c.exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(statement, "INSERT") && !c.behind {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rev = args[1].Value
	}
	return driver.RowsAffected(n), nil
}

func (c fakeConn) QueryContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Rows, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.Contains(statement, "to_regclass"):
		return &fakeRows{row: []driver.Value{true}}, nil
	case strings.Contains(statement, "value"):
		return &fakeRows{row: []driver.Value{[]byte{}, c.rev}}, nil
	default:
		return &fakeRows{}, nil
	}
}

type fakeRows struct{ row []driver.Value }

func (r *fakeRows) Columns() []string { return make([]string, len(r.row)) }
func (r *fakeRows) Close() error      { return nil }

func (r *fakeRows) Next(dest []driver.Value) error {
	if r.row == nil {
		return io.EOF
	}
	copy(dest, r.row)
	r.row = nil
	return nil
}
