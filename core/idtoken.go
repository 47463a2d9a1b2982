package core

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// idClaims are the claims of an ID token that the protocol itself looks at.
type idClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Party    string   `json:"azp"`
	Nonce    string   `json:"nonce"`
	SID      string   `json:"sid"`
	IssuedAt float64  `json:"iat"`
	AuthTime float64  `json:"auth_time"`
}

// audience is one or several names.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

const (
	// futureLeeway is how far ahead of ours a provider's clock may be.
	futureLeeway = 5 * time.Minute
	// authLeeway is how far behind ours it may be where max_age is asked for.
	authLeeway = 30 * time.Second
)

var errKeysUnreachable = errors.New("the keys of the provider cannot be fetched")

// keySet marks the failures that are not the ID token's fault; go-oidc flattens
// them into text otherwise.
type keySet struct{ oidc.KeySet }

type keysFailedKey struct{}

func (k keySet) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		if failed, ok := ctx.Value(keysFailedKey{}).(*bool); ok {
			*failed = true
		}
	}
	return payload, err
}

// verifyIDToken checks an ID token as far as that does not depend on what it came
// with (OpenID Connect Core section 3.1.3.7): signature by an allowed algorithm,
// iss, aud, azp, exp, nbf, iat, sub.
func (m *Manager) verifyIDToken(ctx context.Context, p *provider, raw string) (*oidc.IDToken, *idClaims, error) {
	keysFailed := false
	token, err := p.verifier.Verify(context.WithValue(ctx, keysFailedKey{}, &keysFailed), raw)
	if err != nil {
		if keysFailed {
			return nil, nil, errKeysUnreachable
		}
		return nil, nil, errors.New("the ID token is not valid: " + idTokenFault(err))
	}
	var c idClaims
	if err := token.Claims(&c); err != nil {
		return nil, nil, errors.New("the ID token's claims are not of the types they must be")
	}
	switch {
	case c.Subject == "" || len(c.Subject) > 255:
		return nil, nil, errors.New("the ID token has no usable sub")
	case c.Party != "" && c.Party != m.cfg.ClientID, c.Party == "" && len(c.Audience) > 1:
		return nil, nil, errors.New("the ID token was issued to another party (azp)")
	case c.IssuedAt == 0 || time.Unix(int64(c.IssuedAt), 0).After(m.now().Add(futureLeeway)):
		return nil, nil, errors.New("the ID token has no iat, or one in the future")
	}
	return token, &c, nil
}

// idTokenFault names what go-oidc found without repeating the token.
func idTokenFault(err error) string {
	var expired *oidc.TokenExpiredError
	text := err.Error()
	switch {
	case errors.As(err, &expired):
		return "it has expired"
	case strings.Contains(text, "issued by a different provider"):
		return "it is of another issuer"
	case strings.Contains(text, "expected audience"):
		return "it is for another audience"
	case strings.Contains(text, "nbf"):
		return "it is not valid yet"
	case strings.Contains(text, "signature"), strings.Contains(text, "algorithm"):
		return "its signature does not hold, or is of an algorithm that is not allowed"
	}
	return "it is malformed"
}

// checkLoginIDToken checks the ID token of a login: all of the above, the nonce
// sent with the request, max_age if it was asked for, and at_hash where there is one.
func (m *Manager) checkLoginIDToken(ctx context.Context, p *provider, a *answer, pending *pendingLogin) (*idClaims, error) {
	if a.idToken == "" {
		return nil, errors.New("the answer has no ID token")
	}
	token, c, err := m.verifyIDToken(ctx, p, a.idToken)
	if err != nil {
		return nil, err
	}
	if c.Nonce != pending.Nonce {
		return nil, errors.New("the ID token's nonce is not the one of this login")
	}
	if pending.MaxAge != nil && (c.AuthTime == 0 || int64(c.AuthTime) < pending.Started-*pending.MaxAge-int64(authLeeway.Seconds())) {
		return nil, errors.New("the user was authenticated longer ago than this login asked for (auth_time)")
	}
	if token.AccessTokenHash != "" && token.VerifyAccessToken(a.accessToken) != nil {
		return nil, errors.New("the ID token's at_hash is not the access token's")
	}
	return c, nil
}

// checkRefreshedIDToken holds the ID token of a refresh against that of the login
// (OpenID Connect Core section 12.2), and tells whether its claims are other ones.
func (m *Manager) checkRefreshedIDToken(ctx context.Context, l *login, raw string) (changed bool, err error) {
	p, err := m.provider(ctx)
	if err != nil {
		return false, errKeysUnreachable
	}
	if p.verifier == nil || l.IDToken == "" {
		return false, errKeysUnreachable // a login without OpenID Connect: there is nothing to hold it against
	}
	_, c, err := m.verifyIDToken(ctx, p, raw)
	if err != nil {
		return false, err
	}
	payload, err := jwtPayload(l.IDToken)
	if err != nil {
		return false, err
	}
	var old idClaims
	if err := json.Unmarshal(payload, &old); err != nil {
		return false, err
	}
	switch {
	case c.Issuer != old.Issuer, c.Subject != old.Subject:
		return false, errors.New("the refreshed ID token is about somebody else")
	case !sameAudience(c.Audience, old.Audience), c.Party != old.Party:
		return false, errors.New("the refreshed ID token is for another audience")
	case c.AuthTime != 0 && old.AuthTime != 0 && c.AuthTime != old.AuthTime:
		return false, errors.New("the refreshed ID token is of another authentication (auth_time)")
	case c.Nonce != "" && c.Nonce != old.Nonce:
		return false, errors.New("the refreshed ID token has another nonce")
	}
	return claimsDiffer(l.IDToken, raw), nil
}

func sameAudience(a, b audience) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// jwtPayload returns the claims of a JWT whose signature has been checked before.
func jwtPayload(raw string) ([]byte, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a signed JWT")
	}
	return base64.RawURLEncoding.DecodeString(parts[1])
}
