package stores

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/internal/interop/server"
	"github.com/tokenwell/tokenwell/store/redisstore"
)

// Whether the server has just fallen silent, or for so long that its connections have been given up.
func TestRedisCallsEndWithTheirContexts(t *testing.T) {
	t.Parallel()
	for name, disable := range map[string]bool{"with caching": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := server.StartRedis(t)
			client := redisClient(r)
			client.DisableCache = disable
			s := newRedis(t, redisstore.Config{Client: client, Keys: redisKeys})
			rev := mustSwap(t, s, "key", "", "value")
			r.Pause()
			defer r.Resume()
			for phase := range 4 {
				var calls sync.WaitGroup
				for i := range 200 {
					calls.Go(func() {
						patience := 300 * time.Millisecond
						if i%2 == 0 {
							patience = 1200 * time.Millisecond // some wait longer, and may not hold up the others
						}
						began := time.Now()
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						if i%4 < 2 {
							ctx, cancel = context.WithTimeout(ctx, patience)
							defer cancel()
						} else {
							time.AfterFunc(patience, cancel)
						}
						err := oneCall(ctx, s, i/4, rev)
						if took := time.Since(began); err == nil || took > patience+700*time.Millisecond {
							t.Errorf("phase %d, call %d: %v after %v, with a context of %v", phase, i/4%4, err, took, patience)
						}
					})
				}
				calls.Wait()
			}
			r.Resume()
			recovers(t, s)
		})
	}
}

// oneCall is one of four kinds of calls that ask the server.
func oneCall(ctx context.Context, s *redisstore.Store, i int, rev string) (err error) {
	switch i % 4 {
	case 0:
		_, _, err = s.Load(ctx, "key")
	case 1:
		_, _, err = s.Peek(ctx, fmt.Sprint("cold ", i))
	case 2:
		_, err = s.Swap(ctx, fmt.Sprint("key ", i), "", []byte("value"), time.Minute)
	default:
		_, err = s.Delete(ctx, fmt.Sprint("key ", i), rev)
	}
	return err
}

// F4.
func TestRedisRecoversByItself(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	rev := mustSwap(t, s, "key", "", "value")
	for name, outage := range map[string]func(){
		"restarted": func() {
			r.Kill()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, _, err := s.Load(ctx, "key"); err == nil {
				t.Error("Load of a server that is down is no error")
			}
			r.Start(t)
		},
		"its clients cut off": func() { r.Do(t, "CLIENT", "KILL", "TYPE", "normal") },
		"paused": func() {
			r.Pause()
			time.AfterFunc(3*time.Second, r.Resume)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				mustPeek(t, s, "key")
			}
			outage()
			recovers(t, s)
			if value, got := mustPeek(t, s, "key"); got != rev || string(value) != "value" {
				t.Errorf("Peek shows %q, revision %q", value, got)
			}
		})
	}
}

// recovers fails unless the store works again before long. Each try is a caller with a second's patience.
func recovers(t testing.TB, s *redisstore.Store) {
	t.Helper()
	var last error
	for began := time.Now(); time.Since(began) < 15*time.Second; time.Sleep(20 * time.Millisecond) {
		last = func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, rev, err := s.Load(ctx, "recovers")
			if err != nil {
				return err
			}
			if rev, err = s.Swap(ctx, "recovers", rev, nil, time.Minute); err != nil {
				return err
			}
			if _, got, err := s.Peek(ctx, "recovers"); err != nil || got != rev {
				return errors.Join(err, fmt.Errorf("Peek shows %q instead of %q", got, rev))
			}
			return nil
		}()
		if last == nil {
			t.Logf("works after %v", time.Since(began).Round(time.Millisecond))
			return
		}
	}
	t.Fatalf("does not recover: %v", last)
}

// A write whose answer is lost with the connection is not sent again: it would lose against itself. A read is.
func TestRedisSendsAWriteOnce(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	for name, disable := range map[string]bool{"with caching": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			p := newRedisProxy(t, r)
			client := p.client()
			client.DisableCache = disable
			s := newRedis(t, redisstore.Config{Client: client, Unsealed: true})
			r.Do(t, "FLUSHALL")
			rev := mustSwap(t, s, "key", "", "old")
			mustPeek(t, s, "key")
			before := r.Calls(t)
			count := func(command string) int { return r.Calls(t)[command] - before[command] }

			p.cut.Store(true)
			if newRev, err := s.Swap(t.Context(), "key", rev, []byte("new"), time.Minute); err == nil || newRev != "" {
				t.Errorf("Swap without an answer: %q, %v", newRev, err)
			}
			if n := count("set"); n != 1 {
				t.Errorf("%d writes", n)
			}
			value, rev := mustPeek(t, s, "key")
			if string(value) != "new" {
				t.Errorf("Peek shows %q", value)
			}
			p.cut.Store(true)
			if deleted, err := s.Delete(t.Context(), "key", rev); err == nil || deleted {
				t.Errorf("Delete without an answer: %v, %v", deleted, err)
			}
			if n := count("del"); n != 1 {
				t.Errorf("%d deletions", n)
			}
			p.cut.Store(true)
			if _, rev, err := s.Load(t.Context(), "key"); err != nil || rev != "" {
				t.Errorf("Load whose first answer is lost: %q, %v", rev, err)
			}
			p.cut.Store(true)
			if _, rev, err := s.Peek(t.Context(), "cold"); err != nil || rev != "" {
				t.Errorf("Peek whose first answer is lost: %q, %v", rev, err)
			}
		})
	}
}

// Left to itself, rueidis sends again what a connection at the end of its life has not answered.
func TestRedisSendsAWriteOnceWhateverLifeConnectionsHave(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	p := newRedisProxy(t, r)
	client := p.client()
	client.ConnLifetime = time.Second
	s := newRedis(t, redisstore.Config{Client: client, Unsealed: true})
	rev := mustSwap(t, s, "key", "", "old")
	before := r.Calls(t)["evalsha"]
	defer p.Stall()()
	if newRev, err := s.Swap(t.Context(), "key", rev, []byte("new"), time.Minute); err == nil {
		t.Errorf("Swap without an answer: %q, %v", newRev, err)
	}
	if n := r.Calls(t)["evalsha"] - before; n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// Full, it still reads and deletes.
func TestRedisThatIsFullRefusesWritesOnly(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	s := newRedis(t, redisstore.Config{Client: redisClient(r), Keys: redisKeys})
	rev := mustSwap(t, s, "key", "", "value")
	r.Do(t, "CONFIG", "SET", "maxmemory", "1")
	if _, err := s.Swap(t.Context(), "other", "", nil, time.Minute); err == nil {
		t.Error("it is not full")
	}
	if _, got, err := s.Load(t.Context(), "key"); got != rev || err != nil {
		t.Errorf("Load: %q, %v", got, err)
	}
	if deleted, err := s.Delete(t.Context(), "key", rev); !deleted || err != nil {
		t.Errorf("Delete: %v, %v", deleted, err)
	}
}
