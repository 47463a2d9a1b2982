package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// cacheTTL bounds what a word of the server's that has been lost, by a proxy for instance, can do.
const cacheTTL = 30 * time.Second

// states is the store below the sealing. A state is one Redis string: its revision, then its value.
type states struct {
	client  rueidis.Client
	cached  bool
	cluster bool
	marks   marks
	prefix  string

	closed  atomic.Bool // in a cluster rueidis takes a moment longer
	failing atomic.Bool // the last Peek that asked for what is cached has failed

	replicas       int
	replicaTimeout time.Duration
	answerTimeout  time.Duration // how long after that an answer is waited for
}

func newStates(cfg Config, o rueidis.ClientOption) *states {
	s := &states{
		marks:          marks{keep: cacheTTL + stall(o)},
		prefix:         cfg.Prefix,
		replicas:       cfg.Replicas,
		replicaTimeout: cfg.ReplicaTimeout,
		answerTimeout:  o.ConnWriteTimeout,
	}
	setDefault(&s.prefix, "tokenwell:")
	setDefault(&s.replicaTimeout, time.Second)
	return s
}

// revSize is the length of every revision, which the scripts know too.
const revSize = 16

// newRev makes a revision of 96 random bits.
func newRev() string {
	var bits [revSize / 4 * 3]byte
	_, _ = rand.Read(bits[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

func (s *states) Load(ctx context.Context, key string) ([]byte, string, error) {
	return split(ask(ctx, s, func() ([]byte, error) {
		return loadLua.Exec(ctx, s.client, []string{s.prefix + key}, nil).AsBytes()
	}))
}

func (s *states) Peek(ctx context.Context, key string) ([]byte, string, error) {
	return s.PeekUnless(ctx, key, "")
}

func (s *states) PeekUnless(ctx context.Context, key, known string) ([]byte, string, error) {
	value, rev, err := s.peek(ctx, key)
	if rev == known {
		value = nil
	}
	return value, rev, err
}

// peek answers from the cache where marks allow it.
func (s *states) peek(ctx context.Context, key string) ([]byte, string, error) {
	if !s.cached || s.closed.Load() {
		return s.Load(ctx, key)
	}
	written := s.marks.of(key) // before the cache is asked, or it may be gone while what is older is not
	if written == unsure {
		return s.Load(ctx, key)
	}
	value, rev, err := split(s.fromCache(ctx, key))
	if err != nil || !written.allows(rev) {
		// An error may be that of a connection that was lost meanwhile, or of another caller, who has left.
		return s.Load(ctx, key)
	}
	return value, rev, nil
}

// fromCache asks the server only for what is not cached. It does so in the caller's goroutine unless it failed the last
// time, for whoever finds nothing cached may have to wait for a connection.
func (s *states) fromCache(ctx context.Context, key string) (state []byte, err error) {
	if s.failing.Load() {
		state, err = ask(ctx, s, func() ([]byte, error) { return s.cachedGet(ctx, key) })
	} else {
		state, err = s.cachedGet(ctx, key)
	}
	if failing := err != nil && !rueidis.IsRedisNil(err); failing != s.failing.Load() {
		s.failing.Store(failing)
	}
	return state, err
}

func (s *states) cachedGet(ctx context.Context, key string) ([]byte, error) {
	get := s.client.B().Arbitrary("GET")
	if s.cluster {
		get = get.Keys(s.prefix + key)
	} else {
		get = get.Args(s.prefix + key) // without its slot, which takes longer to compute than all the rest
	}
	return s.client.DoCache(ctx, rueidis.Cacheable(get.Build()), cacheTTL).AsBytes()
}

func (s *states) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if ttl <= 0 {
		return "", errors.New("redisstore: time to live must be positive")
	}
	newRev := newRev()
	state := make([]byte, 0, revSize+len(value))
	state = append(append(state, newRev...), value...)

	before := s.marks.of(key)
	done, err := s.write(ctx, swapLua, swapScript, key, rev, rueidis.BinaryString(state),
		strconv.FormatInt(milliseconds(ttl), 10))
	if err != nil {
		s.marks.lost(key)
		return "", err
	}
	if !done {
		return "", nil
	}
	s.marks.wrote(key, before, newRev)
	return newRev, nil
}

func (s *states) Delete(ctx context.Context, key, rev string) (bool, error) {
	before := s.marks.of(key)
	done, err := s.write(ctx, deleteLua, deleteScript, key, rev)
	if err != nil {
		s.marks.lost(key)
		return false, err
	}
	if done {
		s.marks.wrote(key, before, "")
	}
	return done, nil
}

// split takes a state apart. The value is a part of what rueidis has read, and caches: nobody modifies it.
func split(state []byte, err error) (value []byte, rev string, _ error) {
	switch {
	case rueidis.IsRedisNil(err):
		return nil, "", nil
	case err != nil:
		return nil, "", fmt.Errorf("redisstore: %w", err)
	case len(state) < revSize:
		return nil, "", errors.New("redisstore: the value is not one that redisstore has written")
	}
	return state[revSize:], string(state[:revSize]), nil
}
