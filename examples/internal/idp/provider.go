// Package idp is an OpenID Provider for the examples: zitadel/oidc over a store in memory, with a sign-in form of its own.
//
// It knows two people, and the applications and APIs it is told of. It issues short-lived opaque access tokens and
// refresh tokens that work once, so that everything an application has to get right about tokens happens within a minute
// of watching.
package idp

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// Config tells the provider who may ask it for tokens. Every field is required.
type Config struct {
	Issuer    string        // the provider's own address, without a path
	Clients   []Client      // the applications and APIs that it knows
	TokenLife time.Duration // of an access token
}

// Provider is the provider's whole site: the protocol's endpoints and the sign-in form.
type Provider struct {
	site    http.Handler
	storage *storage
	asked   counter
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.site.ServeHTTP(w, r) }

// New returns a provider that runs wherever it is served.
func New(cfg Config) (*Provider, error) {
	s, err := newStorage(cfg)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	conf := &op.Config{
		CryptoKeyId:           "1",
		CodeMethodS256:        true,
		AuthMethodPost:        true,
		GrantTypeRefreshToken: true,
		SupportedUILocales:    []language.Tag{language.English},
		SupportedScopes:       []string{"openid", "profile", "email", "offline_access"},
	}
	for _, c := range cfg.Clients {
		conf.SupportedScopes = append(conf.SupportedScopes, c.Scopes...)
		conf.DefaultLogoutRedirectURI = cmp.Or(conf.DefaultLogoutRedirectURI, c.LoggedOut)
	}
	_, _ = rand.Read(conf.CryptoKey[:]) // never fails
	provider, err := op.NewProvider(
		conf, s, op.StaticIssuer(cfg.Issuer),
		op.WithAllowInsecure(), // http, which New's callers serve on loopback only
		op.WithCORSOptions(nil),
		op.WithIDTokenHintVerifierOpts(op.WithSupportedIDTokenHintSigningAlgorithms(string(signingAlgorithm))),
	)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	callback := op.AuthCallbackURL(provider)
	form := &signIn{
		storage: s,
		resume: func(ctx context.Context, request string) string {
			return callback(op.ContextWithIssuer(ctx, cfg.Issuer), request)
		},
	}

	p := &Provider{storage: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+signInPath, form.show)
	mux.HandleFunc("POST "+signInPath, form.submit)
	mux.Handle("GET /assets/", http.FileServerFS(assets))
	mux.Handle("POST "+tokenPath, p.asked.count(provider))
	mux.Handle("/", provider)
	// The form carries no token against forgery of its own: a browser says where a request comes from.
	p.site = http.NewCrossOriginProtection().Handler(mux)
	return p, nil
}
