package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// A token that is asked for by hand is that of the context's user, of the manager that
// is asked, with an outgoing request that can be looked at.
func TestTokenByHandIsTheContextsUsers(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice, bob := r.signIn("alice"), r.signIn("bob")
	for _, u := range []signedInUser{alice, bob} {
		want := r.get(u)
		if got := byHand(u, t, r.m, core.UserToken()); got != want {
			t.Error("UserToken by hand is not GetUserAccessToken")
		}
	}
	if machineToken(t, r.m) != byHand(t.Context(), t, r.m, core.ClientToken()) {
		t.Error("ClientToken by hand is not GetClientAccessToken")
	}
	other := r.manager()
	var asked core.TokenRequest
	seeing := core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		asked = req
		return core.ClientToken().RetrieveToken(ctx, req)
	})
	before := r.p.Grants(clientCredentials)
	byHand(alice, t, other, seeing, core.WithScopes("only-of-the-other"), core.WithResource("urn:r"))
	if r.p.Grants(clientCredentials) != before+1 {
		t.Error("the innermost manager of the context was asked, not the one that was called")
	}
	if asked.HTTP == nil || asked.HTTP.URL == nil || asked.HTTP.Header.Get("X") != "" || asked.HTTP.Context().Value(struct{}{}) != nil {
		t.Errorf("the outgoing request is %v", asked.HTTP)
	}
	if diff := cmp.Diff([]string{"only-of-the-other"}, asked.Scopes); diff != "" || asked.Resource != "urn:r" {
		t.Errorf("asked for %v", asked)
	}
}

func TestTokenByHandFailures(t *testing.T) {
	t.Parallel()
	m := newClientManager(t, nil)
	nothing := core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) { return nil, nil })
	var none *core.Manager
	for name, test := range map[string]struct {
		m    *core.Manager
		r    core.TokenRetriever
		op   string
		want error
	}{
		"no manager":     {none, core.ClientToken(), "", core.ErrNoManager},
		"no retriever":   {m, nil, "configure", nil},
		"nothing":        {m, nothing, "retriever", nil},
		"nobody":         {m, core.UserToken(), "", core.ErrLoginRequired},
		"another's name": {m, core.ClientToken(core.WithRegistration("x")), "configure", nil},
	} {
		for way, get := range map[string]func() error{
			"Token":             func() error { _, err := test.m.Token(t.Context(), test.r); return err },
			"TokenSource":       func() error { _, err := test.m.TokenSource(t.Context(), test.r).Token(); return err },
			"PerRPCCredentials": func() error { _, err := test.m.PerRPCCredentials(test.r).GetRequestMetadata(t.Context()); return err },
		} {
			err := get()
			var e *core.Error
			if test.want != nil && !errors.Is(err, test.want) || test.op != "" && (!errors.As(err, &e) || e.Op != test.op) {
				t.Errorf("%s, %s: %v", way, name, err)
			}
		}
	}
	if _, err := none.RequestToken(t.Context(), url.Values{"grant_type": {jwtBearer}}); !errors.Is(err, core.ErrNoManager) {
		t.Errorf("RequestToken: %v", err)
	}
}

// Any grant, as the form says it, with the client's authentication; what options ask
// for replaces what the form says.
func TestRequestTokenSendsTheForm(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", Clients: map[string]string{"other": "other-secret"}})
	p.Fail(coretest.Fault{Grant: jwtBearer, Times: coretest.Always, Body: `{"access_token":"a","token_type":"bearer","expires_in":60,"scope":"x y","refresh_token":"dropped"}`})
	cfg := p.Config()
	cfg.ClientScopes = []string{"not-asked-for"}
	cfg.Registrations = map[string]core.Registration{"other": {
		Issuer: cfg.Issuer, ClientID: "other", ClientAuth: core.SecretPost("other-secret"), Scopes: []string{"not-asked-for"},
	}}
	m := startClientManager(t, cfg)
	form := url.Values{"grant_type": {jwtBearer}, "assertion": {"the-assertion"}, "scope": {"form"}}
	given := copyOf(form)
	tok, err := m.RequestToken(t.Context(), form)
	if err != nil {
		t.Fatal(err)
	}
	if tok.AccessToken != "a" || tok.Type != "Bearer" || tok.Expiry.Sub(p.Now()).Round(time.Second) != time.Minute || strings.Join(tok.Scopes, " ") != "x y" {
		t.Errorf("%v", tok)
	}
	_, err = m.RequestToken(t.Context(), form, core.WithRegistration("other"), core.WithScopes("a", "b"), core.WithResource("urn:r"), core.WithParams(url.Values{"p": {"q"}}))
	if err != nil {
		t.Fatal(err)
	}
	requests := p.Requests(coretest.TokenEndpoint)
	want := []url.Values{given, {
		"grant_type": {jwtBearer}, "assertion": {"the-assertion"}, "scope": {"a b"}, "resource": {"urn:r"}, "p": {"q"},
		"client_id": {"other"}, "client_secret": {"other-secret"},
	}}
	if diff := cmp.Diff(want, []url.Values{requests[0].Form, requests[1].Form}); diff != "" {
		t.Errorf("what went over the wire (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(given, form); diff != "" {
		t.Errorf("the caller's form was changed: %s", diff)
	}
	if _, err := m.RequestToken(t.Context(), form); err != nil || p.Grants(jwtBearer) != 3 {
		t.Errorf("%d requests, %v: nothing is kept", p.Grants(jwtBearer), err)
	}
}

func TestRequestTokenFailures(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := startClientManager(t, p.Config())
	for _, name := range []string{"client_id", "client_secret", "client_assertion", "client_assertion_type"} {
		_, err := m.RequestToken(t.Context(), url.Values{"grant_type": {jwtBearer}, name: {"x"}})
		if e := asError(t, err); e.Op != "configure" || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.RequestToken(t.Context(), url.Values{"assertion": {"sentinel-assertion"}}); asError(t, err).Op != "configure" {
		t.Errorf("no grant type: %v", err)
	}
	if got := len(p.Requests(coretest.TokenEndpoint)); got != 0 {
		t.Errorf("%d requests", got)
	}

	p.Fail(coretest.Fault{Grant: jwtBearer, Status: 400, Body: `{"error":"invalid_grant","error_description":"cannot take sentinel-assertion"}`})
	_, err := m.RequestToken(t.Context(), url.Values{"grant_type": {jwtBearer}, "assertion": {"sentinel-assertion"}})
	if e := asError(t, err); e.Op != jwtBearer || e.Code != "invalid_grant" || e.Status != 400 || strings.Contains(err.Error(), "sentinel") || e.Temporary() {
		t.Errorf("%v", err)
	}

	// It is nobody else's: it ends with its caller.
	arrived := make(chan struct{})
	p.Fail(coretest.Fault{Grant: jwtBearer, Hang: true, Before: func() { close(arrived) }})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := m.RequestToken(ctx, url.Values{"grant_type": {jwtBearer}, "assertion": {"x"}})
		ended <- err
	}()
	waitFor(t, "the request", arrived)
	cancel()
	if err := waitFor(t, "its end", ended); !errors.Is(err, context.Canceled) || asError(t, err).Op != jwtBearer {
		t.Errorf("%v", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RequestToken(t.Context(), url.Values{"grant_type": {jwtBearer}}); err == nil {
		t.Error("a closed manager asked for a token")
	}
}

// Kept by CacheBy, a grant of the application's own is asked for once, and anew after a
// refusal by the API.
func TestRequestedTokenIsKeptByCacheBy(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	n := 0
	p.Fail(coretest.Fault{Grant: jwtBearer, Times: coretest.Always, Body: `{"access_token":"a","expires_in":3600}`, Before: func() { n++ }})
	bearer := core.CacheBy(nil, core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		return req.Manager().RequestToken(ctx, url.Values{"grant_type": {jwtBearer}, "assertion": {"x"}})
	}))
	m := startClientManager(t, p.Config())
	for range 10 {
		byHand(t.Context(), t, m, bearer)
	}
	if n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	p.Advance(2 * time.Hour)
	byHand(t.Context(), t, m, bearer)
	if n != 2 {
		t.Errorf("%d requests after the expiry, want 2", n)
	}
	if _, err := bearer.RetrieveToken(m.NewContext(t.Context(), coretest.NewSession()), core.TokenRequest{}); err != nil {
		t.Errorf("asked with a request of nobody's, the manager being the context's: %v", err)
	}
	if (core.TokenRequest{}).Manager() != nil {
		t.Error("a request of nobody's has a manager")
	}
}

// A token source serves a library that wants one: always the current token of the
// user whose context it was made with, and nothing once that context has ended.
func TestTokenSourceServesItsContextsUser(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice := r.signIn("alice")
	ctx, end := context.WithCancel(alice.as(r.m))
	source := r.m.TokenSource(ctx, core.UserToken())
	first, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	if tok := r.get(alice); first.AccessToken != tok.AccessToken || first.Type() != "Bearer" || !first.Expiry.Equal(tok.Expiry) || first.RefreshToken != "" {
		t.Errorf("%s token, expires %v", first.Type(), first.Expiry)
	}
	r.p.Advance(untilExpiry)
	second, err := source.Token()
	if err != nil || second.AccessToken == first.AccessToken {
		t.Errorf("after the expiry: %v", err)
	}
	end()
	tok, err := source.Token()
	if !errors.Is(err, context.Canceled) || tok != nil {
		t.Errorf("after its context: %v, %v", tok, err)
	}
	r.wantRefreshes(1)
}

// gRPC asks with the context of each call, so one connection serves all users, and
// never in the clear.
func TestPerRPCCredentialsCarryEachCallsUser(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	var uri string
	seeing := core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
		uri = req.HTTP.URL.String()
		return core.UserToken().RetrieveToken(ctx, req)
	})
	var credentials interface {
		GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error)
		RequireTransportSecurity() bool
	} = r.m.PerRPCCredentials(seeing)
	if !credentials.RequireTransportSecurity() {
		t.Error("tokens may travel in the clear")
	}
	for _, user := range []string{"alice", "bob", "alice"} {
		ctx := r.signIn(user)
		got, err := credentials.GetRequestMetadata(ctx, "https://orders.test/orders.v1.Orders")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"authorization": "Bearer " + r.get(ctx).AccessToken}, got); diff != "" {
			t.Errorf("%s: %s", user, diff)
		}
		if uri != "https://orders.test/orders.v1.Orders" {
			t.Errorf("the retriever saw %q", uri)
		}
	}
	broken := core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
		return &core.Token{AccessToken: "sentinel\n"}, nil
	})
	if got, err := r.m.PerRPCCredentials(broken).GetRequestMetadata(t.Context()); err == nil || strings.Contains(err.Error(), "sentinel") {
		t.Errorf("%v, %v", got, err)
	}
}

// A token goes into any request by hand.
func TestAuthorizeByHand(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(whoAmI)
	m := startClientManager(t, p.Config())
	q := newRequest(t.Context(), t, api.URL+"/me", nil)
	if err := machineToken(t, m).Authorize(q); err != nil {
		t.Fatal(err)
	}
	if status, body, err := do(t, http.DefaultClient, q); err != nil || status != http.StatusOK || body != p.Config().ClientID {
		t.Errorf("%d %q %v", status, body, err)
	}
}
