package coretest

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
)

// SignedIn returns a context, made from the test's, in which a user has signed in:
// for code that runs below the handlers. The login is a real one, at the manager's
// provider, which must be a [Provider] of this package, with a session that lives
// in memory. It fails the test when the login fails.
func SignedIn(t testing.TB, m *core.Manager, user string) context.Context {
	t.Helper()
	ctx := t.Context()
	s := NewSession()
	address, err := m.StartLogin(ctx, s, core.LoginOptions{})
	if err != nil {
		t.Fatalf("coretest: login of %s: %v", user, err)
	}
	// What the form would send. Nothing of the provider's own session is wanted.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	form := strings.NewReader(url.Values{"user": {user}}.Encode())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, form)
	if err != nil {
		t.Fatalf("coretest: login of %s: %v", user, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("coretest: login of %s: %v", user, err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("coretest: login of %s: no authorization response, but %s", user, resp.Status)
	}
	if _, err := m.FinishLogin(ctx, s, back.Query()); err != nil {
		t.Fatalf("coretest: login of %s: %v", user, err)
	}
	return m.NewContext(ctx, s)
}
