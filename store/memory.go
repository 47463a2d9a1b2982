package store

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
	"weak"
)

const (
	shardCount = 256 // as many as the top byte of a product names
	// shardLimit bounds the memory that strangers can fill by starting logins:
	// 16 million keys in all.
	shardLimit = 1 << 16
	// sweepBatch is how many expired keys a sweep drops before it lets others
	// have the shard.
	sweepBatch = 512
	// shrinkFloor is the size below which a shard's map is not worth rebuilding.
	shrinkFloor = 64
)

// Memory is a Store in the memory of this process: the default, for tests and
// for programs of one process whose users may be asked to sign in again after a
// restart. Make one with NewMemory.
//
// It holds a little over 16 million keys at most. Expired keys are dropped in
// small batches, by a timer for each 256th of the store, and the memory they
// took is given back. It owns no goroutine and needs no closing.
type Memory struct {
	shards [shardCount]*shard
}

// A shard is locked as a whole, but only ever for a map operation or a batch.
type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	queue   expiryQueue
	peak    int // the most entries since the map was last rebuilt
	timer   *time.Timer
	wake    time.Time // when timer fires; zero when it is not set
}

type entry struct {
	key     string
	value   []byte
	rev     string
	expires time.Time
	index   int // in the queue
}

// Format implements fmt.Formatter without what is in it.
func (m *Memory) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "store.Memory") }

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	m := &Memory{}
	for i := range m.shards {
		m.shards[i] = &shard{entries: make(map[string]*entry)}
	}
	return m
}

// shard returns the shard of key. The keys that this store is made for end in a
// digest, so their last bytes, well mixed, spread them evenly.
func (m *Memory) shard(key string) *shard {
	var tail uint64
	for i := max(0, len(key)-8); i < len(key); i++ {
		tail = tail<<8 | uint64(key[i])
	}
	return m.shards[tail*0x9e3779b97f4a7c15>>56]
}

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	s := m.shard(key)
	s.mu.RLock()
	e := s.entries[key]
	s.mu.RUnlock()
	if e == nil || !time.Now().Before(e.expires) {
		return nil, "", nil
	}
	return e.value, e.rev, nil
}

// Peek implements [Store]. Unlike Load it does not look at the clock: an expired
// key is seen until its shard's timer has dropped it, a moment later.
func (m *Memory) Peek(_ context.Context, key string) ([]byte, string, error) {
	s := m.shard(key)
	s.mu.RLock()
	e := s.entries[key]
	s.mu.RUnlock()
	if e == nil {
		return nil, "", nil
	}
	return e.value, e.rev, nil
}

// Swap implements [Store]. It answers [ErrFull] when it can take no further key.
func (m *Memory) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if ttl <= 0 {
		return "", errTTL
	}
	now := time.Now()
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()

	old := s.entries[key]
	if old != nil && !now.Before(old.expires) {
		s.remove(old)
		old = nil
	}
	if current(old) != rev {
		return "", nil
	}
	if old == nil && len(s.entries) >= shardLimit {
		return "", ErrFull
	}
	// Readers hold entries without the lock, so a state is replaced as a whole.
	e := &entry{key: key, value: value, rev: newRev(), expires: now.Add(ttl)}
	if old != nil {
		e.key, e.index = old.key, old.index
		s.entries[e.key] = e
		s.queue[e.index] = e
		heap.Fix(&s.queue, e.index)
	} else {
		s.entries[key] = e
		heap.Push(&s.queue, e)
		s.peak = max(s.peak, len(s.entries))
	}
	s.schedule(now)
	return e.rev, nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, key, rev string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil || rev == "" || e.rev != rev || !time.Now().Before(e.expires) {
		return false, nil
	}
	s.remove(e)
	s.shrink()
	return true, nil
}

func (s *shard) remove(e *entry) {
	delete(s.entries, e.key)
	heap.Remove(&s.queue, e.index)
}

// schedule sets the timer for the entry that expires first. The timer knows the
// shard only weakly, so that a Memory nobody uses any more can be collected.
func (s *shard) schedule(now time.Time) {
	if len(s.queue) == 0 {
		return
	}
	first := s.queue[0].expires
	if !s.wake.IsZero() && !first.Before(s.wake) {
		return
	}
	s.wake = first
	if s.timer != nil {
		s.timer.Reset(first.Sub(now))
		return
	}
	w := weak.Make(s)
	s.timer = time.AfterFunc(first.Sub(now), func() {
		if s := w.Value(); s != nil {
			s.sweep()
		}
	})
}

// sweep drops a batch of expired entries and comes back for the rest.
func (s *shard) sweep() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = time.Time{}
	for range sweepBatch {
		if len(s.queue) == 0 || now.Before(s.queue[0].expires) {
			break
		}
		s.remove(s.queue[0])
	}
	s.shrink()
	s.schedule(now)
}

// shrink rebuilds what has become mostly empty: neither a map nor a slice gives
// memory back by itself.
func (s *shard) shrink() {
	if s.peak < shrinkFloor || len(s.entries) > s.peak/4 {
		return
	}
	entries := make(map[string]*entry, len(s.entries))
	for k, e := range s.entries {
		entries[k] = e
	}
	s.entries = entries
	s.queue = append(make(expiryQueue, 0, len(s.queue)), s.queue...)
	s.peak = len(entries)
}

// expiryQueue is a heap of entries, the first to expire at its top.
type expiryQueue []*entry

func (q expiryQueue) Len() int           { return len(q) }
func (q expiryQueue) Less(i, j int) bool { return q[i].expires.Before(q[j].expires) }

func (q expiryQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *expiryQueue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *expiryQueue) Pop() any {
	old := *q
	last := len(old) - 1
	e := old[last]
	old[last] = nil
	*q = old[:last]
	return e
}

func current(e *entry) string {
	if e == nil {
		return ""
	}
	return e.rev
}

func newRev() string { return strconv.FormatUint(rand.Uint64(), 36) }
