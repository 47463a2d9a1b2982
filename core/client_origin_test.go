package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/core"
)

func TestRelativeURLsAreBelowBase(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ base, target, want string }{
		{"/v1/", "list", "/v1/list"},
		{"/v1/", "/list", "/v1/list"},
		{"/v1", "list", "/v1/list"},
		{"/v1", "/list", "/v1/list"},
		{"", "list", "/list"},
		{"", "/list", "/list"},
		{"/", "list", "/list"},
		{"/v1", "/v1/list", "/v1/v1/list"},
		{"/v1", "", "/v1/"},
		{"/v1", "/", "/v1/"},
		{"", "", "/"},
		{"/v1", "?a=b", "/v1/?a=b"},
		{"/v1", "list?a=b&a=c&d=%20+%2F", "/v1/list?a=b&a=c&d=%20+%2F"},
		{"/v1", "list?", "/v1/list?"},
		{"/v1", "list?next=https://evil.test/../..", "/v1/list?next=https://evil.test/../.."},
		{"/v1", "list#part", "/v1/list"},
		{"/v1", "a/b/c/", "/v1/a/b/c/"},
		{"/v1", "a%2Fb", "/v1/a%2Fb"},
		{"/v1", "a%20b", "/v1/a%20b"},
		{"/v1", "a%3Fb", "/v1/a%3Fb"},
		{"/v1", "100%25", "/v1/100%25"},
		{"/v1", "a%252Fb", "/v1/a%252Fb"},
		{"/v1", "%C3%BC", "/v1/%C3%BC"},
		{"/v1", "file.tar.gz", "/v1/file.tar.gz"},
		{"/v1", "..rc/...", "/v1/..rc/..."},
		{"/v1", "./a:b", "/v1/./a:b"},
		{"/v1", "a/../b", "/v1/a/../b"},
		{"/a%2Fb/", "c%2Fd", "/a%2Fb/c%2Fd"},
		{"/a%20b", "c", "/a%20b/c"},
	} {
		api := newClientAPI(t, nil)
		client := newNamedClient(t, api.URL+test.base, tokensInTurn("one"))
		if _, _, err := do(t, client, newRequest(t.Context(), t, test.target, nil)); err != nil {
			t.Errorf("%q below %q: %v", test.target, test.base, err)
			continue
		}
		if got := api.requests()[0].URI; got != test.want {
			t.Errorf("%q below %q is %s, want %s", test.target, test.base, got, test.want)
		}
	}
}

func TestAbsoluteURLsBelowBase(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	host := strings.TrimPrefix(api.URL, "http://")
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one"))
	for target, want := range map[string]string{
		"http://" + host + "/v1/list?a=b": "/v1/list?a=b",
		"HTTP://" + host + "/v1/list":     "/v1/list",
		"http://" + host + "/v1/":         "/v1/",
		"http://" + host + "/v1":          "/v1",
		"http://" + host + "/v1?a=b":      "/v1?a=b",
		"http://" + host + "/v1/a%2Fb":    "/v1/a%2Fb",
	} {
		before := len(api.requests())
		if _, _, err := do(t, client, newRequest(t.Context(), t, target, nil)); err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if got := api.requests()[before].URI; got != want {
			t.Errorf("%s arrived as %s, want %s", target, got, want)
		}
	}
}

// An origin is the same however it is written.
func TestOriginsAreComparedAsSuch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		base, target string
		below        bool
	}{
		{"https://api.test/v1", "https://API.Test/v1/list", true},
		{"https://API.test/v1", "https://api.test/v1/list", true},
		{"https://api.test/v1", "https://api.test:443/v1/list", true},
		{"https://api.test:443/v1", "https://api.test/v1/list", true},
		{"https://api.test:8443/v1", "https://api.test:8443/v1/list", true},
		{"https://api.test/v1", "https://api.test:8443/v1/list", false},
		{"https://api.test/v1", "https://api.test:80/v1/list", false},
		{"https://api.test/v1", "https://api.test./v1/list", false},
		{"https://api.test/v1", "https://api.test.evil.test/v1/list", false},
		{"https://api.test/v1", "https://evil.test/v1/list", false},
		{"https://api.test/v1", "http://api.test/v1/list", false},
		{"https://api.test/v1", "http://api.test:443/v1/list", false},
		{"https://api.test/v1", "wss://api.test/v1/list", false},
		{"https://api.test/v1", "https:api.test/v1/list", false},
		{"https://api.test/v1", "https:///v1/list", false},
		{"http://127.0.0.1/v1", "http://127.0.0.1:80/v1/list", true},
		{"http://127.0.0.1/v1", "http://localhost/v1/list", false},
		{"http://[::1]:8080/v1", "http://[::1]:8080/v1/list", true},
		{"http://[::1]:8080/v1", "http://[::1]/v1/list", false},
	} {
		var sent []string
		base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.URL.String())
			return nil, errors.New("far enough")
		})}
		m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: test.base, Token: tokensInTurn("one"), Base: base}})
		_, _, err := do(t, m.HTTPClient("api"), newRequest(t.Context(), t, test.target, nil))
		if (len(sent) == 1) != test.below {
			t.Errorf("%s from %s: sent %q, %v", test.target, test.base, sent, err)
		}
	}
}

// Whatever could lead above or beside the base, by whatever rules the server decodes
// it, is not sent, and no token is asked for.
func TestURLsElsewhereAreRefused(t *testing.T) {
	t.Parallel()
	evil := newClientAPI(t, nil)
	evilHost := strings.TrimPrefix(evil.URL, "http://")
	api := newClientAPI(t, nil)
	host := strings.TrimPrefix(api.URL, "http://")
	asked := false
	m := newClientManager(t, map[string]core.HTTPClient{"api": {
		BaseURL: api.URL + "/v1/orders/",
		Token: core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			asked = true
			return &core.Token{AccessToken: "one"}, nil
		}),
	}})
	for _, target := range []string{
		evil.URL,
		evil.URL + "/v1/orders/list",
		"//" + evilHost + "/v1/orders/list",
		"//" + evilHost,
		"https://" + host + "/v1/orders/list",
		"http://" + strings.Replace(host, "127.0.0.1", "localhost", 1) + "/v1/orders/list",
		"http://@" + host + "/v1/orders/list",
		"http://user:password@" + host + "/v1/orders/list",
		"http://" + host + "@" + evilHost + "/v1/orders/list",
		"//user@" + host + "/v1/orders/list",
		"http:list",
		"http:/v1/orders/list",
		"http://" + host,
		"http://" + host + "/",
		"http://" + host + "/v1",
		"http://" + host + "/v1/",
		"http://" + host + "/v1/ordersX",
		"http://" + host + "/v1/ORDERS/list",
		"http://" + host + "/v1/customers",
		"http://" + host + "//v1/orders/list",
		"http://" + host + "/v1/orders/..",
		"http://" + host + "/v1/orders/../customers",
		"http://" + host + "/v1/orders/a/../../customers",
		"http://" + host + "/v1/orders/%2e%2e/customers",
		"http://" + host + "/v1/orders%2F..%2Fcustomers",
		"http://" + host + "/v1%2Forders/list", // for many servers one segment, which is not ours
		"http://" + host + "/v1/../v1/orders/list",
		"..",
		"../",
		"../customers",
		"/..",
		"/../customers",
		"a/../../customers",
		"./../customers",
		"a/./../../customers",
		"%2e%2e/customers",
		"%2E%2E/customers",
		".%2e/customers",
		"%2e./customers",
		"..%2fcustomers",
		"..%2Fcustomers",
		"a/..%2f../customers",
		"%2e%2e%2fcustomers",
		"%252e%252e/customers",
		"%252e%252e%252fcustomers",
		"%25252e%25252e/customers",
		"..%5ccustomers",
		"%2e%2e%5ccustomers",
		"..%255ccustomers",
		`..\customers`,
		`\..\customers`,
		`a\..\..\customers`,
		`/\../customers`,
		"//../customers",
		"a//../../../customers",
		"..;/customers",
		"..;a=b/customers",
		"%2e%2e;/customers",
		"..%3b/customers",
		"..%00/customers",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Errorf("%q: %v", target, err)
			continue
		}
		for name, client := range map[string]*http.Client{
			"HTTPClient": m.HTTPClient("api"), "HTTPClientFor": m.HTTPClientFor(t.Context(), "api"),
		} {
			body := &closedBody{Reader: strings.NewReader("body")}
			r := newRequest(t.Context(), t, "POST x", body)
			r.URL, r.Host = u, u.Host
			_, _, err := do(t, client, r)
			var e *core.Error
			if !errors.As(err, &e) {
				t.Errorf("%s: %q: %v, want an *Error", name, target, err)
			}
			if body.closed.Load() == 0 {
				t.Errorf("%s: %q: the body was not closed", name, target)
			}
			if asked {
				t.Errorf("%s: %q: a token was asked for", name, target)
				asked = false
			}
		}
	}
	evil.wantURIs(t)
	api.wantURIs(t)
}

// A slash within a segment of the base, as in GitLab's names of projects, is not the
// one between two.
func TestEncodedSlashOfBaseIsNoSlash(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL+"/projects/group%2Fname/", tokensInTurn("one"))
	get(t.Context(), t, client, "issues")
	get(t.Context(), t, client, api.URL+"/projects/group%2Fname/issues")
	get(t.Context(), t, client, api.URL+"/projects/group%2fname/issues")
	for _, target := range []string{"/projects/group/name/issues", "/projects%2Fgroup%2Fname/issues", "/projects/group%252Fname/issues"} {
		if _, _, err := do(t, client, newRequest(t.Context(), t, api.URL+target, nil)); err == nil {
			t.Errorf("%s was sent", target)
		}
	}
	api.wantURIs(t, "/projects/group%2Fname/issues", "/projects/group%2Fname/issues", "/projects/group%2fname/issues")
}

// Without a path the base is the whole origin, but nothing beside it.
func TestBaseWithoutPathIsWholeOrigin(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	for _, target := range []string{"/a", "a", api.URL, api.URL + "/a", api.URL + "?a=b"} {
		if _, _, err := do(t, client, newRequest(t.Context(), t, target, nil)); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	for _, target := range []string{"@evil.test/", "//evil.test/", "https://evil.test", "/../a", "%2e%2e/a"} {
		before := len(api.requests())
		_, _, err := do(t, client, newRequest(t.Context(), t, target, nil))
		if after := api.requests()[before:]; target == "@evil.test/" {
			// A file of an odd name, on our side of it.
			if err != nil || len(after) != 1 || after[0].URI != "/@evil.test/" {
				t.Errorf("%s: %v, %v", target, after, err)
			}
		} else if err == nil || len(after) != 0 {
			t.Errorf("%s: %v, %v", target, after, err)
		}
	}
}

// The Host header decides where a shared server, or a proxy, takes a request.
func TestHostHeaderIsTheBases(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one"))
	host := strings.TrimPrefix(api.URL, "http://")
	for _, test := range []struct {
		target, host string
		sent         bool
	}{
		{"list", "", true},
		{"list", "evil.test", false},
		{api.URL + "/v1/list", host, true},
		{api.URL + "/v1/list", "", true},
		{api.URL + "/v1/list", "evil.test", false},
	} {
		r := newRequest(t.Context(), t, test.target, nil)
		r.Host = test.host
		before := len(api.requests())
		_, _, err := do(t, client, r)
		if sent := len(api.requests()) > before; sent != test.sent || sent != (err == nil) {
			t.Errorf("%s with Host %q: sent %t, %v", test.target, test.host, sent, err)
		}
	}
}

// A URL that was not parsed but put together can hold what Parse would not.
func TestHandmadeURLs(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	host := strings.TrimPrefix(api.URL, "http://")
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one"))
	for name, u := range map[string]*url.URL{
		"opaque":                    {Scheme: "http", Opaque: "//evil.test/v1/list"},
		"opaque below":              {Scheme: "http", Host: host, Opaque: "//evil.test/v1/list", Path: "/v1/list"},
		"relative opaque":           {Opaque: "//evil.test/v1/list"},
		"raw path above":            {Scheme: "http", Host: host, Path: "/v1/list", RawPath: "/admin"},
		"raw path with dots":        {Path: "a/../../b", RawPath: "a/%2e%2e/%2e%2e/b"},
		"host only":                 {Host: host, Path: "/v1/list"},
		"scheme only":               {Scheme: "http", Path: "/v1/list"},
		"no slash after the host":   {Scheme: "http", Host: host, Path: "v1/list"},
		"a slash in the host":       {Scheme: "http", Host: host + "/v1", Path: "/v1/list"},
		"user information in front": {Scheme: "http", Host: "user@" + host, Path: "/v1/list"},
	} {
		before := len(api.requests())
		r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}
		_, _, err := do(t, client, r.WithContext(t.Context()))
		for _, seen := range api.requests()[before:] {
			if !strings.HasPrefix(seen.URI, "/v1/") || strings.Contains(seen.URI, "..") {
				t.Errorf("%s: %s arrived", name, seen.URI)
			}
		}
		if name == "raw path above" {
			continue // net/url itself ignores a RawPath that does not fit
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A token for a server on plain http is for loopback, or an explicit wish.
func TestPlainHTTPIsAWish(t *testing.T) {
	t.Parallel()
	cfg := core.Config{
		ClientID:  "app",
		Endpoints: &core.Endpoints{Token: "https://login.test/token"},
		HTTPClients: map[string]core.HTTPClient{
			"api": {BaseURL: "http://api.test/", Token: tokensInTurn("one"), AllowHTTP: true},
		},
	}
	if _, err := core.New(t.Context(), cfg); err != nil {
		t.Errorf("allowed, but %v", err)
	}
}
