package stores

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// F4: the master is killed while its replica lags behind. What was acknowledged by the replica too is there.
func TestRedisFailoverKeepsAcknowledgedWrites(t *testing.T) {
	t.Parallel()
	sentinel := server.StartRedisSentinel(t)
	cfg := redisstore.Config{Client: sentinelClient(sentinel), Keys: redisKeys, Replicas: 1, ReplicaTimeout: 500 * time.Millisecond}
	s := newRedis(t, cfg)
	cfg.Replicas = 0 // for there will be none
	after := newRedis(t, cfg)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	acknowledged := map[string]string{}
	value := make([]byte, 64<<10) // more than the network takes in for the replica while it sleeps
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := fmt.Sprint(w, " ", i)
				patient, cancel := context.WithTimeout(ctx, time.Second)
				rev, err := s.Swap(patient, key, "", value, time.Minute)
				cancel()
				if err == nil {
					mu.Lock()
					acknowledged[key] = rev
					mu.Unlock()
				}
			}
		})
	}
	wait(t, "writes", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged) > 200
	})
	sentinel.Replica.Pause()
	time.Sleep(300 * time.Millisecond) // it falls behind
	sentinel.Master.Kill()
	sentinel.Replica.Resume()
	recovers(t, after)
	stop()
	writers.Wait()

	t.Logf("%d writes acknowledged", len(acknowledged))
	for key, rev := range acknowledged {
		if _, got, err := after.Load(t.Context(), key); err != nil || got != rev {
			t.Fatalf("%q was acknowledged as %q and is %q, %v", key, rev, got, err)
		}
		if _, got := mustPeek(t, s, key); got != rev {
			t.Fatalf("%q: Peek shows %q", key, got)
		}
	}
}

// An error, though the write has happened.
func TestRedisWriteThatNoReplicaHasIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]rueidis.ClientOption{
		"single": redisClient(server.StartRedis(t)), "cluster": redisClient(server.StartRedisCluster(t)[0]),
	} {
		t.Run(name, func(t *testing.T) {
			plain := newRedis(t, redisstore.Config{Client: client, Keys: redisKeys})
			cfg := redisstore.Config{Client: client, Keys: redisKeys, Replicas: 1, ReplicaTimeout: 50 * time.Millisecond}
			if _, err := redisstore.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "0 replicas") {
				t.Errorf("%v", err)
			}
			if _, _, err := plain.Load(t.Context(), "key"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRedisClusterWaitsForReplicas(t *testing.T) {
	t.Parallel()
	nodes := server.StartRedisCluster(t)
	replica := server.StartRedisClusterReplica(t, nodes[0])
	prefix, slot := prefixIn(t, nodes[0], 0)
	for name, disable := range map[string]bool{"with caching": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			client := redisClient(nodes[1])
			client.DisableCache = disable
			s := newRedis(t, redisstore.Config{Client: client, Unsealed: true, Prefix: prefix, Replicas: 1})
			rev := mustSwap(t, s, name, "", "value")
			replica.Do(t, "READONLY")
			if n := replica.Info(t, "keyspace", "db0"); !strings.HasPrefix(n, "keys=1,") {
				t.Errorf("the replica has %q", n)
			}
			if deleted, err := s.Delete(t.Context(), name, rev); !deleted || err != nil {
				t.Error(deleted, err)
			}
		})
	}

	// Its slot moves to a master without a replica: that the old one has one does not count.
	s := newRedis(t, redisstore.Config{Client: redisClient(nodes[1]), Unsealed: true, Prefix: prefix, Replicas: 1})
	for _, node := range []*server.Redis{nodes[1], nodes[0], nodes[2]} {
		node.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", nodes[1].ClusterID(t))
	}
	for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
		if rev, err := s.Swap(t.Context(), rand.Text(), "", nil, time.Minute); err == nil {
			t.Fatalf("acknowledged as %q by nobody", rev)
		}
	}
}

// A slot that moves to another node, with a key in it: first while it moves (ASK), then for good (MOVED). Nothing loses
// against itself.
func TestRedisClusterFollowsAMovingSlot(t *testing.T) {
	t.Parallel()
	nodes := server.StartRedisCluster(t)
	from, to := nodes[0], nodes[1]
	prefix, slot := prefixIn(t, from, 0)
	s := newRedis(t, redisstore.Config{Client: redisClient(nodes[2]), Unsealed: true, Prefix: prefix})
	other := newRedis(t, redisstore.Config{Client: redisClient(from), Unsealed: true, Prefix: prefix})
	rev := mustSwap(t, s, "key", "", "value")
	check := func(phase string) {
		t.Helper()
		for range 3 {
			rev = mustSwap(t, s, "key", rev, phase)
			for _, reader := range []*redisstore.Store{s, other} {
				if _, got, err := reader.Load(t.Context(), "key"); err != nil || got != rev {
					t.Errorf("%s: Load shows %q, %v", phase, got, err)
				}
			}
			if _, got := mustPeek(t, s, "key"); got != rev {
				t.Errorf("%s: Peek shows %q", phase, got)
			}
			if took := untilPeek(t, other, "key", rev); took > time.Second {
				t.Errorf("%s: others see it after %v", phase, took)
			}
			created := mustSwap(t, s, phase, "", "")
			if deleted, err := s.Delete(t.Context(), phase, created); !deleted || err != nil {
				t.Errorf("%s: deleted %v, %v", phase, deleted, err)
			}
		}
	}
	check("before")
	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.ClusterID(t))
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.ClusterID(t))
	check("moving")
	host, port, _ := strings.Cut(to.Addr, ":")
	from.Do(t, "MIGRATE", host, port, prefix+"key", "0", "5000")
	check("moved")
	for _, node := range []*server.Redis{to, from, nodes[2]} {
		node.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", to.ClusterID(t))
	}
	check("after")
}

// prefixIn returns a prefix all of whose keys are in one slot of the i-th of three masters, and that slot.
func prefixIn(t testing.TB, node *server.Redis, i int64) (prefix, slot string) {
	t.Helper()
	for n := 0; ; n++ {
		prefix := fmt.Sprintf("{%d}:", n)
		slot, err := node.Do(t, "CLUSTER", "KEYSLOT", prefix).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if slot/5462 == i {
			return prefix, fmt.Sprint(slot)
		}
	}
}

// A master that has been demoted does not answer for the one that took its place.
func TestRedisReplicaAnswersForNobody(t *testing.T) {
	t.Parallel()
	r, master := server.StartRedis(t), server.StartRedis(t)
	s := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	rev := mustSwap(t, s, "key", "", "value")
	master.Do(t, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	r.Do(t, append([]string{"REPLICAOF"}, strings.Split(master.Addr, ":")...)...)
	wait(t, "replication", func() bool { return r.Info(t, "replication", "master_link_status") == "up" })

	_, _, load := s.Load(t.Context(), "key")
	_, create := s.Swap(t.Context(), "key", "", nil, time.Minute)
	_, swap := s.Swap(t.Context(), "key", rev, nil, time.Minute)
	_, remove := s.Delete(t.Context(), "key", rev)
	for method, err := range map[string]error{"Load": load, "create": create, "Swap": swap, "Delete": remove} {
		if err == nil || !strings.Contains(err.Error(), "READONLY") {
			t.Errorf("%s: %v", method, err)
		}
	}
	r.Do(t, "REPLICAOF", "NO", "ONE")
	if rev, err := s.Swap(t.Context(), "key", "", nil, time.Minute); err != nil || rev == "" {
		t.Errorf("%q, %v", rev, err)
	}
}

func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("no %s in half a minute", what)
		}
	}
}
