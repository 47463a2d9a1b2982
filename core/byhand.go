package core

import (
	"context"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// Token asks r for a token by hand, for the user of ctx, where no named client makes
// the request. It fails as r does.
func (m *Manager) Token(ctx context.Context, r TokenRetriever, opts ...TokenOption) (*Token, error) {
	return m.tokenFor(ctx, r, emptyRequest(ctx), opts...)
}

func (m *Manager) tokenFor(ctx context.Context, r TokenRetriever, out *http.Request, opts ...TokenOption) (*Token, error) {
	switch {
	case m == nil:
		return nil, ErrNoManager
	case r == nil:
		return nil, configError("the TokenRetriever is nil: say which token is wanted, such as core.UserToken()")
	}
	tok, err := r.RetrieveToken(ctx, TokenRequest{HTTP: out, manager: m}.with(opts))
	if err == nil && tok == nil {
		return nil, &Error{Op: opRetriever, Err: errNothingRetrieved}
	}
	return tok, err
}

// emptyRequest stands for an outgoing request where there is none.
func emptyRequest(ctx context.Context) *http.Request {
	return (&http.Request{Method: http.MethodGet, URL: &url.URL{}, Header: http.Header{}}).WithContext(ctx)
}

// RequestToken makes one token request of any grant type and returns the access
// token in its answer; nothing is kept, so wrap it with [CacheBy] for repeated use. The
// form holds grant_type and what the grant needs, such as the assertion of RFC 7523
// section 2.1; the client's authentication is added, and what opts ask for replaces
// what the form says. The scopes in [Config] and in registrations are not asked for.
// A refresh token in the answer is dropped. A retriever finds the manager in
// [TokenRequest.Manager].
//
// The request ends with ctx. It fails with an *[Error] whose Op is the grant type.
func (m *Manager) RequestToken(ctx context.Context, form url.Values, opts ...TokenOption) (*Token, error) {
	if m == nil {
		return nil, ErrNoManager
	}
	grantType := form.Get("grant_type")
	if grantType == "" {
		return nil, configError("RequestToken: the form has no grant_type")
	}
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		if form.Has(name) {
			return nil, configError("RequestToken: %q is the client's authentication, which is added to the form", name)
		}
	}
	req := TokenRequest{}.with(opts)
	form = cloneParams(form)
	if err := req.fill(form); err != nil {
		return nil, err
	}
	if !m.begin() {
		return nil, errClosed
	}
	defer m.end()
	return m.asClient(ctx, req.Registration, func(c actingClient) (*Token, error) {
		a, err := c.requestToken(ctx, grantType, form)
		if err != nil {
			return nil, err
		}
		return newHeldToken(m.stored(a, req.Scopes)).Token, nil
	})
}

// TokenSource returns r as an [oauth2.TokenSource] for the user of ctx, for
// libraries that take one. Every call of its Token asks r, which keeps its tokens
// itself: it need not be wrapped to be reused. It ends with ctx: kept for later it
// fails. It is safe for concurrent use if r is.
//
// Do not give it to oauth2.NewClient: the transport made there sends the token
// wherever a redirect leads. A named client does not.
func (m *Manager) TokenSource(ctx context.Context, r TokenRetriever) oauth2.TokenSource {
	return tokenSource{m, lasting(ctx), r}
}

type tokenSource struct {
	m   *Manager
	ctx context.Context
	r   TokenRetriever
}

func (s tokenSource) Token() (*oauth2.Token, error) {
	if s.ctx.Err() != nil {
		return nil, waitError(s.ctx, opRetriever)
	}
	tok, err := s.m.Token(s.ctx, s.r)
	if err != nil {
		return nil, err
	}
	return tok.OAuth2(), nil
}

// PerRPCCredentials returns credentials for gRPC that carry the token of r: of each
// call's own context, so that one connection serves all users. It satisfies
// credentials.PerRPCCredentials of google.golang.org/grpc and goes into
// grpc.WithPerRPCCredentials or grpc.PerRPCCredentials. They are sent over secure
// connections only.
//
// gRPC cannot repeat a call with another token: after codes.Unauthenticated the
// caller may, with a token asked for by [Manager.Token] and [WithForceRenewal].
func (m *Manager) PerRPCCredentials(r TokenRetriever) *PerRPCCredentials {
	return &PerRPCCredentials{m, r}
}

// PerRPCCredentials is what [Manager.PerRPCCredentials] returns.
type PerRPCCredentials struct {
	m *Manager
	r TokenRetriever
}

// GetRequestMetadata returns the metadata that carries the token. The retriever sees
// the URI of the call, if gRPC tells it, as that of an outgoing request.
func (p *PerRPCCredentials) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	out := emptyRequest(ctx)
	if len(uri) > 0 {
		if u, err := url.Parse(uri[0]); err == nil {
			out.URL = u
		}
	}
	tok, err := p.m.tokenFor(ctx, p.r, out)
	if err != nil {
		return nil, err
	}
	header, err := tok.header()
	if err != nil {
		return nil, &Error{Op: opRetriever, Err: err}
	}
	return map[string]string{"authorization": header[0]}, nil
}

// RequireTransportSecurity reports that the token must not travel in the clear.
func (p *PerRPCCredentials) RequireTransportSecurity() bool { return true }
