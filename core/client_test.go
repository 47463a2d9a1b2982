package core_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// whoAmI is a handler behind coretest's Protect.
var whoAmI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, coretest.TokenOf(r).Subject)
})

func TestClientCarriesUsersToken(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	var mu sync.Mutex
	var seen []string
	api := p.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Values("Authorization")...)
		whoAmI(w, r)
	}))
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	for range 2 {
		if status, body := get(alice, t, m.HTTPClient("api"), "list"); status != http.StatusOK || body != "alice" {
			t.Errorf("%d %s", status, body)
		}
	}
	tok, err := m.GetUserAccessToken(alice)
	if err != nil {
		t.Fatal(err)
	}
	want := "Bearer " + tok.AccessToken
	if diff := cmp.Diff([]string{want, want}, seen); diff != "" {
		t.Error(diff)
	}
	if got := p.Grants("refresh_token"); got != 0 {
		t.Errorf("%d refreshes", got)
	}
}

func TestClientCarriesTokenOfCustomRetriever(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	for range 2 {
		get(t.Context(), t, client, "list")
	}
	api.wantTokens(t, "one", "one")
}

func TestClientWritesTokenTypeAsStandardsDo(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{"": "Bearer x", "beareR": "Bearer x", "dPoP": "DPoP x", "mac": ""} {
		api := newClientAPI(t, nil)
		client := newNamedClient(t, api.URL, core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return &core.Token{AccessToken: "x", Type: given}, nil
		}))
		_, _, err := do(t, client, newRequest(t.Context(), t, "/", nil))
		got := ""
		if seen := api.requests(); len(seen) > 0 {
			got = seen[0].Header.Get("Authorization")
		}
		if got != want || (err == nil) != (want != "") {
			t.Errorf("token type %q: Authorization %q, %v; want %q", given, got, err, want)
		}
	}
}

// Nothing is sent without a token: the typed error is inside the *url.Error.
func TestClientSendsNothingWithoutToken(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		retriever core.TokenRetriever
		want      error
	}{
		"nobody signed in": {core.UserToken(), core.ErrLoginRequired},
		"an error": {core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return nil, broken
		}), broken},
		"a token and an error": {core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return &core.Token{AccessToken: "half"}, broken
		}), broken},
		"neither": {core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return nil, nil
		}), nil},
		"an empty token": {core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return &core.Token{}, nil
		}), nil},
		"a token with a line break": {core.RetrieverFunc(func(context.Context, core.TokenRequest) (*core.Token, error) {
			return &core.Token{AccessToken: "secret\r\nX-Admin: yes"}, nil
		}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newClientAPI(t, nil)
			m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: test.retriever}})
			for kind, client := range map[string]*http.Client{
				"HTTPClient": m.HTTPClient("api"), "HTTPClientFor": m.HTTPClientFor(t.Context(), "api"),
			} {
				body := &closedBody{Reader: strings.NewReader("secret")}
				_, _, err := do(t, client, newRequest(t.Context(), t, "POST list", body))
				var ue *url.Error
				if !errors.As(err, &ue) || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v in an *url.Error", kind, err, test.want)
				}
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), "secret") {
					t.Errorf("%s: the error repeats the token: %v", kind, err)
				}
				if body.closed.Load() == 0 {
					t.Errorf("%s: the body was not closed", kind)
				}
			}
			api.wantURIs(t)
		})
	}
}

// closedBody is a body that cannot be sent again, and that counts how often it is
// closed.
type closedBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *closedBody) Close() error {
	b.closed.Add(1)
	return nil
}

func TestClientSendsNothingWhenRefreshTokenIsDead(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, nil)
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.RevokeGrants("alice")
	p.Advance(2 * time.Hour)
	for range 2 {
		_, _, err := do(t, m.HTTPClient("api"), newRequest(alice, t, "list", nil))
		if !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%v, want ErrLoginRequired", err)
		}
	}
	api.wantURIs(t)
}

func TestClientLeavesCallersRequestAlone(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("two"))
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one", "two"))
	for _, target := range []string{"POST list?a=b", "POST " + api.URL + "/v1/list"} {
		r := newRequest(t.Context(), t, target, strings.NewReader("body"))
		r.Header.Set("Authorization", "Basic caller")
		r.Header["X-Many"] = []string{"1", "2"}
		header, body := r.Header, r.Body
		before := fmt.Sprintf("%p %v %s %d %q", r.URL, r.URL, r.Host, r.ContentLength, r.Header)
		if _, _, err := do(t, client, r); err != nil {
			t.Fatal(err)
		}
		if after := fmt.Sprintf("%p %v %s %d %q", r.URL, r.URL, r.Host, r.ContentLength, r.Header); after != before {
			t.Errorf("the request was\n%s\nand is\n%s", before, after)
		}
		header.Set("X-Probe", "1")
		if r.Header.Get("X-Probe") == "" || r.Body != body {
			t.Error("the request has another header map or body")
		}
	}
	if got := api.requests()[0].Header.Values("X-Many"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("X-Many arrived as %q", got)
	}
}

// A header map that is shared between requests at the same time is only read.
func TestClientReadsSharedHeaderMap(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	shared := http.Header{"X-Api-Version": {"2"}, "Authorization": {"Basic caller"}}
	var wg sync.WaitGroup
	for range 8 {
		r := newRequest(t.Context(), t, "list", nil)
		r.Header = shared
		wg.Go(func() {
			if _, _, err := do(t, client, r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if shared.Get("Authorization") != "Basic caller" {
		t.Errorf("%q", shared)
	}
}

func TestClientReplacesCallersAuthorization(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL, tokensInTurn("ours"))
	for _, header := range []http.Header{
		{"Authorization": {"Basic caller"}},
		{"Authorization": {"Basic caller", "Bearer another"}},
		{"authorization": {"Basic caller"}}, // not in canonical form: it would go out beside ours
		{"AUTHORIZATION": {"Basic caller"}, "Authorization": {"Basic caller"}},
		nil,
	} {
		r := newRequest(t.Context(), t, "list", nil)
		r.Header = header
		if _, _, err := do(t, client, r); err != nil {
			t.Fatal(err)
		}
		got := api.requests()[len(api.requests())-1].Header.Values("Authorization")
		if diff := cmp.Diff([]string{"Bearer ours"}, got); diff != "" {
			t.Errorf("%v: %s", header, diff)
		}
	}
}

func TestResponseShowsNoToken(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("secret-2"))
	client := newNamedClient(t, api.URL+"/v1/", tokensInTurn("secret-1", "secret-2"))
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "mine")
	for target, want := range map[string]string{
		"list":                 api.URL + "/v1/list",
		api.URL + "/v1/item/1": api.URL + "/v1/item/1",
	} {
		r := newRequest(ctx, t, target, nil)
		r.Header.Set("X-Mine", "1")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		shown := resp.Request
		if shown.Header.Get("X-Mine") != "1" || shown.Context().Value(key{}) != "mine" || shown.Method != http.MethodGet {
			t.Errorf("%s: not the caller's request: %v", target, shown.Header)
		}
		if shown.URL.String() != want {
			t.Errorf("%s: the request's URL is %s", target, shown.URL)
		}
		if dump := fmt.Sprint(shown.Header, resp.Header); strings.Contains(dump, "secret") {
			t.Errorf("%s: the response shows a token: %s", target, dump)
		}
	}
}

func TestClientErrorsHoldNoToken(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	client := newNamedClient(t, api.URL, tokensInTurn("secret"))
	api.Close()
	_, _, err := do(t, client, newRequest(t.Context(), t, "list?a=b", nil))
	var ue *url.Error
	if !errors.As(err, &ue) {
		t.Fatalf("%v, want an *url.Error", err)
	}
	if text := fmt.Sprintf("%v %+v %#v %#v", err, err, err, ue.Err); strings.Contains(text, "secret") {
		t.Errorf("the error shows the token: %s", text)
	}
}

func TestUnknownClientNamesThoseThatExist(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	one := core.HTTPClient{BaseURL: api.URL, Token: tokensInTurn("one")}
	m := newClientManager(t, map[string]core.HTTPClient{"orders": one, "catalog": one})
	empty := newClientManager(t, nil)
	for client, want := range map[*http.Client]string{
		m.HTTPClient("order"):                         `no client is named "order": there are catalog, orders`,
		m.HTTPClientFor(t.Context(), "order"):         `no client is named "order": there are catalog, orders`,
		empty.HTTPClient("orders"):                    `no client is named "orders": Config.HTTPClients is empty`,
		empty.HTTPClientFor(t.Context(), "orders"):    `no client is named "orders": Config.HTTPClients is empty`,
		(*core.Manager)(nil).HTTPClient("orders"):     core.ErrNoManager.Error(),
		core.From(t.Context()).HTTPClientFor(nil, ""): core.ErrNoManager.Error(), //nolint:staticcheck // whatever the context
	} {
		body := &closedBody{Reader: strings.NewReader("body")}
		_, _, err := do(t, client, newRequest(t.Context(), t, "POST "+api.URL, body))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if body.closed.Load() == 0 {
			t.Error("the body was not closed")
		}
		var e *core.Error
		if !errors.Is(err, core.ErrNoManager) && !errors.As(err, &e) {
			t.Errorf("%v is no *Error", err)
		}
	}
	api.wantURIs(t)
}

// A client that is kept, as a typed client keeps it, takes the user from each
// request's context.
func TestKeptClientServesEachUserTheirOwn(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := p.Protect(whoAmI)
	m := newUserManager(t, p, api.URL, core.UserToken())
	client := m.HTTPClient("api")
	users := map[string]context.Context{}
	for _, user := range []string{"alice", "bob", "carol"} {
		users[user] = coretest.SignedIn(t, m, user)
	}
	p.Advance(61 * time.Minute) // all of them are renewed at once
	var wg sync.WaitGroup
	for user, ctx := range users {
		for range 20 {
			wg.Go(func() {
				for range 5 {
					status, body, err := do(t, client, newRequest(ctx, t, "me", nil))
					if err != nil || status != http.StatusOK || body != user {
						t.Errorf("%s got %d %q, %v", user, status, body, err)
					}
				}
			})
		}
	}
	for range 20 {
		wg.Go(func() {
			if _, _, err := do(t, client, newRequest(t.Context(), t, "me", nil)); !errors.Is(err, core.ErrLoginRequired) {
				t.Errorf("nobody got %v", err)
			}
		})
	}
	wg.Wait()
	if got := p.Granted("refresh_token"); got != len(users) {
		t.Errorf("%d refreshes for %d users", got, len(users))
	}
}

func TestClientForUserNeedsNoContext(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	client := m.HTTPClientFor(coretest.SignedIn(t, m, "alice"), "api")
	resp, err := client.Get("me")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "alice" {
		t.Errorf("%s", body)
	}
}

// Whatever context a request is made with, the user is the one that the client was
// made for.
func TestClientForUserKeepsItsUser(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice, bob := coretest.SignedIn(t, m, "alice"), coretest.SignedIn(t, m, "bob")
	if _, body := get(bob, t, m.HTTPClientFor(alice, "api"), "me"); body != "alice" {
		t.Errorf("alice's client, used with bob's context, is %s's", body)
	}
	_, _, err := do(t, m.HTTPClientFor(t.Context(), "api"), newRequest(bob, t, "me", nil))
	if !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("nobody's client, used with bob's context: %v", err)
	}
}

func TestClientForUserEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, nil)
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice, over := context.WithCancel(coretest.SignedIn(t, m, "alice"))
	bob := coretest.SignedIn(t, m, "bob")
	kept := m.HTTPClientFor(alice, "api")
	over()
	for name, ctx := range map[string]context.Context{"its own": alice, "bob's": bob, "no": context.Background()} {
		body := &closedBody{Reader: strings.NewReader("body")}
		_, _, err := do(t, kept, newRequest(ctx, t, "POST me", body))
		var ue *url.Error
		if !errors.As(err, &ue) {
			t.Errorf("%s context: %v", name, err)
		}
		if body.closed.Load() == 0 {
			t.Errorf("%s context: the body was not closed", name)
		}
	}
	if _, err := kept.Get("me"); err == nil || !strings.Contains(err.Error(), "is over") {
		t.Errorf("Get: %v, want it to say what is over", err)
	}
	api.wantURIs(t)
}

// recycled is a framework's context: it belongs to another request as soon as the
// handler has returned.
type recycled struct {
	context.Context // without values: only string keys are looked up
	request         atomic.Pointer[context.Context]
}

func (c *recycled) Value(key any) any {
	if key == core.ContextKey {
		return *c.request.Load()
	}
	return nil
}

func TestClientForUserKeepsNoRecycledContext(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice, over := context.WithCancel(coretest.SignedIn(t, m, "alice"))
	bob := coretest.SignedIn(t, m, "bob")
	framework := &recycled{Context: context.Background()}
	framework.request.Store(&alice)
	client := m.HTTPClientFor(framework, "api")
	framework.request.Store(&bob)
	if _, body := get(context.Background(), t, client, "me"); body != "alice" {
		t.Errorf("alice's client has become %s's", body)
	}
	over()
	if _, err := client.Get("me"); err == nil {
		t.Error("the client outlives alice's request")
	}
}

// Either context ends a call, before the answer and in the middle of it.
func TestClientForUserIsCancelledFromEitherSide(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"the client's context", "the request's context"} {
		for _, inBody := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in the body %t", side, inBody), func(t *testing.T) {
				t.Parallel()
				arrived := make(chan struct{})
				api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
					if inBody {
						_, _ = io.WriteString(w, "beginning\n")
						_ = http.NewResponseController(w).Flush()
					}
					close(arrived)
					<-r.Context().Done()
				})
				m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one")}})
				ofClient, endClient := context.WithCancel(t.Context())
				defer endClient()
				ofRequest, endRequest := context.WithCancel(t.Context())
				defer endRequest()
				failed := make(chan error, 1)
				go func() {
					_, _, err := do(t, m.HTTPClientFor(ofClient, "api"), newRequest(ofRequest, t, "/", nil))
					failed <- err
				}()
				waitFor(t, "the request", arrived)
				if side == "the client's context" {
					endClient()
				} else {
					endRequest()
				}
				if err := waitFor(t, "the end of the call", failed); err == nil {
					t.Error("the call has gone on")
				}
			})
		}
	}
}

// watchedContext counts what is registered with it and not taken away.
type watchedContext struct {
	context.Context
	done       chan struct{} // its own: package context would go past AfterFunc otherwise
	registered atomic.Int32
	all        atomic.Int32
}

func (c *watchedContext) Done() <-chan struct{} { return c.done }

func (c *watchedContext) AfterFunc(f func()) func() bool {
	c.registered.Add(1)
	c.all.Add(1)
	stop := context.AfterFunc(c.Context, f)
	return func() bool {
		c.registered.Add(-1)
		return stop()
	}
}

func TestClientForUserLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	api := startClientAPI(t, nil, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		s.Start()
	})
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one")}})
	ctx := &watchedContext{Context: t.Context(), done: make(chan struct{})}
	client := m.HTTPClientFor(ctx, "api")
	for range 20 {
		resp, err := client.Do(newRequest(t.Context(), t, "list", nil))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "ok" || err != nil {
			t.Errorf("the body is gone when the call has returned: %q, %v", body, err)
		}
		resp.Body.Close()
	}
	if _, _, err := do(t, client, newRequest(t.Context(), t, "https://elsewhere.test/", nil)); err == nil {
		t.Error("left its base")
	}
	if got, all := ctx.registered.Load(), ctx.all.Load(); got != 0 || all == 0 {
		t.Errorf("of %d functions %d are still registered with the context", all, got)
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections for calls one after the other", got)
	}
}

// A connection that has switched protocols can be written to.
func TestClientSwitchesProtocols(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	})
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one")}})
	for name, client := range map[string]*http.Client{
		"HTTPClient": m.HTTPClient("api"), "HTTPClientFor": m.HTTPClientFor(t.Context(), "api"),
	} {
		r := newRequest(t.Context(), t, "socket", nil)
		r.Header.Set("Upgrade", "echo")
		r.Header.Set("Connection", "Upgrade")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		conn, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("%s: a body of type %T cannot be written to", name, resp.Body)
		}
		_, _ = io.WriteString(conn, "hello\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hello\n" || err != nil {
			t.Errorf("%s: %q, %v", name, line, err)
		}
		conn.Close()
	}
}

func TestClientUsesItsBase(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusFound)
		}
	})
	var through atomic.Int32
	base := &http.Client{
		Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			through.Add(1)
			return http.DefaultTransport.RoundTrip(r)
		}),
		Timeout:       100 * time.Millisecond,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	before := *base
	m := newClientManager(t, map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one"), Base: base}})
	for name, client := range map[string]*http.Client{
		"HTTPClient": m.HTTPClient("api"), "HTTPClientFor": m.HTTPClientFor(t.Context(), "api"),
	} {
		through.Store(0)
		if client.Timeout != base.Timeout {
			t.Errorf("%s: timeout %s", name, client.Timeout)
		}
		_, _, err := do(t, client, newRequest(t.Context(), t, "hang", nil))
		var ue *url.Error
		if !errors.As(err, &ue) || !ue.Timeout() {
			t.Errorf("%s: %v, want a timeout", name, err)
		}
		client.Timeout = 0 // it is the caller's own
		if status, _ := get(t.Context(), t, client, "moved"); status != http.StatusFound {
			t.Errorf("%s: the redirect was followed: %d", name, status)
		}
		if got := through.Load(); got != 2 {
			t.Errorf("%s: %d requests through the base's transport, want 2", name, got)
		}
	}
	if base.Timeout != before.Timeout || m.HTTPClient("api").Timeout != before.Timeout {
		t.Error("a change to one client has reached the base, or another")
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUploadIsStreamed(t *testing.T) {
	t.Parallel()
	read := make(chan string, 2)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 5)
		for range 2 {
			_, _ = io.ReadFull(r.Body, buf)
			read <- string(buf)
		}
	}))
	t.Cleanup(api.Close)
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	body, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, _, err := do(t, client, newRequest(t.Context(), t, "PUT file", body))
		done <- err
	}()
	for _, part := range []string{"first", "other"} {
		_, _ = io.WriteString(w, part)
		if got := waitFor(t, "a part of the body, before the next was written", read); got != part {
			t.Errorf("%q, want %q", got, part)
		}
	}
	w.Close()
	if err := waitFor(t, "the answer", done); err != nil {
		t.Error(err)
	}
}

// The manager's own configuration does not follow changes to the caller's.
func TestClientsAreThoseThatNewWasGiven(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	clients := map[string]core.HTTPClient{"api": {BaseURL: api.URL, Token: tokensInTurn("one")}}
	m := newClientManager(t, clients)
	maps.DeleteFunc(clients, func(string, core.HTTPClient) bool { return true })
	if status, _ := get(t.Context(), t, m.HTTPClient("api"), "list"); status != http.StatusOK {
		t.Errorf("%d", status)
	}
}
