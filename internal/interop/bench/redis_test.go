package bench

import (
	"bytes"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// BenchmarkRedisFastPath is what a request costs once its login is known: in memory, and in Redis behind its client-side
// cache, sealed. Another process has written what is read. Peek is of a value of 4 KB, "known" of one whose revision the
// caller has, as core asks.
//
// times-memory: how many times as long as in memory. calls: commands that the server has carried out for each.
func BenchmarkRedisFastPath(b *testing.B) {
	r := server.StartRedis(b)
	redis := func() store.Store {
		s, err := redisstore.New(b.Context(), redisstore.Config{
			Client: rueidis.ClientOption{InitAddress: []string{r.Addr}},
			Keys:   []store.Key{{Name: "one", Secret: bytes.Repeat([]byte{1}, 32)}},
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(s.Close)
		return s
	}
	memory := store.NewMemory()
	inMemory := map[string]float64{} // nanoseconds
	for _, kept := range []struct {
		name          string
		written, read store.Store
	}{
		{name: "memory", written: memory, read: memory},
		{name: "redis", written: redis(), read: redis()},
	} {
		rev, err := kept.written.Swap(b.Context(), "key", "", bytes.Repeat([]byte("v"), 4<<10), time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		cfg := coretest.NewProvider(b, coretest.Options{AccessTokenSize: tokenSize}).Config()
		cfg.Now, cfg.Store = time.Now, kept.written
		login := newManager(b, cfg)
		ticket, err := login.Ticket(coretest.SignedIn(b, login, "alice"))
		if err != nil {
			b.Fatal(err)
		}
		cfg.Store = kept.read
		m := newManager(b, cfg)
		alice := m.WithTicket(b.Context(), ticket)

		run := func(name string, do func() error) {
			b.Run(name+"/"+kept.name, func(b *testing.B) {
				if err := do(); err != nil {
					b.Fatal(err)
				}
				before := calls(b, r)
				b.ReportAllocs()
				for b.Loop() {
					_ = do()
				}
				took := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if kept.read == memory {
					inMemory[name] = took
					return
				}
				b.ReportMetric(took/inMemory[name], "times-memory")
				b.ReportMetric(float64(calls(b, r)-before)/float64(b.N), "calls")
			})
		}
		run("Peek", func() error {
			_, _, err := kept.read.Peek(b.Context(), "key")
			return err
		})
		run("known", func() error {
			if s, ok := kept.read.(store.UnlessPeeker); ok {
				_, _, err := s.PeekUnless(b.Context(), "key", rev)
				return err
			}
			_, _, err := kept.read.Peek(b.Context(), "key")
			return err
		})
		run("GetUserAccessToken", func() error {
			_, err := m.GetUserAccessToken(alice)
			return err
		})
		run("first GetUserAccessToken of a request", func() error {
			_, err := m.GetUserAccessToken(m.WithTicket(b.Context(), ticket))
			return err
		})
	}
}

// calls counts the commands of the stores, not those of keeping a connection and of counting.
func calls(b *testing.B, r *server.Redis) int {
	all := 0
	for name, n := range r.Calls(b) {
		switch name {
		case "hello", "info", "ping":
		default:
			all += n
		}
	}
	return all
}
