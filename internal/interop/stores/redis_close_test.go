package stores

import (
	"bytes"
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

func TestRedisClosedStoreIsAnError(t *testing.T) {
	t.Parallel()
	cluster := server.StartRedisCluster(t)
	for name, client := range map[string]rueidis.ClientOption{"single": redisClient(server.StartRedis(t)), "cluster": redisClient(cluster[0])} {
		t.Run(name, func(t *testing.T) {
			for method, call := range map[string]func(s *redisstore.Store, rev string) error{
				"Load": func(s *redisstore.Store, _ string) error {
					_, _, err := s.Load(t.Context(), "key")
					return err
				},
				"Peek": func(s *redisstore.Store, _ string) error {
					_, _, err := s.Peek(t.Context(), "key")
					return err
				},
				"PeekUnless": func(s *redisstore.Store, rev string) error {
					_, _, err := s.PeekUnless(t.Context(), "key", rev)
					return err
				},
				"Swap": func(s *redisstore.Store, rev string) error {
					_, err := s.Swap(t.Context(), "key", rev, nil, time.Minute)
					return err
				},
				"Delete": func(s *redisstore.Store, rev string) error {
					_, err := s.Delete(t.Context(), "key", rev)
					return err
				},
			} {
				s := newRedis(t, redisstore.Config{Client: client, Keys: redisKeys, Prefix: method})
				rev := mustSwap(t, s, "key", "", "value")
				mustPeek(t, s, "key")
				s.Close()
				s.Close()
				if err := call(s, rev); err == nil || !strings.HasPrefix(err.Error(), "redisstore: ") {
					t.Errorf("%s: %v", method, err)
				}
			}
		})
	}
}

func TestRedisLeavesNothingRunningBehind(t *testing.T) {
	t.Parallel()
	r, sentinel, cluster := server.StartRedis(t), server.StartRedisSentinel(t), server.StartRedisCluster(t)
	for name, client := range map[string]rueidis.ClientOption{
		"single": redisClient(r), "behind Sentinel": sentinelClient(sentinel), "cluster": redisClient(cluster[0]),
	} {
		t.Run(name, func(t *testing.T) {
			// Goroutines inherit the labels of the one that starts them.
			pprof.Do(t.Context(), pprof.Labels("test", t.Name()), func(ctx context.Context) {
				s := newRedis(t, redisstore.Config{Client: client, Keys: redisKeys})
				for range 10 {
					hurried, cancel := context.WithTimeout(ctx, time.Microsecond)
					_, _ = s.Swap(hurried, "key", "", nil, time.Minute)
					cancel()
					mustPeek(t, s, "key")
				}
				s.Close()
			})
			began := time.Now()
			wait(t, "end of its goroutines", func() bool { return !strings.Contains(goroutines(t), t.Name()) })
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("goroutines ended after %v", took)
			}
		})
	}
}

func TestRedisCloseDoesNotWaitForAServerThatIsPaused(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	s := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	r.Pause()
	defer r.Resume()
	failed := make(chan error, 1)
	go func() {
		_, _, err := s.Load(t.Context(), "key")
		failed <- err
	}()
	time.Sleep(100 * time.Millisecond) // it is under way
	began := time.Now()
	s.Close()
	if err := <-failed; err == nil || time.Since(began) > 1500*time.Millisecond {
		t.Errorf("what was under way ended with %v after %v", err, time.Since(began))
	}
}

func goroutines(t testing.TB) string {
	t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		t.Fatal(err)
	}
	return profile.String()
}
