package stores

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// What the documentation of redisstore says that a server must allow.
var redisCommands = strings.Fields("get getrange set setrange del eval evalsha client|tracking client|caching multi exec pttl")

// redisUser makes a user of those commands and of one prefix's keys, and returns how to be it.
func redisUser(t testing.TB, r *server.Redis, commands ...string) redisstore.Config {
	t.Helper()
	name := "user" + strings.ReplaceAll(t.Name(), "/", "-")
	rules := []string{"ACL", "SETUSER", name, "reset", "on", ">password", "~tokenwell:*", "-@all"}
	for _, command := range commands {
		rules = append(rules, "+"+command)
	}
	r.Do(t, rules...)
	client := redisClient(r)
	client.Username, client.Password = name, "password"
	return redisstore.Config{Client: client, Keys: redisKeys}
}

func TestRedisNeedsNoMoreThanItSays(t *testing.T) {
	t.Parallel()
	t.Run("single", func(t *testing.T) {
		useRedis(t, newRedis(t, redisUser(t, server.StartRedis(t), redisCommands...)))
	})
	t.Run("cluster", func(t *testing.T) {
		nodes := server.StartRedisCluster(t)
		var cfg redisstore.Config
		for _, node := range nodes {
			cfg = redisUser(t, node, append(redisCommands, "cluster|slots", "cluster|shards", "wait")...)
		}
		useRedis(t, newRedis(t, cfg))
	})
	t.Run("behind Sentinel", func(t *testing.T) {
		s := server.StartRedisSentinel(t)
		cfg := redisUser(t, s.Master, append(redisCommands, "role", "wait")...)
		user := cfg.Client
		cfg.Client = sentinelClient(s)
		cfg.Client.Username, cfg.Client.Password = user.Username, user.Password
		cfg.Replicas = 1
		useRedis(t, newRedis(t, cfg))
	})
}

// Whoever may do less is told at once: by an error, or by a word about the caching.
func TestRedisNeedsAllThatItSays(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	for i, command := range redisCommands {
		t.Run(command, func(t *testing.T) {
			cfg := redisUser(t, r, slices.Concat(redisCommands[:i:i], redisCommands[i+1:])...)
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			r.Do(t, "SCRIPT", "FLUSH")
			s, err := redisstore.New(t.Context(), cfg)
			if err == nil {
				s.Close()
			}
			warned := strings.Contains(log.String(), "no client-side caching")
			if ofCaching := strings.HasPrefix(command, "client|"); warned != ofCaching || (err == nil) != ofCaching {
				t.Errorf("%v, logged %q", err, log.String())
			}
		})
	}
}

func TestRedisIsNotOpenToOthers(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	for name, change := range map[string]func(*redisstore.Config){
		"another password": func(cfg *redisstore.Config) { cfg.Client.Password = "hunter2" },
		"another prefix":   func(cfg *redisstore.Config) { cfg.Prefix = "others:" },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := redisUser(t, r, redisCommands...)
			change(&cfg)
			s, err := redisstore.New(t.Context(), cfg)
			if s != nil || err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
}

// Every read is then a round trip, which is said once; nothing else changes.
func TestRedisWithoutCachingIsSlowerAndSaysSo(t *testing.T) {
	t.Parallel()
	acl, old := server.StartRedis(t), server.StartRedis(t, "--rename-command", "HELLO", "")
	for name, cfg := range map[string]redisstore.Config{
		"a user who may not":      redisUser(t, acl, slices.DeleteFunc(slices.Clone(redisCommands), func(c string) bool { return strings.HasPrefix(c, "client") })...),
		"half a user who may not": redisUser(t, acl, slices.DeleteFunc(slices.Clone(redisCommands), func(c string) bool { return c == "client|caching" })...),
		"a server without RESP3":  {Client: redisClient(old), Unsealed: true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			useRedis(t, newRedis(t, cfg))
			if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("logged:\n%s", log.String())
			}
		})
	}
	t.Run("as it wished", func(t *testing.T) {
		client := redisClient(acl)
		client.DisableCache = true
		newRedis(t, redisstore.Config{Client: client, Unsealed: true}) // complains to nobody
	})
}

// useRedis does what there is to do, in each way that it can end. The keys are in many slots of a cluster.
func useRedis(t testing.TB, s *redisstore.Store) {
	t.Helper()
	for i := range 20 {
		key := fmt.Sprint(i)
		if _, rev := mustPeek(t, s, key); rev != "" {
			t.Errorf("revision %q of what is not there", rev)
		}
		rev := mustSwap(t, s, key, mustSwap(t, s, key, "", "one"), "two")
		for _, wrong := range []string{"", "another"} {
			if lost, err := s.Swap(t.Context(), key, wrong, nil, time.Minute); lost != "" || err != nil {
				t.Errorf("Swap from %q: %q, %v", wrong, lost, err)
			}
			if deleted, err := s.Delete(t.Context(), key, wrong); deleted || err != nil {
				t.Errorf("Delete by %q: %v, %v", wrong, deleted, err)
			}
		}
		for range 3 {
			if value, got := mustPeek(t, s, key); got != rev || string(value) != "two" {
				t.Errorf("Peek shows %q, revision %q", value, got)
			}
		}
		if value, got, err := s.Load(t.Context(), key); got != rev || string(value) != "two" || err != nil {
			t.Errorf("Load: %q, revision %q, %v", value, got, err)
		}
		if deleted, err := s.Delete(t.Context(), key, rev); !deleted || err != nil {
			t.Errorf("Delete: %v, %v", deleted, err)
		}
	}
}
