package stores

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
	"github.com/tokenwell/tokenwell/store/storetest"
)

func TestRedisKeepsTheContract(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	for name, cfg := range map[string]redisstore.Config{
		"sealed":          {Client: redisClient(r), Keys: redisKeys},
		"unsealed":        {Client: redisClient(r), Unsealed: true, Prefix: "plain:"},
		"without caching": {Client: rueidis.ClientOption{InitAddress: []string{r.Addr}, DisableCache: true}, Keys: redisKeys},
	} {
		t.Run(name, func(t *testing.T) { runRedisContract(t, newRedis(t, cfg)) })
	}
	t.Run("of two stores", func(t *testing.T) {
		cfg := redisstore.Config{Client: redisClient(r), Keys: redisKeys}
		runRedisContract(t, &interleaved{stores: []*redisstore.Store{newRedis(t, cfg), newRedis(t, cfg)}})
	})
}

func TestRedisKeepsTheContractOverTLS(t *testing.T) {
	t.Parallel()
	r := server.StartRedisTLS(t)
	runRedisContract(t, newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys}))
}

func TestRedisClusterKeepsTheContract(t *testing.T) {
	t.Parallel()
	nodes := server.StartRedisCluster(t)
	t.Run("contract", func(t *testing.T) {
		runRedisContract(t, newRedis(t, redisstore.Config{Client: redisClient(nodes[0]), Keys: redisKeys}))
	})
	for _, node := range nodes {
		if node.Info(t, "keyspace", "db0") == "" {
			t.Errorf("%s has no key", node.Addr)
		}
	}
}

func TestRedisBehindSentinelKeepsTheContract(t *testing.T) {
	t.Parallel()
	s := server.StartRedisSentinel(t)
	for name, replicas := range map[string]int{"acknowledged by the master": 0, "acknowledged by the replica": 1} {
		t.Run(name, func(t *testing.T) {
			runRedisContract(t, newRedis(t, redisstore.Config{Client: sentinelClient(s), Keys: redisKeys, Replicas: replicas}))
		})
	}
}

var redisKeys = []store.Key{{Name: "one", Secret: bytes.Repeat([]byte{1}, 32)}}

func redisClient(r *server.Redis) rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{r.Addr}, TLSConfig: r.TLS}
}

func sentinelClient(s *server.RedisSentinel) rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: s.Addrs(), Sentinel: rueidis.SentinelOption{MasterSet: s.MasterSet}}
}

// newRedis returns a store that lives as long as the test, and fails the test if it has anything to complain about.
func newRedis(t testing.TB, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = complaints(t)
	}
	s, err := redisstore.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func runRedisContract(t *testing.T, s store.Store) {
	storetest.Run(t, func(*testing.T) store.Store { return s })
}

// interleaved is several stores of the same, called by turns. Only Peek asks the one that has written last, since the
// others may be behind it.
type interleaved struct {
	stores []*redisstore.Store
	mu     sync.Mutex
	turn   int
	last   map[string]*redisstore.Store
}

func (s *interleaved) next() *redisstore.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	return s.stores[s.turn%len(s.stores)]
}

func (s *interleaved) wrote(key string, by *redisstore.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]*redisstore.Store{}
	}
	s.last[key] = by
}

func (s *interleaved) Load(ctx context.Context, key string) ([]byte, string, error) {
	return s.next().Load(ctx, key)
}

func (s *interleaved) Peek(ctx context.Context, key string) ([]byte, string, error) {
	s.mu.Lock()
	last := s.last[key]
	s.mu.Unlock()
	if last == nil {
		last = s.stores[0]
	}
	return last.Peek(ctx, key)
}

func (s *interleaved) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	by := s.next()
	newRev, err := by.Swap(ctx, key, rev, value, ttl)
	if newRev != "" {
		s.wrote(key, by)
	}
	return newRev, err
}

func (s *interleaved) Delete(ctx context.Context, key, rev string) (bool, error) {
	by := s.next()
	deleted, err := by.Delete(ctx, key, rev)
	if deleted {
		s.wrote(key, by)
	}
	return deleted, err
}

func mustSwap(t testing.TB, s *redisstore.Store, key, rev, value string) string {
	t.Helper()
	newRev, err := s.Swap(t.Context(), key, rev, []byte(value), time.Minute)
	if err != nil || newRev == "" {
		t.Fatalf("Swap(%q) from %q: %q, %v", key, rev, newRev, err)
	}
	return newRev
}

func mustPeek(t testing.TB, s *redisstore.Store, key string) (value []byte, rev string) {
	t.Helper()
	value, rev, err := s.Peek(t.Context(), key)
	if err != nil {
		t.Fatalf("Peek(%q): %v", key, err)
	}
	return value, rev
}

// untilPeek tells how long it takes until Peek shows a revision.
func untilPeek(t testing.TB, s *redisstore.Store, key, rev string) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
		if _, got := mustPeek(t, s, key); got == rev {
			return time.Since(began)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("Peek does not show %q", rev)
		}
	}
}
