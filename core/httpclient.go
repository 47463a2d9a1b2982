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
	name     string
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
		c := &namedClient{m: m, name: name, base: newBaseURL(u), token: h.Token, next: m.transport}
		if h.Base != nil {
			c.template = *h.Base
			if h.Base.Transport != nil {
				c.next = h.Base.Transport
			}
		}
		m.clients[name] = c
	}
}

// newTransport is Go's default one, tuned for many requests to one origin: its two
// idle connections for each host cost nearly half of the throughput.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
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
	if inner, ok := ctx.Value(ContextKey).(context.Context); ok {
		ctx = inner // what it came in may be recycled
	}
	client := c.template
	client.Transport = &boundTransport{namedClient: c, user: bindings(ctx), ctx: ctx}
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

// boundTransport makes its requests for one user, for as long as one context lasts.
type boundTransport struct {
	*namedClient
	user *binding // and those of other managers
	ctx  context.Context
}

var errRequestOver = errors.New("the request that this client was made for is over")

func (t *boundTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.ctx.Err() != nil {
		closeBody(r)
		return nil, &Error{Op: opClient, Err: fmt.Errorf("%w: %w", errRequestOver, context.Cause(t.ctx))}
	}
	if r.Context() == context.Background() {
		return t.roundTrip(context.WithValue(t.ctx, bindingKey{}, t.user), r)
	}
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), bindingKey{}, t.user))
	stop := context.AfterFunc(t.ctx, func() { cancel(errRequestOver) })
	release := func() { stop(); cancel(nil) }
	resp, err := t.roundTrip(ctx, r)
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = releasing(resp.Body, release)
	return resp, nil
}
