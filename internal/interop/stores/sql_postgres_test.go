package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
)

// CREATE TABLE IF NOT EXISTS fails when two do it at the same time. Replicas that start together must not.
func TestPostgreSQLReplicasStartTogether(t *testing.T) {
	pg := server.StartPostgres(t)
	source := pg.Database(t, "application")
	var dbs []*sql.DB
	for range 4 {
		dbs = append(dbs, openPostgreSQL(t, source))
	}
	for round := range 20 {
		cfg := store.SQLConfig{Dialect: store.PostgreSQL, Unsealed: true, Table: fmt.Sprintf("round_%d", round), Logger: complaints(t)}
		start := make(chan struct{})
		var replicas sync.WaitGroup
		for _, db := range dbs {
			replicas.Go(func() {
				<-start
				s, err := store.NewSQL(t.Context(), db, cfg)
				if err != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				_ = s.Close()
			})
		}
		close(start)
		replicas.Wait()
	}
}

// A replica that starts finds the table in use, and makes nothing that would lock it.
func TestPostgreSQLReplicaStartsWhileOthersWrite(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	cfg := store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys, Logger: complaints(t)}
	if _, err := newSQL(t, db, cfg).Swap(t.Context(), "key", "", nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	release := lockRow(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := store.NewSQL(ctx, db, cfg)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	release()
}

// An application whose role may not create tables finds the one that somebody else has made, and needs no more than four
// rights on it. One right less is an error at the start.
func TestPostgreSQLTableMadeByHandNeedsFourRights(t *testing.T) {
	pg := server.StartPostgres(t)
	pg.Database(t, "application")
	schema, err := store.PostgreSQL.Schema("login.sessions")
	if err != nil {
		t.Fatal(err)
	}
	pg.Exec(t, "application", "CREATE SCHEMA login; CREATE ROLE app LOGIN; GRANT USAGE ON SCHEMA login TO app")
	db := openPostgreSQL(t, strings.Replace(pg.URL("application"), "postgres@", "app@", 1))
	cfg := store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys, Table: "login.sessions"}
	refuses := func(when string, want ...string) {
		t.Helper()
		_, err := store.NewSQL(t.Context(), db, cfg)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v; want an error with %q", when, err, w)
			}
		}
	}
	refuses("without a table", "permission denied for schema login", "Dialect.Schema")

	pg.Exec(t, "application", schema)
	pg.Exec(t, "application", schema) // twice does no harm
	rights := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	for _, missing := range rights {
		pg.Exec(t, "application", "GRANT "+strings.Join(rights, ", ")+" ON login.sessions TO app; REVOKE "+missing+" ON login.sessions FROM app")
		refuses("without the right to "+missing, "permission denied for table sessions")
	}
	pg.Exec(t, "application", "GRANT "+strings.Join(rights, ", ")+" ON login.sessions TO app")
	pg.Exec(t, "application", "ALTER ROLE app SET default_transaction_read_only = on")
	db = openPostgreSQL(t, strings.Replace(pg.URL("application"), "postgres@", "app@", 1))
	refuses("on a replica that only reads", "read-only transaction")

	pg.Exec(t, "application", "ALTER ROLE app RESET default_transaction_read_only")
	s := newSQL(t, openPostgreSQL(t, strings.Replace(pg.URL("application"), "postgres@", "app@", 1)), cfg)
	if rev, err := s.Swap(t.Context(), "key", "", []byte("value"), time.Minute); rev == "" || err != nil {
		t.Errorf("%q, %v", rev, err)
	}

	if _, err := db.ExecContext(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("the pool does not outlive its stores: %v", err)
	}
}

func TestPostgreSQLErrorsShowNoSecret(t *testing.T) {
	pg := server.StartPostgres(t)
	pg.Database(t, "application")
	cfg := store.SQLConfig{Dialect: store.PostgreSQL, Unsealed: true}
	const password = "sentinel-password"
	source := strings.Replace(pg.URL("application"), "postgres@", "postgres:"+password+"@", 1)
	s := newSQL(t, openPostgreSQL(t, source), cfg)
	check := func(when string, err error) {
		t.Helper()
		if err == nil || strings.Contains(err.Error(), "sentinel") || !strings.HasPrefix(err.Error(), "store: sql: ") {
			t.Errorf("%s: %v", when, err)
		}
	}
	pg.Exec(t, "application", "ALTER TABLE tokenwell ADD CHECK (length(value) < 5)")
	_, err := s.Swap(t.Context(), "sentinel-key", "", []byte("sentinel-value"), time.Minute)
	check("a value that the table does not take", err)
	pg.Exec(t, "application", "DROP TABLE tokenwell")
	_, _, err = s.Load(t.Context(), "sentinel-key")
	check("no table", err)
	_, err = s.Delete(t.Context(), "sentinel-key", "sentinel-rev")
	check("no table", err)
	_, err = store.NewSQL(t.Context(), openPostgreSQL(t, strings.Replace(source, "/application", "/nothing", 1)), cfg)
	check("no database", err)
	pg.Crash()
	_, _, err = s.Peek(t.Context(), "sentinel-key")
	check("no server", err)
	_, err = store.NewSQL(t.Context(), openPostgreSQL(t, source), cfg)
	check("no server at the start", err)
}

// A create that waits for a lock until the state that was in its way has expired succeeds. By the time at which its
// transaction began it would not.
func TestPostgreSQLCreateJudgesExpiryWhenItWrites(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	s := newSQL(t, db, store.SQLConfig{Dialect: store.PostgreSQL, Unsealed: true})
	if _, err := s.Swap(t.Context(), "key", "", []byte("value"), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	release := lockRow(t, db)
	created := make(chan string)
	go func() {
		rev, err := s.Swap(t.Context(), "key", "", []byte("new"), time.Minute)
		if err != nil {
			t.Error(err)
		}
		created <- rev
	}()
	await(t, db, "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
	await(t, db, "SELECT expires <= clock_timestamp() FROM tokenwell")
	release()
	if rev := <-created; rev == "" {
		t.Error("what had expired was in the way")
	}
}

// A caller whose time is up does not wait for a lock, and what it wanted is called off.
func TestPostgreSQLWriteEndsWithItsContext(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	s := newSQL(t, db, store.SQLConfig{Dialect: store.PostgreSQL, Unsealed: true})
	rev, err := s.Swap(t.Context(), "key", "", []byte("value"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	release := lockRow(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got, err := s.Swap(ctx, "key", rev, []byte("other"), time.Minute); got != "" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Swap: %q, %v", got, err)
	}
	if deleted, err := s.Delete(ctx, "key", rev); deleted || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Delete: %v, %v", deleted, err)
	}
	await(t, db, "SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
	release()
	if _, got, err := s.Load(t.Context(), "key"); got != rev || err != nil {
		t.Errorf("revision %q, %v; want the old one", got, err)
	}
}

// A renewal changes nothing that is indexed, but for one in a quarter of an hour: PostgreSQL then writes the row alone.
func TestPostgreSQLRenewalsTouchNoIndex(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application"))
	db.SetMaxOpenConns(1) // a connection that is idle keeps what it has counted for ten seconds
	s := newSQL(t, db, store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys})
	const renewals = 200
	rev := ""
	for range renewals + 1 {
		var err error
		if rev, err = s.Swap(t.Context(), "key", rev, make([]byte, 4096), 8*time.Hour); err != nil || rev == "" {
			t.Fatal(rev, err)
		}
	}
	await(t, db, fmt.Sprintf("SELECT n_tup_upd >= %d FROM pg_stat_user_tables WHERE relname = 'tokenwell'", renewals))
	await(t, db, "SELECT n_tup_hot_upd >= 0.9 * n_tup_upd FROM pg_stat_user_tables WHERE relname = 'tokenwell'")
}

func TestPostgreSQLWarnsOfCommitsThatAreNotKept(t *testing.T) {
	pg := server.StartPostgres(t)
	db := openPostgreSQL(t, pg.Database(t, "application")+"&synchronous_commit=off")
	var log lines
	newSQL(t, db, store.SQLConfig{Dialect: store.PostgreSQL, Keys: sqlKeys, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if len(log) != 1 || !strings.Contains(log[0], "synchronous_commit is off") {
		t.Errorf("%q", log)
	}
}

// lockRow keeps others from writing the row of "key", or anything where one writes at a time, until release.
func lockRow(t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE tokenwell SET rev = rev"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// await waits until a query says true.
func await(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var so bool
		if err := db.QueryRowContext(t.Context(), query).Scan(&so); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if so {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", query)
		}
	}
}

// lines is what was logged.
type lines []string

func (l *lines) Write(p []byte) (int, error) {
	*l = append(*l, string(p))
	return len(p), nil
}
