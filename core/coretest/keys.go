package coretest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
)

// keyring holds the provider's signing keys, the present one last. Only that one is
// published.
type keyring struct {
	algorithm string
	keys      []jose.JSONWebKey
}

func (k *keyring) current() *jose.JSONWebKey { return &k.keys[len(k.keys)-1] }

func (k *keyring) rotate(algorithm string) error {
	key, err := newKey(algorithm)
	for err == nil && len(k.keys) > 0 && key.KeyID == k.current().KeyID {
		key, err = newKey(algorithm)
	}
	if err != nil {
		return fmt.Errorf("coretest: signing key: %w", err)
	}
	k.algorithm = algorithm
	k.keys = append(k.keys, key)
	return nil
}

// otherKey is one of the same kind that is not the provider's, under the ID of one
// that is.
func (k *keyring) otherKey() (jose.JSONWebKey, error) {
	other := keyring{keys: slices.Clone(k.keys)}
	if err := other.rotate(k.algorithm); err != nil {
		return jose.JSONWebKey{}, err
	}
	key := *other.current()
	key.KeyID = k.current().KeyID
	return key, nil
}

// RotateKeys makes the provider sign with a new key and publish that one only.
func (p *Provider) RotateKeys() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.keys.rotate(p.options.Algorithm); err != nil {
		p.t.Error(err)
	}
}

func (p *Provider) publishKeys(*request) answer {
	p.mu.Lock()
	public := p.keys.current().Public()
	p.mu.Unlock()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return oauthError(http.StatusInternalServerError, "server_error", err.Error())
	}
	var set map[string]any
	if err := json.Unmarshal(text, &set); err != nil {
		return oauthError(http.StatusInternalServerError, "server_error", err.Error())
	}
	return jsonAnswer(http.StatusOK, set)
}

func newKey(algorithm string) (jose.JSONWebKey, error) {
	var private crypto.Signer
	var err error
	if algorithm == "ES256" {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		private, err = rsaKeys[rsaTurn.Add(1)%uint32(len(rsaKeys))]()
	}
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key := jose.JSONWebKey{Key: private, Algorithm: algorithm, Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	return key, nil
}

// RSA keys take long to make, and a test binary starts hundreds of providers: they
// take turns with a few, so that two providers of one test do not meet under the
// same key.
var (
	rsaTurn atomic.Uint32
	rsaKeys = func() (keys [8]func() (crypto.Signer, error)) {
		for i := range keys {
			keys[i] = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })
		}
		return keys
	}()
)

// publicPEM is what a client confuses with a shared secret when it lets a token
// choose its algorithm.
func publicPEM(key jose.JSONWebKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public().Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
