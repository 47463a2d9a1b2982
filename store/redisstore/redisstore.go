// Package redisstore keeps Tokenwell's records in Redis, Valkey and their clusters, for applications of more than one
// process:
//
//	s, err := redisstore.New(ctx, redisstore.Config{
//		Client: rueidis.ClientOption{InitAddress: []string{"redis:6379"}},
//		Keys:   []store.Key{{Name: "2026", Secret: secret}},
//	})
//
// What is read and written goes to the master, and nothing rests on a lock: Swap and Delete are each one script that
// compares and writes.
//
// # Peek and the cache
//
// Peek is answered from this process's memory while the server says nothing else: server-assisted client-side caching, of
// Redis 6 and later. A write of another process is seen as soon as the server's word of it has arrived, usually within a
// millisecond; one of this [Store] at once, whatever is under way or has been lost (marks.go says how). When a connection is lost
// so is all that was cached by it. A connection that has fallen silent is given up after two to three seconds (by
// Dialer.KeepAlive and ConnWriteTimeout: half a second and two seconds unless set otherwise), which bounds how long a process
// that is cut off goes by what it knew. And nothing is kept for longer than thirty seconds. Where the server offers no caching,
// New says so in the log, and Peek asks the server as Load does.
//
// # What the server must allow
//
// On the keys that begin with the prefix, to read and to write, with
//
//	get getrange set setrange del eval evalsha
//	client|tracking client|caching multi exec pttl   for the cache
//	wait                                             for Replicas
//	cluster|slots cluster|shards                     in a cluster
//	role                                             behind Sentinel
//
// A server that evicts (maxmemory-policy other than noeviction) signs users out. A failover loses what the new master had not
// received, acknowledged or not: see [Config.Replicas].
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/store"
)

// Config sets up a [Store].
type Config struct {
	// Client is rueidis' own: addresses, credentials, TLS, Sentinel, timeouts. Which node is read, what is cached and how long
	// a connection lives is set by this package, except that DisableCache is heeded.
	Client rueidis.ClientOption

	Keys     []store.Key // values are sealed, see store.Seal; required, unless Unsealed
	Unsealed bool        // whoever can read the server can act for every user in it
	Prefix   string      // before every key; "": "tokenwell:"

	// Replicas is how many replicas must have a write before it is acknowledged (WAIT); fewer are an error, though the write
	// has happened: a caller that looks again finds it, and goes on, with the master alone having it. 0: none, and a failover
	// may forget the newest writes.
	Replicas       int
	ReplicaTimeout time.Duration // how long they are waited for; 0: one second

	Logger *slog.Logger // nil: slog.Default()
}

// Format implements fmt.Formatter without the credentials that are in Client.
func (c Config) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "redisstore.Config{Client:%q Keys:%v Prefix:%q}", c.Client.InitAddress, c.Keys, c.Prefix)
}

// LogValue implements slog.LogValuer in the same way.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// Store is a [store.Store] in Redis. Make one with [New], and Close it.
type Store struct {
	states *states
	inner  interface { // states, or what seals them
		store.Store
		store.UnlessPeeker
	}
}

var (
	_ store.Store        = (*Store)(nil)
	_ store.UnlessPeeker = (*Store)(nil)
)

// New returns a Store, and fails when the server cannot be reached or does not allow what is needed.
func New(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Replicas < 0 || cfg.ReplicaTimeout < 0 {
		return nil, errors.New("redisstore: Replicas and ReplicaTimeout cannot be negative")
	}
	options := clientOptions(cfg.Client)
	s := &Store{states: newStates(cfg, options)}
	switch {
	case !cfg.Unsealed:
		sealed, err := store.Seal(s.states, cfg.Keys)
		if err != nil {
			return nil, fmt.Errorf("redisstore: %w; without sealing, say Unsealed", err)
		}
		s.inner = sealed
	case len(cfg.Keys) > 0:
		return nil, errors.New("redisstore: Keys are of no use to an Unsealed store")
	default:
		s.inner = s.states
	}
	log := cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	var err error
	if s.states.client, s.states.cached, err = connect(ctx, options, log); err != nil {
		return nil, fmt.Errorf("redisstore: %w", err)
	}
	s.states.cluster = s.states.client.Mode() == rueidis.ClientModeCluster
	if err := s.try(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// try makes use of what the server must allow, before the first user has to.
func (s *Store) try(ctx context.Context) error {
	key := "try:" + newRev()
	rev, err := s.Swap(ctx, key, "", nil, time.Minute)
	if err != nil {
		return err
	}
	if _, _, err := s.Load(ctx, key); err != nil {
		return err
	}
	if s.states.cached {
		if _, _, err := split(s.states.fromCache(ctx, key)); err != nil {
			return err
		}
	}
	if _, err := s.Delete(ctx, key, newRev()); err != nil { // which loses
		return err
	}
	_, err = s.Delete(ctx, key, rev)
	return err
}

// Close ends all connections. What is under way fails, and so does every later call.
func (s *Store) Close() {
	if !s.states.closed.Swap(true) {
		s.states.client.Close()
	}
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, key string) ([]byte, string, error) {
	return s.inner.Load(ctx, key)
}

// Peek implements [store.Store].
func (s *Store) Peek(ctx context.Context, key string) ([]byte, string, error) {
	return s.inner.Peek(ctx, key)
}

// PeekUnless implements [store.UnlessPeeker]: a known state that is cached costs neither a round trip nor an opening.
func (s *Store) PeekUnless(ctx context.Context, key, known string) ([]byte, string, error) {
	return s.inner.PeekUnless(ctx, key, known)
}

// Swap implements [store.Store]. It is sent once: when no answer comes, it is an error, whatever became of the write.
func (s *Store) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	return s.inner.Swap(ctx, key, rev, value, ttl)
}

// Delete implements [store.Store]. It is sent once, as Swap is.
func (s *Store) Delete(ctx context.Context, key, rev string) (bool, error) {
	return s.inner.Delete(ctx, key, rev)
}
