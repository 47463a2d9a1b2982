package coretest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const idTokenLife = time.Hour

// userClaims are a user's claims but for sub.
func (p *Provider) userClaims(user string) map[string]any {
	claims := map[string]any{
		"name":               user,
		"preferred_username": user,
		"email":              user + "@example.com",
	}
	if p.options.Claims != nil {
		maps.Copy(claims, p.options.Claims(user))
	}
	return claims
}

// idToken makes the ID token of OpenID Connect Core, section 2. A nonce belongs to
// the first one of a login only.
func (p *Provider) idToken(g *grant, nonce, accessToken string, f Fault) (string, error) {
	now := p.Now()
	claims := p.userClaims(g.user)
	maps.Copy(claims, map[string]any{
		"iss":       p.Issuer(),
		"sub":       g.user,
		"aud":       g.client,
		"iat":       now.Unix(),
		"exp":       now.Add(idTokenLife).Unix(),
		"auth_time": g.authTime.Unix(),
		"sid":       g.sid,
		"at_hash":   halfHash(accessToken),
	})
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if g.acr != "" {
		claims["acr"] = g.acr
	}
	if f.Claims != nil {
		f.Claims(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	return p.sign(payload, f.Signature)
}

// halfHash is the at_hash of OpenID Connect Core, section 3.1.3.6; all our
// algorithms go with SHA-256.
func halfHash(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

func (p *Provider) sign(payload []byte, how string) (string, error) {
	p.mu.Lock()
	key := *p.keys.current()
	other, err := key, error(nil)
	if how == SignedOtherKey {
		other, err = p.keys.otherKey()
	}
	p.mu.Unlock()
	if err != nil {
		return "", err
	}
	signing := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: other}
	options := new(jose.SignerOptions).WithType("JWT")
	switch how {
	case SignedNone:
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
		return header + "." + base64.RawURLEncoding.EncodeToString(payload) + ".", nil
	case SignedHS256:
		secret, err := publicPEM(key)
		if err != nil {
			return "", err
		}
		signing = jose.SigningKey{Algorithm: jose.HS256, Key: secret}
		options = options.WithHeader("kid", key.KeyID)
	}
	signer, err := jose.NewSigner(signing, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// openHint reads an ID token that the provider has signed at any time, expired or
// not.
func (p *Provider) openHint(hint string) (claims map[string]any, err error) {
	parsed, err := jose.ParseSignedCompact(hint, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.options.Algorithm)})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	keys := slices.Clone(p.keys.keys)
	p.mu.Unlock()
	for _, key := range keys {
		if payload, err := parsed.Verify(key.Public()); err == nil {
			err = json.Unmarshal(payload, &claims)
			return claims, err
		}
	}
	return nil, errors.New("not signed by this provider")
}
