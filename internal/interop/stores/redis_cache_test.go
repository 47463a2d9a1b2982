package stores

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

func TestRedisPeekAsksNobodyOnceItKnows(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	s, other := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys}), newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	rev := mustSwap(t, other, "theirs", "", "value")
	mustSwap(t, s, "mine", "", "value")
	for _, key := range []string{"theirs", "mine", "nobody's"} {
		mustPeek(t, s, key)
	}
	before := r.Calls(t)
	for range 100 {
		for _, key := range []string{"theirs", "mine", "nobody's"} {
			mustPeek(t, s, key)
		}
		if value, got, err := s.PeekUnless(t.Context(), "theirs", rev); value != nil || got != rev || err != nil {
			t.Fatalf("%q, %q, %v", value, got, err)
		}
	}
	for command, n := range r.Calls(t) {
		if n != before[command] && command != "info" && command != "hello" && command != "ping" {
			t.Errorf("%s: %d calls", command, n-before[command])
		}
	}
}

// Who asks for what another has asked for waits for one answer with it, but is not told that the other has left.
func TestRedisPeekOutlastsThoseWhoAskedBefore(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	p := newRedisProxy(t, r)
	client := p.client()
	client.DisableRetry = true // which would hide it
	s := newRedis(t, redisstore.Config{Client: client, Keys: redisKeys})
	rev := mustSwap(t, newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys}), "key", "", "value")
	end := p.Stall()
	ctx, leave := context.WithCancel(t.Context())
	var asked sync.WaitGroup
	asked.Go(func() {
		if _, _, err := s.Peek(ctx, "key"); !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
	})
	time.Sleep(50 * time.Millisecond) // it is under way
	asked.Go(func() {
		if _, got, err := s.Peek(t.Context(), "key"); err != nil || got != rev {
			t.Errorf("who stayed: %q, %v", got, err)
		}
	})
	time.Sleep(50 * time.Millisecond)
	leave()
	time.AfterFunc(50*time.Millisecond, end)
	asked.Wait()
}

// F7.
func TestRedisLogoutIsSeenByOthersAtOnce(t *testing.T) {
	s := server.StartRedisSentinel(t)
	cluster := server.StartRedisCluster(t)
	for name, client := range map[string]rueidis.ClientOption{
		"single": redisClient(s.Master), "behind Sentinel": sentinelClient(s), "cluster": redisClient(cluster[0]),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := redisstore.Config{Client: client, Keys: redisKeys, Prefix: name}
			one, two := newRedis(t, cfg), newRedis(t, cfg)
			var worst time.Duration
			for i := range 100 {
				key := fmt.Sprint(i)
				rev := mustSwap(t, one, key, "", "value")
				for range 2 {
					if _, got := mustPeek(t, two, key); got != rev {
						t.Fatalf("Peek shows %q", got)
					}
				}
				if deleted, err := one.Delete(t.Context(), key, rev); !deleted || err != nil {
					t.Fatal(deleted, err)
				}
				worst = max(worst, untilPeek(t, two, key, ""))
			}
			t.Logf("the last of 100 was seen after %v", worst)
			if worst > time.Second {
				t.Errorf("a logout was seen after %v", worst)
			}
		})
	}
}

func TestRedisForgetsWhatItKnewByALostConnection(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	p := newRedisProxy(t, r)
	p.deaf.Store(true)
	s := newRedis(t, redisstore.Config{Client: p.client(), Keys: redisKeys})
	other := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	old := mustSwap(t, other, "key", "", "old")
	mustPeek(t, s, "key")
	rev := mustSwap(t, other, "key", old, "new")
	if _, got := mustPeek(t, s, "key"); got != old {
		t.Fatal("what is to be forgotten was not known")
	}
	r.Do(t, "CLIENT", "KILL", "TYPE", "normal")
	if took := untilPeek(t, s, "key", rev); took > time.Second {
		t.Errorf("forgotten after %v", took)
	}
}

// A connection that is silent, not broken: a peer that is gone, a firewall that drops.
func TestRedisForgetsWhatItKnewByASilentConnection(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	p := newRedisProxy(t, r)
	s := newRedis(t, redisstore.Config{Client: p.client(), Keys: redisKeys})
	other := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	old := mustSwap(t, other, "key", "", "old")
	mustPeek(t, s, "key")
	defer p.Stall()()
	mustSwap(t, other, "key", old, "new")
	began := time.Now()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, got, err := s.Peek(ctx, "key")
		cancel()
		if err != nil || got != old {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("forgotten after %v", took)
	} else {
		t.Logf("forgotten after %v", took)
	}
}
