package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// jwtBearer is the grant type of RFC 7523, section 2.1.
const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// account is a service account, which has a key in place of a secret. The provider knows the public half.
type account struct {
	name   string
	public jose.JSONWebKey
	signer jose.Signer
}

func newAccount(name string) (account, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return account{}, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text()}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	return account{name: name, public: key.Public(), signer: signer}, err
}

// assertion says to the provider, for a minute, who is asking (RFC 7523, section 3).
func (a account) assertion(provider string) (string, error) {
	now := time.Now()
	return jwt.Signed(a.signer).Claims(jwt.Claims{
		Issuer:   a.name,
		Subject:  a.name,
		Audience: jwt.Audience{provider},
		IssuedAt: jwt.NewNumericDate(now),
		Expiry:   jwt.NewNumericDate(now.Add(time.Minute)),
		ID:       rand.Text(),
	}).Serialize()
}
