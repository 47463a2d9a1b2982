// Package store says what Tokenwell asks of the place where logins are kept,
// and keeps them in memory.
//
// A [Store] holds opaque values under opaque keys. Everything that Tokenwell
// promises about rotation and logout rests on [Store.Swap], which is
// compare-and-swap: a refresh replaces exactly what it read, so it cannot raise
// a session that a logout has just deleted, and the right to use a refresh token
// is itself such a write. There is no lock to lose.
//
// [NewMemory] is the default: one process, nothing to set up. Package storetest
// holds the contract that every implementation has to pass.
package store

import (
	"context"
	"errors"
	"time"
)

// A Store keeps values under keys until they expire or are deleted.
//
// A revision names one state of one key: 64 random bits as text, never a
// counter, since a failover or a restored backup would hand a counter out twice.
// The empty revision means that there is no such key, or that it has expired.
//
// All methods are safe for concurrent use and give up when their context ends.
// An error says nothing about whether a write happened: whoever needs to know
// asks Load. A value handed in or out is never modified afterwards, by either
// side.
type Store interface {
	// Load returns the current value of key and its revision. It is never
	// answered from a cache. A miss is a nil value, revision "" and no error. An
	// error with a revision says that the value is there and cannot be read; it can be
	// deleted all the same.
	Load(ctx context.Context, key string) (value []byte, rev string, err error)

	// Peek is Load for the fast path: it may be a moment behind the writes of
	// other processes, but never behind those of this one. A miss is as in Load.
	Peek(ctx context.Context, key string) (value []byte, rev string, err error)

	// Swap replaces the state rev of key with value, which lives for ttl, and
	// returns the new revision. Revision "" creates: it succeeds only where
	// there is no such key. When the key is in another state nothing is written
	// and the new revision is "", with no error. A ttl that is not positive is
	// an error.
	Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (newRev string, err error)

	// Delete removes the state rev of key and tells whether it was there. A key
	// in another state is left alone: deleted is false, with no error.
	Delete(ctx context.Context, key, rev string) (deleted bool, err error)
}

// An UnlessPeeker is a Store whose Peek has something to do for each value, such as
// opening a seal, which need not be done for a state that is known.
type UnlessPeeker interface {
	// PeekUnless is Peek, but the value is nil when the revision is known, which is
	// not "".
	PeekUnless(ctx context.Context, key, known string) (value []byte, rev string, err error)
}

func peekUnless(ctx context.Context, s Store, key, known string) ([]byte, string, error) {
	if u, ok := s.(UnlessPeeker); ok {
		return u.PeekUnless(ctx, key, known)
	}
	return s.Peek(ctx, key)
}

// ErrFull is what [Memory.Swap] answers when it holds as many keys as it may.
var ErrFull = errors.New("store: memory is full")

var errTTL = errors.New("store: time to live must be positive")
