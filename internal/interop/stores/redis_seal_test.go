package stores

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// F2, in the server itself. What cannot be opened is an error, and left alone.
func TestRedisAlteredValueIsAnError(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	two := store.Key{Name: "two", Secret: bytes.Repeat([]byte{2}, 32)}
	s := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	rotated := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: append([]store.Key{two}, redisKeys...)})
	last := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: []store.Key{two}})
	mustSwap(t, s, "mine", "", "my value")
	mustSwap(t, s, "yours", "", "your value")
	mine, yours := rawRedis(t, r, "tokenwell:mine"), rawRedis(t, r, "tokenwell:yours")

	for _, reader := range []*redisstore.Store{s, rotated} {
		if value, _, err := reader.Load(t.Context(), "mine"); err != nil || string(value) != "my value" {
			t.Errorf("%q, %v", value, err)
		}
	}
	if _, _, err := last.Load(t.Context(), "mine"); !errors.Is(err, store.ErrSealed) {
		t.Errorf("opened without its key: %v", err)
	}
	const revision = 16
	altered := map[string]string{"another record": yours, "cut short": mine[:revision], "cut shorter": mine[:revision-1], "nothing": ""}
	for i := revision; i < len(mine); i += 7 {
		flipped := []byte(mine)
		flipped[i] ^= 1
		altered[fmt.Sprint("a bit of byte ", i)] = string(flipped)
	}
	for name, raw := range altered {
		r.Do(t, "SET", "tokenwell:mine", raw, "EX", "60")
		want := "" // what is too short to have a revision cannot even be deleted
		if len(raw) >= revision {
			want = raw[:revision]
		}
		for way, read := range map[string]func(context.Context, string) ([]byte, string, error){"Load": s.Load, "Peek": s.Peek} {
			value, rev, err := read(t.Context(), "mine")
			if err == nil || value != nil || rev != want || errors.Is(err, store.ErrSealed) != (want != "") {
				t.Errorf("%s: %s gives %q, revision %q, %v", name, way, value, rev, err)
			}
		}
		if newRev, err := s.Swap(t.Context(), "mine", "", nil, time.Minute); newRev != "" || err != nil {
			t.Errorf("%s: created over it: %q, %v", name, newRev, err)
		}
		if deleted, err := s.Delete(t.Context(), "mine", ""); deleted || err != nil {
			t.Errorf("%s: deleted %v, %v", name, deleted, err)
		}
		if rawRedis(t, r, "tokenwell:mine") != raw {
			t.Errorf("%s: it was touched", name)
		}
	}
	r.Do(t, "SET", "tokenwell:mine", mine[:revision], "EX", "60")
	if deleted, err := s.Delete(t.Context(), "mine", mine[:revision]); !deleted || err != nil {
		t.Errorf("by its revision: deleted %v, %v", deleted, err)
	}
}

// A whole login and what follows, as it lies on the server's disk. Nothing stays for ever.
func TestRedisDumpTellsNothing(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]redisstore.Config{"sealed": {Keys: redisKeys}, "unsealed": {Unsealed: true}} {
		t.Run(name, func(t *testing.T) {
			r := server.StartRedis(t, "--rdbcompression", "no", "--appendonly", "yes")
			cfg.Client = redisClient(r)
			provider := coretest.NewProvider(t)
			app := provider.Config()
			app.Store = newRedis(t, cfg)
			m, err := core.New(t.Context(), app)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close(t.Context()) })
			alice := coretest.SignedIn(t, m, "alice-the-user")
			ticket, err := m.Ticket(alice)
			if err != nil {
				t.Fatal(err)
			}
			first, err := m.GetUserAccessToken(alice)
			if err != nil {
				t.Fatal(err)
			}
			renewed, err := m.GetUserAccessToken(alice, core.WithForceRenewal())
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range redisKeysThere(t, r) {
				if ttl, err := r.Do(t, "PTTL", key).AsInt64(); err != nil || ttl <= 0 {
					t.Errorf("%s lives for %d ms, %v", key, ttl, err)
				}
			}

			r.Do(t, "SAVE")
			readable := 0
			err = filepath.WalkDir(r.Dir, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				dump, err := os.ReadFile(path)
				for _, secret := range []string{string(ticket), first.AccessToken, renewed.AccessToken, "alice-the-user", "refresh"} {
					if bytes.Contains(dump, []byte(secret)) {
						readable++
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			// Unsealed, it shows that the test would see it; but never the ticket.
			if (readable > 0) != cfg.Unsealed {
				t.Errorf("%d secrets can be read", readable)
			}
		})
	}
}

func redisKeysThere(t testing.TB, r *server.Redis) []string {
	t.Helper()
	keys, err := r.Do(t, "KEYS", "*").AsStrSlice()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	return keys
}

func rawRedis(t testing.TB, r *server.Redis, key string) string {
	t.Helper()
	raw, err := r.Do(t, "GET", key).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatal(err)
	}
	return raw
}
