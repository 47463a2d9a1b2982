package torture

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// storeAt is where a process finds the store.
type storeAt struct {
	Redis     []string // addresses
	MasterSet string   // they are Sentinels
	Replicas  int      // that must have a write
	Postgres  string   // connection string
}

var keys = []store.Key{{Name: "torture", Secret: bytes.Repeat([]byte{7}, 32)}}

func (at storeAt) open(ctx context.Context) (store.Store, func(), error) {
	log := slog.New(slog.DiscardHandler)
	if at.Postgres == "" {
		s, err := redisstore.New(ctx, redisstore.Config{
			Client: rueidis.ClientOption{InitAddress: at.Redis, Sentinel: rueidis.SentinelOption{MasterSet: at.MasterSet}},
			Keys:   keys, Replicas: at.Replicas, Logger: log,
		})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	db, err := sql.Open("pgx", at.Postgres)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(16)
	s, err := store.NewSQL(ctx, db, store.SQLConfig{Dialect: store.PostgreSQL, Keys: keys, Logger: log})
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return s, func() { _, _ = s.Close(), db.Close() }, nil
}

// backend is a running store, and what can befall it.
type backend struct {
	name string
	at   storeAt

	pause    func(t *testing.T, d time.Duration) // it answers nobody for a while
	restart  func(t *testing.T)
	failOver func(t *testing.T) // nil where there is nobody to take over
	cut      func(t *testing.T) // ends all connections; nil where restart is all there is
}

// onDisk has Redis keep what it acknowledged: what it forgets, no client can make good.
var onDisk = []string{"--appendonly", "yes", "--appendfsync", "always"}

func redisBackend(t *testing.T) *backend {
	t.Helper()
	r := server.StartRedis(t, onDisk...)
	return &backend{
		name: "Redis", at: storeAt{Redis: []string{r.Addr}},
		pause: func(_ *testing.T, d time.Duration) { pauseRedis(r, d) },
		restart: func(t *testing.T) {
			r.Kill()
			r.Start(t)
		},
		cut: func(t *testing.T) { r.Do(t, "CLIENT", "KILL", "TYPE", "normal") },
	}
}

func pauseRedis(r *server.Redis, d time.Duration) {
	r.Pause()
	time.Sleep(d)
	r.Resume()
}

func sentinelBackend(t *testing.T) *backend {
	t.Helper()
	s := server.StartRedisSentinel(t)
	var once sync.Once
	return &backend{
		name: "Redis with Sentinel", at: storeAt{Redis: s.Addrs(), MasterSet: s.MasterSet, Replicas: 1},
		failOver: func(t *testing.T) {
			once.Do(func() { s.Master.Kill() })
			_ = t
		},
	}
}

func postgresBackend(t *testing.T) *backend {
	t.Helper()
	p := server.StartPostgres(t)
	return &backend{
		name: "PostgreSQL", at: storeAt{Postgres: p.Database(t, "torture")},
		restart: func(t *testing.T) {
			p.Crash()
			p.Start(t)
		},
		cut: func(t *testing.T) {
			p.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'torture'")
		},
	}
}
