package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/process"
)

// StartRedisReplica runs a replica of master until the test ends.
func StartRedisReplica(t testing.TB, master *Redis, settings ...string) *Redis {
	t.Helper()
	master.Do(t, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	replica := StartRedis(t, append([]string{"--replicaof", "127.0.0.1 " + master.port()}, settings...)...)
	until(t, "replication", func() bool { return replica.Info(t, "replication", "master_link_status") == "up" })
	return replica
}

// StartRedisCluster runs a Redis Cluster of three masters until the test ends. Each has a third of the slots, in order.
func StartRedisCluster(t testing.TB) []*Redis {
	t.Helper()
	const masters, slots = 3, 16384
	nodes := make([]*Redis, masters)
	for i := range nodes {
		nodes[i] = startRedisNode(t)
		nodes[i].Do(t, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		nodes[i].Do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(slots*i/masters), strconv.Itoa(slots*(i+1)/masters-1))
		nodes[i].meet(t, nodes[0])
	}
	for _, node := range nodes {
		node.untilCluster(t, masters)
	}
	return nodes
}

// StartRedisClusterReplica runs a replica of one of a cluster's three masters until the test ends.
func StartRedisClusterReplica(t testing.TB, master *Redis) *Redis {
	t.Helper()
	master.Do(t, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	node := startRedisNode(t)
	node.meet(t, master)
	node.untilCluster(t, 3)
	node.Do(t, "CLUSTER", "REPLICATE", master.ClusterID(t))
	until(t, "replication", func() bool { return node.Info(t, "replication", "master_link_status") == "up" })
	return node
}

func startRedisNode(t testing.TB) *Redis {
	t.Helper()
	bus, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	node := StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
	node.bus = bus
	return node
}

func (r *Redis) meet(t testing.TB, other *Redis) {
	t.Helper()
	if r != other {
		r.Do(t, "CLUSTER", "MEET", "127.0.0.1", other.port(), other.bus)
	}
}

func (r *Redis) untilCluster(t testing.TB, masters int) {
	t.Helper()
	until(t, "the cluster", func() bool {
		info, err := r.Do(t, "CLUSTER", "INFO").ToString()
		return err == nil && infoField(info, "cluster_state") == "ok" && infoField(info, "cluster_size") == strconv.Itoa(masters)
	})
}

// ClusterID is the name of a node in its cluster.
func (r *Redis) ClusterID(t testing.TB) string {
	t.Helper()
	id, err := r.Do(t, "CLUSTER", "MYID").ToString()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// RedisSentinel is a master with one replica, watched by three Sentinels, which hold an election when the master has not
// answered for a second.
type RedisSentinel struct {
	MasterSet       string
	Master, Replica *Redis // as they began
	Sentinels       []*Redis
}

// StartRedisSentinel runs a RedisSentinel until the test ends.
func StartRedisSentinel(t testing.TB, settings ...string) *RedisSentinel {
	t.Helper()
	s := &RedisSentinel{MasterSet: "tokenwell"}
	s.Master = StartRedis(t, settings...)
	s.Replica = StartRedisReplica(t, s.Master, settings...)
	for range 3 {
		s.Sentinels = append(s.Sentinels, startSentinel(t, s))
	}
	until(t, "the Sentinels", func() bool {
		for _, sentinel := range s.Sentinels {
			state, err := sentinel.Do(t, "SENTINEL", "MASTER", s.MasterSet).AsStrMap()
			if err != nil || state["num-slaves"] != "1" || state["num-other-sentinels"] != "2" {
				return false
			}
		}
		return true
	})
	return s
}

func startSentinel(t testing.TB, s *RedisSentinel) *Redis {
	t.Helper()
	r := newRedis(t)
	settings := filepath.Join(r.Dir, "sentinel.conf")
	err := os.WriteFile(settings, fmt.Appendf(nil, `
port %s
bind 127.0.0.1
dir %s
sentinel monitor %[3]s 127.0.0.1 %s 2
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 5000
`, r.port(), r.Dir, s.MasterSet, s.Master.port()), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, []string{"redis-server", settings, "--sentinel"})
	return r
}

// Addrs are the addresses of the Sentinels.
func (s *RedisSentinel) Addrs() []string {
	addrs := make([]string, len(s.Sentinels))
	for i, sentinel := range s.Sentinels {
		addrs[i] = sentinel.Addr
	}
	return addrs
}

func until(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ready(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("redis: %s was not up after half a minute", what)
		}
	}
}
