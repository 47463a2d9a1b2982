package coretest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// AccessToken is what the provider knows about one of its access tokens.
type AccessToken struct {
	Value    string
	Subject  string // the user; for a client's own token the client's ID
	ClientID string
	Scopes   []string
	Actor    string   // who acts for the subject (RFC 8693), "" for nobody
	Audience []string // the resources and audiences that it was asked for (RFC 8707), nil for none
	Expiry   time.Time
}

// Protect starts an API that runs until the test ends. It answers 401 with a
// challenge of RFC 6750, and h does not hear of it, unless the request carries an
// access token that the provider has issued, that is alive by the provider's clock
// and has not been revoked. Behind it, h learns from [TokenOf] whose token that is.
func (p *Provider) Protect(h http.Handler) *httptest.Server {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, challenge := p.bearer(r)
		if t == nil {
			w.Header().Set("WWW-Authenticate", challenge)
			http.Error(w, "invalid token", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, *t)))
	}))
	p.t.Cleanup(func() {
		api.CloseClientConnections() // lets go of streams
		api.Close()
	})
	return api
}

type tokenKey struct{}

// TokenOf returns the access token of a request that has come through
// [Provider.Protect], the zero AccessToken for any other.
func TokenOf(r *http.Request) AccessToken {
	t, _ := r.Context().Value(tokenKey{}).(AccessToken)
	return t
}

// bearer returns the token of a request if it is good, else nil and the challenge
// to answer with (RFC 6750, section 3).
func (p *Provider) bearer(r *http.Request) (token *AccessToken, challenge string) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return nil, `Bearer realm="coretest"`
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return nil, `Bearer realm="coretest", error="invalid_request"`
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.access[value]
	if t == nil || !t.live(p.now) {
		return nil, `Bearer realm="coretest", error="invalid_token"`
	}
	return &t.AccessToken, ""
}

// userInfo is the userinfo endpoint of OpenID Connect Core, section 5.3.
func (p *Provider) userInfo(r *request) answer {
	t, challenge := p.bearer(r.Request)
	if t == nil {
		return answer{status: http.StatusUnauthorized}.with("WWW-Authenticate", challenge)
	}
	if !slices.Contains(t.Scopes, "openid") {
		return answer{status: http.StatusForbidden}.
			with("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
	}
	claims := p.userClaims(t.Subject)
	claims["sub"] = t.Subject
	return jsonAnswer(http.StatusOK, claims)
}
