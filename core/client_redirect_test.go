package core_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
)

// redirecting is a handler that sends the browser from one path to another place.
func redirecting(status int, from, location string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == from {
			w.Header().Set("Location", location)
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, "arrived")
	}
}

// A redirect resolves by RFC 3986, against the URL that was really asked for, however
// the caller wrote it.
func TestRedirectBelowBaseIsFollowedWithToken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ location, want string }{
		{"other", "/v1/a/other"},
		{"./other", "/v1/a/other"},
		{"../other", "/v1/other"},
		{"/v1/other", "/v1/other"},
		{"?page=2", "/v1/a/b?page=2"},
		{"other?x=%2F#part", "/v1/a/other?x=%2F"},
		{"a%2Fb", "/v1/a/a%2Fb"},
		{"http://HOST/v1/other", "/v1/other"},
		{"//HOST/v1/other", "/v1/other"},
	} {
		for _, target := range []string{"a/b", "/a/b", "BASE/a/b"} {
			var api *clientAPI
			api = newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
				host := strings.TrimPrefix(api.URL, "http://")
				if len(api.requests()) == 1 {
					w.Header().Set("Location", strings.Replace(test.location, "HOST", host, 1))
					w.WriteHeader(http.StatusFound)
					return
				}
				_, _ = io.WriteString(w, "arrived")
			})
			client := newNamedClient(t, api.URL+"/v1/", tokensInTurn("one"))
			target := strings.Replace(target, "BASE", api.URL+"/v1", 1)
			if status, body := get(t.Context(), t, client, target); status != http.StatusOK || body != "arrived" {
				t.Errorf("%s, then %q: %d %s", target, test.location, status, body)
			}
			api.wantURIs(t, "/v1/a/b", test.want)
			api.wantTokens(t, "one", "one")
		}
	}
}

func TestRedirectsElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	other := newClientAPI(t, nil)
	otherHost := strings.TrimPrefix(other.URL, "http://")
	for _, location := range []string{
		other.URL + "/v1/list", // another port, which is another origin
		"//" + otherHost + "/v1/list",
		strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/v1/list",
		"http://user:password@HOST/v1/list",
		"https://HOST/v1/list",
		"ftp://HOST/v1/list",
		"javascript:alert(1)",
		"/",
		"/v1evil/",
		"/admin",
		"../admin",
		"%2e%2e/admin",
		"/v1/..%2fadmin",
		"/v1/%252e%252e/admin",
		`..\admin`,
	} {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			var api *clientAPI
			api = newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
				host := strings.TrimPrefix(api.URL, "http://")
				w.Header().Set("Location", strings.Replace(location, "HOST", host, 1))
				w.WriteHeader(status)
			})
			m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL + "/v1/", Token: tokensInTurn("secret")}})
			for name, client := range map[string]*http.Client{
				"HTTPClient": m.HTTPClient("api"), "HTTPClientFor": m.HTTPClientFor(t.Context(), "api"),
			} {
				before := len(api.requests())
				_, _, err := do(t, client, newRequest(t.Context(), t, "POST list", strings.NewReader("body")))
				if err == nil || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %d to %q: %v", name, status, location, err)
				}
				if got := len(api.requests()) - before; got != 1 {
					t.Errorf("%s: %d to %q: %d requests", name, status, location, got)
				}
			}
		}
	}
	other.wantURIs(t)
}

// From https to http on the same host is the redirect that a proxy in front of an API
// gets wrong most often.
func TestRedirectToPlainHTTPIsRefused(t *testing.T) {
	t.Parallel()
	plain := newClientAPI(t, nil)
	api := startClientAPI(t, redirecting(http.StatusMovedPermanently, "/v1/list", plain.URL+"/v1/list"), (*httptest.Server).StartTLS)
	m := newClientManager(t, map[string]core.HTTPClient{
		"api": {BaseURL: api.URL + "/v1", Token: tokensInTurn("secret"), Base: api.Client()},
	})
	_, _, err := do(t, m.HTTPClient("api"), newRequest(t.Context(), t, "list", nil))
	var e *core.Error
	if !errors.As(err, &e) {
		t.Errorf("%v, want an *Error", err)
	}
	api.wantTokens(t, "secret")
	plain.wantURIs(t)
}

func TestRedirectReplaysBody(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]clientRequest{
		http.StatusTemporaryRedirect: {Method: http.MethodPost, URI: "/v1/other", Body: "body"},
		http.StatusPermanentRedirect: {Method: http.MethodPost, URI: "/v1/other", Body: "body"},
		http.StatusSeeOther:          {Method: http.MethodGet, URI: "/v1/other"},
	} {
		api := newClientAPI(t, redirecting(status, "/v1/list", "other"))
		client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one"))
		if _, body, err := do(t, client, newRequest(t.Context(), t, "POST list", strings.NewReader("body"))); body != "arrived" {
			t.Errorf("%d: %q, %v", status, body, err)
		}
		got := api.requests()[len(api.requests())-1]
		got.Header = nil
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d: %s", status, diff)
		}
		api.wantTokens(t, "one", "one")
	}
}

// A step of a redirect may need another token, which gets its one retry.
func TestRedirectedRequestIsRetried(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/list" {
			http.Redirect(w, r, "other", http.StatusTemporaryRedirect)
			return
		}
		accepting("two")(w, r)
	})
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one", "two"))
	status, body, err := do(t, client, newRequest(t.Context(), t, "POST list", strings.NewReader("body")))
	if status != http.StatusOK || body != "welcome" {
		t.Errorf("%d %s, %v", status, body, err)
	}
	api.wantURIs(t, "/v1/list", "/v1/other", "/v1/other")
	api.wantTokens(t, "one", "one", "two")
	if got := api.requests()[2].Body; got != "body" {
		t.Errorf("the last body was %q", got)
	}
}

func TestEndlessRedirectsEnd(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	})
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	if _, _, err := do(t, client, newRequest(t.Context(), t, "list", nil)); err == nil {
		t.Error("no error")
	}
	if got := len(api.requests()); got != 10 {
		t.Errorf("%d requests, want net/http's 10", got)
	}
}

// A renewal that was forced for a request is not made again for each step of its
// redirects. Which token is wanted stays the same.
func TestForcedRenewalIsForFirstStepOnly(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, redirecting(http.StatusFound, "/list", "/other"))
	var asked []core.TokenRequest
	client := newNamedClient(t, api.URL, core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		asked = append(asked, req)
		return &core.Token{AccessToken: "one"}, nil
	}))
	ctx := core.WithOptions(t.Context(), core.WithForceRenewal(), core.WithResource("urn:orders"))
	get(ctx, t, client, "list")
	if len(asked) != 2 || !asked[0].ForceRenewal || asked[1].ForceRenewal {
		t.Fatalf("asked %v", asked)
	}
	if asked[1].Resource != "urn:orders" {
		t.Errorf("the second step asked for %v", asked[1])
	}
}
