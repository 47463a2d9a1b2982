package store_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"

	"github.com/tokenwell/tokenwell/store"
)

// Replicas share a PostgreSQL, through PgBouncer or not.
func ExampleNewSQL() {
	ctx := context.Background()
	// import _ "github.com/jackc/pgx/v5/stdlib"
	db, err := sql.Open("pgx", "postgres://app@db.example.com/app?default_query_exec_mode=exec")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	secret, err := base64.StdEncoding.DecodeString(os.Getenv("STORE_KEY")) // openssl rand -base64 32
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := store.NewSQL(ctx, db, store.SQLConfig{
		Dialect: store.PostgreSQL,
		Keys:    []store.Key{{Name: "2026-07", Secret: secret}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	// core.Config{Store: s}
}

// A program on one machine keeps its users signed in over a restart.
func ExampleNewSQL_sqlite() {
	ctx := context.Background()
	// import _ "modernc.org/sqlite"
	db, err := sql.Open("sqlite", "file:/var/lib/app/tokenwell.db"+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(8) // each has a cache of its own
	secret, err := base64.StdEncoding.DecodeString(os.Getenv("STORE_KEY"))
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := store.NewSQL(ctx, db, store.SQLConfig{
		Dialect: store.SQLite,
		Keys:    []store.Key{{Name: "2026-07", Secret: secret}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	// core.Config{Store: s}
}

// The schema goes to whoever changes the database.
func ExampleDialect_Schema() {
	schema, err := store.PostgreSQL.Schema("login.sessions")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile("login.sql", []byte(schema), 0o600); err != nil {
		fmt.Println(err)
	}
}
