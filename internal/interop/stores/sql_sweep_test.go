package stores

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
)

// Two replicas share 10,000 expired rows, a thousand at a time. What lives stays, and a row that somebody else holds is
// left to the next sweep, without waiting for it.
func TestPostgreSQLSweepsWhatHasExpired(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	cfg := store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys}
	s := newSQL(t, db, cfg)
	if rev, err := s.Swap(t.Context(), "alive", "", []byte("value"), time.Hour); rev == "" || err != nil {
		t.Fatal(rev, err)
	}
	_ = s.Close()
	pg.Exec(t, "application", `
		CREATE TABLE batches (size bigint);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO batches SELECT count(*) FROM gone; RETURN NULL; END';
		CREATE TRIGGER note AFTER DELETE ON tokenwell REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note();
		INSERT INTO tokenwell SELECT decode(md5(i::text), 'hex'), '', 'rev', now() - interval '16 minutes' - i * interval '1 minute'
			FROM generate_series(1, 10000) i;
		INSERT INTO tokenwell VALUES ('held', '', 'rev', now() - interval '1 day')`)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(t.Context(), "SELECT * FROM tokenwell WHERE key = 'held' FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	replicas := []*store.SQL{newSQL(t, db, cfg), newSQL(t, openPostgreSQL(t, pg.URL("application")), cfg)}
	await(t, db, "SELECT count(*) = 2 FROM tokenwell")
	await(t, db, "SELECT sum(size) = 10000 FROM batches WHERE size > 1") // 1 is what NewSQL tries the table with
	var largest int
	if err := db.QueryRowContext(t.Context(), "SELECT max(size) FROM batches").Scan(&largest); err != nil || largest > 1000 {
		t.Errorf("%d rows at once, %v", largest, err)
	}
	for _, s := range replicas {
		if value, _, err := s.Load(t.Context(), "alive"); string(value) != "value" || err != nil {
			t.Errorf("what is alive: %q, %v", value, err)
		}
	}
	// The next sweep of one that starts anew finds it.
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	newSQL(t, db, cfg)
	await(t, db, "SELECT count(*) = 1 FROM tokenwell")
}

func TestSQLiteSweepsWhatHasExpired(t *testing.T) {
	db := openSQLite(t, filepath.Join(t.TempDir(), "tokenwell.db"))
	cfg := store.SQLConfig{Dialect: store.SQLite, Keys: sqlKeys}
	s := newSQL(t, db, cfg)
	if rev, err := s.Swap(t.Context(), "alive", "", []byte("value"), time.Hour); rev == "" || err != nil {
		t.Fatal(rev, err)
	}
	_ = s.Close()
	const expired = 9500
	if _, err := db.ExecContext(t.Context(), `
		WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?1)
		INSERT INTO tokenwell SELECT randomblob(16), zeroblob(2000), 'rev', unixepoch('subsec') - i FROM numbers`, expired); err != nil {
		t.Fatal(err)
	}
	newSQL(t, db, cfg)
	seen := map[int]bool{}
	for deadline := time.Now().Add(20 * time.Second); !seen[0]; time.Sleep(time.Millisecond) {
		var left int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM tokenwell WHERE key <> ?1", []byte("alive")).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if seen[left] = true; left%1000 != 500 && left != 0 || time.Now().After(deadline) {
			t.Fatalf("%d of %d rows are left", left, expired)
		}
	}
	if len(seen) < 3 {
		t.Errorf("no pause between a thousand and the next: %v were left", seen)
	}
	if value, _, err := s.Load(t.Context(), "alive"); string(value) != "value" || err != nil {
		t.Errorf("what is alive: %q, %v", value, err)
	}
}
