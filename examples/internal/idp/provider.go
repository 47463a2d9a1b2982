// Package idp is an OpenID Provider for the examples: zitadel/oidc over a store in memory, with a sign-in form of its own.
//
// It knows two people, one application and one API. It issues short-lived opaque access tokens and refresh tokens that
// work once, so that everything an application has to get right about tokens happens within a minute of watching.
package idp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// Config tells the provider who may ask it for tokens. Every field is required.
type Config struct {
	Issuer    string        // the provider's own address, without a path
	Client    Client        // the application that signs people in
	API       Credentials   // the API that asks whether a token is alive
	TokenLife time.Duration // of an access token
}

// Client is a confidential web application.
type Client struct {
	Credentials
	Name        string // shown on the sign-in form
	RedirectURL string
	LoggedOut   string   // where a sign-out ends
	Scopes      []string // allowed beside those of OpenID Connect
}

// Credentials are an identifier and its secret.
type Credentials struct{ ID, Secret string }

// String keeps the secret out of logs.
func (c Credentials) String() string { return c.ID }

// GoString is String, for %#v.
func (c Credentials) GoString() string { return c.ID }

// New returns the provider's whole site: the protocol's endpoints and the sign-in form.
func New(cfg Config) (http.Handler, error) {
	s, err := newStorage(cfg)
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	conf := &op.Config{
		CryptoKeyId:              "1",
		DefaultLogoutRedirectURI: cfg.Client.LoggedOut,
		CodeMethodS256:           true,
		AuthMethodPost:           true,
		GrantTypeRefreshToken:    true,
		SupportedUILocales:       []language.Tag{language.English},
		SupportedScopes:          append([]string{"openid", "profile", "email", "offline_access"}, cfg.Client.Scopes...),
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
	app, err := url.Parse(cfg.Client.RedirectURL)
	if err != nil {
		return nil, fmt.Errorf("idp: redirect URL: %w", err)
	}
	form := &signIn{
		storage:   s,
		client:    cfg.Client.Name,
		appOrigin: app.Scheme + "://" + app.Host,
		resume: func(ctx context.Context, request string) string {
			return callback(op.ContextWithIssuer(ctx, cfg.Issuer), request)
		},
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+signInPath, form.show)
	mux.HandleFunc("POST "+signInPath, form.submit)
	mux.Handle("GET /assets/", http.FileServerFS(assets))
	mux.Handle("/", provider)
	// The form carries no token against forgery of its own: a browser says where a request comes from.
	return http.NewCrossOriginProtection().Handler(mux), nil
}
