package core_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// derivedFrom returns a framework's own context, which answers to string keys only, of
// the request that ctx is of.
func derivedFrom(ctx context.Context) context.Context {
	framework := &recycled{Context: context.Background()}
	framework.request.Store(&ctx)
	return framework
}

// A ticket that was put into a framework's own context counts, not the user of the
// request below.
func TestClientForTicketInFrameworksContext(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice, bob := coretest.SignedIn(t, m, "alice"), coretest.SignedIn(t, m, "bob")
	ticket, err := m.Ticket(bob)
	if err != nil {
		t.Fatal(err)
	}
	job := m.WithTicket(derivedFrom(alice), ticket)
	if user, err := m.User(job); err != nil || user.Subject != "bob" {
		t.Errorf("%v, %v", user, err)
	}
	client := m.HTTPClientFor(job, "api")
	for name, ctx := range map[string]context.Context{"no": context.Background(), "alice's": alice, "the framework's": derivedFrom(alice)} {
		if _, body := get(ctx, t, client, "me"); body != "bob" {
			t.Errorf("bob's client, used with %s context, is %s's", name, body)
		}
	}
	if _, body := get(context.Background(), t, m.HTTPClientFor(derivedFrom(alice), "api"), "me"); body != "alice" {
		t.Errorf("alice's client is %s's", body)
	}
}

// A client ends with the context that it was made for, derived from a framework's own
// or not: before a request and in the middle of one.
func TestClientForEndsWithDerivedContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	api := newClientAPI(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one")}})
	for _, side := range []string{"the derived context", "the request below"} {
		request, endRequest := context.WithCancel(t.Context())
		derived, endDerived := context.WithCancel(derivedFrom(request))
		client := m.HTTPClientFor(derived, "api")
		failed := make(chan error, 1)
		go func() {
			_, _, err := do(t, client, newRequest(context.Background(), t, "/", nil))
			failed <- err
		}()
		waitFor(t, "the request", arrived)
		if side == "the derived context" {
			endDerived()
		} else {
			endRequest()
		}
		if err := waitFor(t, "the end of the call", failed); err == nil {
			t.Errorf("%s: the call has gone on", side)
		}
		_, _, err := do(t, client, newRequest(t.Context(), t, "/", nil))
		if err == nil || !strings.Contains(err.Error(), "is over") {
			t.Errorf("%s: a later call: %v", side, err)
		}
		endDerived()
		endRequest()
	}
	api.wantURIs(t, "/", "/")
}

// WithOptions over a framework's own context is for the requests of the client that
// is made with it.
func TestClientForOptionsOfDerivedContext(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	var resources []string
	m := newClientManager(t, map[string]core.HTTPClient{"api": {
		BaseURL: api.URL,
		Token: core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
			resources = append(resources, req.Resource)
			return &core.Token{AccessToken: "one"}, nil
		}),
	}})
	ctx := core.WithOptions(derivedFrom(t.Context()), core.WithResource("urn:orders"))
	get(context.Background(), t, m.HTTPClientFor(ctx, "api"), "list")
	get(context.Background(), t, m.HTTPClientFor(derivedFrom(ctx), "api"), "list")
	get(context.Background(), t, m.HTTPClientFor(derivedFrom(t.Context()), "api"), "list")
	if got := strings.Join(resources, ","); got != "urn:orders,urn:orders," {
		t.Errorf("resources asked for: %q", got)
	}
}
