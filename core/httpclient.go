package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// HTTPClient describes a named client: one API, and the token it takes.
type HTTPClient struct {
	// BaseURL is a directory: "list" and "/list" are both below it, with or without
	// its trailing slash. The token goes nowhere above or beside it. Required.
	BaseURL string
	// Token finds the token for each request. Required.
	Token TokenRetriever
	// Base is the client whose transport, timeout and redirect policy are used; nil: a
	// transport tuned for one busy origin, and no timeout but the request's context.
	// One with a cookie jar is refused: it would mix users.
	Base *http.Client
	// AllowHTTP allows a BaseURL of plain http that is not loopback.
	AllowHTTP bool
}

func (h HTTPClient) check(name string) error {
	field := fmt.Sprintf("Config.HTTPClients[%q]", name)
	u, err := url.Parse(h.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return configError("%s.BaseURL: %q is not an absolute URL such as https://api.example.com/orders/", field, h.BaseURL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return configError("%s.BaseURL has user information, a query or a fragment: it is a directory", field)
	case u.Scheme == "http" && !h.AllowHTTP && !loopback(u.Hostname()):
		return configError("%s.BaseURL: %q is not https; set AllowHTTP if tokens may travel in the clear", field, h.BaseURL)
	case !localAlways(strings.TrimSuffix(u.EscapedPath(), "/") + "/"):
		return configError("%s.BaseURL: %q has dot segments or empty ones", field, h.BaseURL)
	case h.Token == nil:
		return configError("%s.Token is nil: say which token it carries, such as core.UserToken()", field)
	case h.Base != nil && h.Base.Jar != nil:
		return configError("%s.Base has a cookie jar: it would carry one user's cookies to another", field)
	}
	return nil
}

// namedClient is what a name stands for: stateless, and shared by everybody.
type namedClient struct {
	m        *Manager
	base     baseURL
	token    TokenRetriever
	template http.Client // without its transport
	next     http.RoundTripper
}

func (m *Manager) nameClients() {
	m.clients = make(map[string]*namedClient, len(m.cfg.HTTPClients))
	m.transport = newTransport()
	for name, h := range m.cfg.HTTPClients {
		u, _ := url.Parse(h.BaseURL) // checked
		c := &namedClient{m: m, base: newBaseURL(u), token: h.Token, next: m.transport}
		if h.Base != nil {
			c.template = *h.Base
			if h.Base.Transport != nil {
				c.next = h.Base.Transport
			}
		}
		m.clients[name] = c
	}
}

// defaultTransport is a copy of Go's default one, or one like it where the program has
// put another in its place.
func defaultTransport() *http.Transport {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 100,
		IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}
}

// newTransport is Go's default one, tuned for many requests to one origin: its two
// idle connections for each host cost nearly half of the throughput.
func newTransport() *http.Transport {
	t := defaultTransport()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 5 * time.Second
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = 512
	return t
}

// HTTPClient returns the client of that name. It may be kept and shared: each
// request is made for the user of its own context, so use
// http.NewRequestWithContext. The client
//
//   - resolves relative URLs below its BaseURL and refuses all others, redirects
//     included;
//   - sends nothing when it can get no token: the error is inside the *url.Error;
//   - after a 401 gets another token and tries once more, if the body can be sent
//     again and there is another token to be had; a second 401 is returned;
//   - owns the Authorization header.
//
// With an unknown name every call fails, naming the clients there are.
func (m *Manager) HTTPClient(name string) *http.Client {
	if m == nil {
		return failing(ErrNoManager)
	}
	c := m.clients[name]
	if c == nil {
		return failing(m.unknownClient(name))
	}
	client := c.template
	client.Transport = (*clientTransport)(c)
	return &client
}

// HTTPClientFor is [Manager.HTTPClient] bound to the user of ctx, so that
// Get("list") needs no context. It ends with ctx: kept for later every call fails.
func (m *Manager) HTTPClientFor(ctx context.Context, name string) *http.Client {
	if m == nil {
		return failing(ErrNoManager)
	}
	c := m.clients[name]
	if c == nil {
		return failing(m.unknownClient(name))
	}
	t := &boundTransport{namedClient: c, user: bindings(ctx), request: ctx}
	t.options, _ = ctx.Value(optionsKey{}).([]TokenOption)
	if inner, ok := ctx.Value(ContextKey).(context.Context); ok {
		t.request, t.derived = inner, ctx // what ctx came from may be recycled
	}
	client := c.template
	client.Transport = t
	return &client
}

func (m *Manager) unknownClient(name string) error {
	names := slices.Sorted(maps.Keys(m.clients))
	if len(names) == 0 {
		return &Error{Op: opClient, Err: fmt.Errorf("no client is named %q: Config.HTTPClients is empty", name)}
	}
	return &Error{Op: opClient, Err: fmt.Errorf("no client is named %q: there are %s", name, strings.Join(names, ", "))}
}

func failing(err error) *http.Client {
	return &http.Client{Transport: failingTransport{err}}
}

type failingTransport struct{ err error }

func (t failingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	closeBody(r)
	return nil, t.err
}

// boundTransport makes its requests for one user, for as long as one request lasts.
type boundTransport struct {
	*namedClient
	user    *binding // and those of other managers
	options []TokenOption
	request context.Context
	derived context.Context // from request, or nil: it ends the client as well
}

var errRequestOver = errors.New("the request that this client was made for is over")

func (t *boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, ctx := range []context.Context{t.request, t.derived} {
		if ctx != nil && ctx.Err() != nil {
			closeBody(r)
			return nil, &Error{Op: opClient, Err: fmt.Errorf("%w: %w", errRequestOver, context.Cause(ctx))}
		}
	}
	ctx := r.Context()
	own := ctx != context.Background() // Get and its like have none
	if !own {
		ctx = t.request
	}
	ctx = context.WithValue(ctx, bindingKey{}, t.user)
	if !own && len(t.options) > 0 {
		ctx = context.WithValue(ctx, optionsKey{}, t.options)
	}
	if !own && (t.derived == nil || t.derived.Done() == nil) {
		return t.roundTrip(ctx, r)
	}
	return t.roundTripWithin(ctx, r)
}

// roundTripWithin also ends with the request, and what was derived from it.
func (t *boundTransport) roundTripWithin(ctx context.Context, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	over := func() { cancel(errRequestOver) }
	stopRequest, stopDerived := context.AfterFunc(t.request, over), func() bool { return true }
	if t.derived != nil {
		stopDerived = context.AfterFunc(t.derived, over)
	}
	release := func() { stopRequest(); stopDerived(); cancel(nil) }
	resp, err := t.roundTrip(ctx, r)
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = releasing(resp.Body, release)
	return resp, nil
}
