package core_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
)

// A host that only Unicode's rules for upper and lower case turn into ours is another
// one to the network (IDNA): nothing is sent there, and no token is asked for.
func TestLookalikeHostsGetNoToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base, target string
		same         bool
	}{
		{"https://api.kiwi.test/v1/", "https://API.Kiwi.test/v1/list", true},
		{"https://api.kiwi.test/v1/", "https://api.k\u0130wi.test/v1/list", false}, // I with a dot
		{"https://api.kiwi.test/v1/", "https://api.k\u0131wi.test/v1/list", false}, // i without one
		{"https://api.kiwi.test/v1/", "https://api.\u212aiwi.test/v1/list", false}, // Kelvin
		{"https://api.kiwi.test/v1/", "https://api.k%C4%B0wi.test/v1/list", false},
		{"https://api.kiwi.test/v1/", "https://api.%E2%84%AAiwi.test/v1/list", false},
		{"https://api.kiwi.test/v1/", "https://api.kiwi.te\u017ft/v1/list", false}, // long s
		{"https://api.k\u0130wi.test/v1/", "https://api.kiwi.test/v1/list", false},
		{"https://api.\u212aiwi.test/v1/", "https://api.kiwi.test/v1/list", false},
		{"https://api.\u212aiwi.test/v1/", "https://api.\u212aiwi.test/v1/list", true},
	} {
		asked, sent := false, false
		m := newClientManager(t, map[string]core.HTTPClient{"api": {
			BaseURL: test.base,
			Token: core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
				asked = true
				return &core.Token{AccessToken: "one"}, nil
			}),
			Base: &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
				sent = true
				return nil, errors.New("far enough")
			})},
		}})
		_, _, err := do(t, m.HTTPClient("api"), newRequest(t.Context(), t, test.target, nil))
		if asked != test.same || sent != test.same {
			t.Errorf("%+q from %+q: asked for a token %t, sent %t, %v", test.target, test.base, asked, sent, err)
		}
	}
}

// Servers drop blanks and control characters, cut parameters off a segment, and some
// decode what decodes only in part.
func TestPathsThatClimbForSomeServersAreRefused(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL+"/v1/orders/", tokensInTurn("one"))
	for _, target := range []string{
		"..;/admin", "..;x=y/admin", "%2e%2e;/admin", "%2e%2e%3b/admin", "..%253b/admin", "a/..;/..;/admin",
		"..%00/admin", "%2e%2e%00/admin", "..%2500/admin", "%00../admin",
		"..%20/admin", "%20../admin", "..%09/admin", "..%0a/admin", "..%7f/admin", "..%2520/admin", "..%20;x/admin",
		"%25zz/%252e%252e/%252e%252e/admin", "%25zz/..%252f..%252fadmin", "%25/%252e%252e/%252e%252e/admin",
	} {
		for _, prefix := range []string{"", "/", api.URL + "/v1/orders/"} {
			_, _, err := do(t, client, newRequest(t.Context(), t, prefix+target, nil))
			var e *core.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %v, want an *Error", prefix+target, err)
			}
		}
	}
	api.wantURIs(t)
	// What only looks like it stays below the base.
	good := []string{"a;x=y/b", "%25zz/%252e%252e/a", "a%20b/%20c", "..a;b/c", "100%25/..%2525"}
	want := make([]string, len(good))
	for i, target := range good {
		get(t.Context(), t, client, target)
		want[i] = "/v1/orders/" + strings.TrimPrefix(target, "/")
	}
	api.wantURIs(t, want...)
}
