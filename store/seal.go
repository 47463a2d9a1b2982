package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Key is a key of [Seal]. It does not print its secret.
type Key struct {
	Name   string // stands beside each value that it sealed: 1 to 64 bytes, never used for another secret
	Secret []byte // 32 random bytes, such as those of openssl rand
}

// Format implements fmt.Formatter without the secret.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "store.Key{Name:%q}", k.Name) }

// LogValue implements slog.LogValuer without the secret.
func (k Key) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(k)) }

// MarshalText implements encoding.TextMarshaler without the secret, for encoding/json
// and its kind: a Key is not meant to be stored.
func (k Key) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(k)), nil }

// ErrSealed is wrapped by the errors of a [Sealed] store for a value that it cannot
// open: it has been altered or moved, or its key is not among the store's.
var ErrSealed = errors.New("store: the value cannot be opened")

// Sealed is a Store that keeps nothing readable. Make one with [Seal].
type Sealed struct {
	inner Store
	keys  []Key // copies
}

// Seal returns s with every value encrypted and authenticated by AES-256-GCM. The
// first key seals, all of them open: to rotate, put a new key behind the others on
// every replica, then first, and drop an old one when all that it has sealed has
// expired. The store's key is authenticated with its value, so one record cannot take
// the place of another. A value that cannot be opened is an error that wraps
// [ErrSealed], comes with the value's revision, and is left alone.
//
// What a value is sealed with is derived from the secret and 128 random bits
// (HKDF-SHA256), so there is no bound to how many a key may seal. Store keys and the
// length of values are not hidden.
//
// It fails when there are no keys, when a secret is not 32 bytes long, and when a name
// is too long or not unique.
func Seal(s Store, keys []Key) (*Sealed, error) {
	if len(keys) == 0 {
		return nil, errors.New("store: no keys to seal with")
	}
	sealed := &Sealed{inner: s}
	for _, k := range keys {
		switch {
		case k.Name == "" || len(k.Name) > 64:
			return nil, fmt.Errorf("store: the name of key %q is not 1 to 64 bytes long", k.Name)
		case len(k.Secret) != sha256.Size:
			return nil, fmt.Errorf("store: the secret of key %q has %d bytes, not 32", k.Name, len(k.Secret))
		case sealed.key(k.Name) != nil:
			return nil, fmt.Errorf("store: two keys have the name %q", k.Name)
		}
		sealed.keys = append(sealed.keys, Key{k.Name, slices.Clone(k.Secret)})
	}
	return sealed, nil
}

// Format implements fmt.Formatter without the keys' secrets.
func (s *Sealed) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "store.Sealed") }

// Load implements [Store].
func (s *Sealed) Load(ctx context.Context, key string) ([]byte, string, error) {
	value, rev, err := s.inner.Load(ctx, key)
	if err != nil || rev == "" {
		return nil, rev, err
	}
	return s.opened(key, rev, value)
}

// Peek implements [Store].
func (s *Sealed) Peek(ctx context.Context, key string) ([]byte, string, error) {
	value, rev, err := s.inner.Peek(ctx, key)
	if err != nil || rev == "" {
		return nil, rev, err
	}
	return s.opened(key, rev, value)
}

// PeekUnless implements [UnlessPeeker]: what is known already is not opened.
func (s *Sealed) PeekUnless(ctx context.Context, key, known string) ([]byte, string, error) {
	value, rev, err := peekUnless(ctx, s.inner, key, known)
	if err != nil || rev == "" || rev == known {
		return nil, rev, err
	}
	return s.opened(key, rev, value)
}

// Swap implements [Store].
func (s *Sealed) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	sealed, err := s.seal(key, value)
	if err != nil {
		return "", err
	}
	return s.inner.Swap(ctx, key, rev, sealed, ttl)
}

// Delete implements [Store].
func (s *Sealed) Delete(ctx context.Context, key, rev string) (bool, error) {
	return s.inner.Delete(ctx, key, rev)
}

// A sealed value is a format byte, the length of the key's name and the name, a salt,
// and what crypto/cipher makes: a nonce and the ciphertext with its tag.
const (
	sealFormat = 1
	saltSize   = 16
)

func (s *Sealed) key(name string) *Key {
	for i := range s.keys {
		if s.keys[i].Name == name {
			return &s.keys[i]
		}
	}
	return nil
}

func (s *Sealed) seal(key string, value []byte) ([]byte, error) {
	k := &s.keys[0]
	out := make([]byte, 0, 2+len(k.Name)+saltSize+12+len(value)+16)
	out = append(out, sealFormat, byte(len(k.Name)))
	out = append(out, k.Name...)
	out = append(out, make([]byte, saltSize)...)
	salt := out[len(out)-saltSize:]
	_, _ = rand.Read(salt) // never fails
	aead, err := k.aead(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, value, []byte(key)), nil //nolint:gosec // the nonce is drawn inside
}

func (s *Sealed) opened(key, rev string, sealed []byte) ([]byte, string, error) {
	value, err := s.open(key, sealed)
	return value, rev, err
}

func (s *Sealed) open(key string, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealFormat {
		return nil, fmt.Errorf("%w: it is not one that Seal has written", ErrSealed)
	}
	size, rest := int(sealed[1]), sealed[2:]
	if len(rest) < size+saltSize {
		return nil, fmt.Errorf("%w: it is cut short", ErrSealed)
	}
	k, rest := s.key(string(rest[:size])), rest[size:]
	if k == nil {
		return nil, fmt.Errorf("%w: its key is not among the store's", ErrSealed)
	}
	aead, err := k.aead(rest[:saltSize])
	if err != nil {
		return nil, err
	}
	value, err := aead.Open(nil, nil, rest[saltSize:], []byte(key))
	if err != nil {
		return nil, fmt.Errorf("%w: it has been altered, or is another key's value", ErrSealed)
	}
	return value, nil
}

// aead returns the cipher of one value.
func (k *Key) aead(salt []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, k.Secret, salt, "tokenwell sealed value", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
