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

// Not even when the server's word of a change never arrives.
func TestRedisPeekIsNotBehindItsOwnWrites(t *testing.T) {
	t.Parallel()
	r := server.StartRedis(t)
	contract := func(name string, connections, stores int) {
		t.Run(name, func(t *testing.T) {
			p := newRedisProxy(t, r)
			p.deaf.Store(true)
			p.jitter.Store(true)
			client := p.client()
			client.PipelineMultiplex = connections
			s := &interleaved{}
			for range stores {
				s.stores = append(s.stores, newRedis(t, redisstore.Config{Client: client, Keys: redisKeys}))
			}
			runRedisContract(t, s)
		})
	}
	contract("one store, one connection", -1, 1)
	contract("one store, four connections", 2, 1)
	contract("two stores", -1, 2)
}

// Writers of one process that take turns, each reading what it wrote, while others read: under all delays.
func TestRedisPeekIsNotBehindConcurrentWriters(t *testing.T) {
	t.Parallel()
	p := newRedisProxy(t, server.StartRedis(t))
	p.jitter.Store(true)
	client := p.client()
	client.PipelineMultiplex = 2
	s := newRedis(t, redisstore.Config{Client: client, Unsealed: true})
	ctx, stop := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for ctx.Err() == nil {
				hurried, cancel := context.WithTimeout(ctx, time.Duration(i)*time.Millisecond) // who leaves early
				_, _, _ = s.Peek(hurried, "key")
				cancel()
			}
		})
	}
	var mu sync.Mutex
	for range 4 {
		writers.Go(func() {
			for range 20 {
				err := func() error {
					mu.Lock()
					defer mu.Unlock()
					_, rev, err := s.Load(t.Context(), "key")
					if err != nil {
						return err
					}
					if rev, err = s.Swap(t.Context(), "key", rev, nil, time.Minute); err != nil {
						return err
					}
					for range 3 {
						if _, got, err := s.Peek(t.Context(), "key"); err != nil || got != rev {
							return errors.Join(err, fmt.Errorf("Peek shows %q after %q was written", got, rev))
						}
					}
					if _, err = s.Delete(t.Context(), "key", rev); err != nil {
						return err
					}
					if _, got, err := s.Peek(t.Context(), "key"); err != nil || got != "" {
						return errors.Join(err, fmt.Errorf("Peek shows %q, which was deleted", got))
					}
					return nil
				}()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
}

// A write whose answer does not come may have happened, and may happen yet.
func TestRedisPeekTrustsNoCacheAfterAWriteInDoubt(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(ctx context.Context, s *redisstore.Store, rev string) error{
		"Swap": func(ctx context.Context, s *redisstore.Store, rev string) error {
			_, err := s.Swap(ctx, "key", rev, []byte("new"), time.Minute)
			return err
		},
		"Delete": func(ctx context.Context, s *redisstore.Store, rev string) error {
			_, err := s.Delete(ctx, "key", rev)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := server.StartRedis(t)
			p := newRedisProxy(t, r)
			p.deaf.Store(true)
			s := newRedis(t, redisstore.Config{Client: p.client(), Unsealed: true})
			rev := mustSwap(t, s, "key", "", "old")
			mustPeek(t, s, "key")

			end := p.Stall()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := write(ctx, s, rev); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%v", err)
			}
			end()
			if value, got := mustPeek(t, s, "key"); got == rev {
				t.Errorf("Peek shows %q, which has been replaced", value)
			}
			if value, got := mustPeek(t, s, "key"); got == rev {
				t.Errorf("Peek shows %q at last", value)
			}
		})
	}
}
