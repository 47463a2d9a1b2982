package conformance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

var requestTests = []func(*testing.T, Framework){
	contextServesAsContext,
	clientEndsWithItsHandler,
	contextIsNobodyElsesLater,
	sharedClientServesWhoeverAsks,
}

// answered is what try got.
type answered struct {
	header http.Header
	body   string
}

// try sends a request from any goroutine.
func (a *app) try(b *coretest.Browser, r *http.Request) (int, answered, error) {
	resp, err := b.Do(r)
	if err != nil {
		return 0, answered{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answered{resp.Header, string(body)}, err
}

// whoseToken returns the user whose token it is.
func (a *app) whoseToken(tok *core.Token) string {
	for _, user := range []string{"alice", "bob"} {
		for _, value := range a.p.AccessTokens(user) {
			if value == tok.AccessToken {
				return user
			}
		}
	}
	return "nobody known"
}

// contextServesAsContext hands a handler's Context on as the context.Context that
// it is.
func contextServesAsContext(t *testing.T, f Framework) {
	var a *app
	a = newApp(t, f, options{routes: []Route{{Path: "/context", Handle: func(c Context, w http.ResponseWriter, r *http.Request) error {
		own, err := c.GetUserAccessToken()
		if err != nil {
			return err
		}
		if core.From(c) != a.m {
			t.Error("From finds another manager")
		}
		if a.whoseToken(own) != "alice" {
			t.Error("GetUserAccessToken gives another's token")
		}
		tok, err := a.m.GetUserAccessToken(c)
		if err != nil || tok.AccessToken != own.AccessToken {
			t.Errorf("with the Context as context: %v, %v", tok, err)
		}
		tok, err = a.m.GetUserAccessToken(r.Context())
		if err != nil || tok.AccessToken != own.AccessToken {
			t.Errorf("with the request's context: %v, %v", tok, err)
		}
		req, err := http.NewRequestWithContext(c, http.MethodGet, "list", nil)
		if err != nil {
			return err
		}
		resp, err := a.m.HTTPClient("orders").Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if c.Err() != nil || c.Done() == nil {
			t.Errorf("the context has ended before its request: %v", c.Err())
		}
		_, err = io.Copy(w, resp.Body)
		return err
	}}}})
	a.login(a.b, "alice")
	if page := a.b.Get(a.path("/context")); page.Body != "/orders/list of alice" {
		t.Errorf("got %s", page)
	}
	stranger := a.browser()
	a.wantJSON(stranger.Fetch(http.MethodGet, a.path("/context"), nil), http.StatusUnauthorized, "login_required")
}

// kept is what a careless handler leaves behind.
type kept struct {
	c      Context
	client *http.Client
}

// keeping is a route whose handler leaves its Context and its client behind.
func keeping(to chan<- kept) Route {
	return Route{Path: "/leave", Handle: func(c Context, _ http.ResponseWriter, _ *http.Request) error {
		client := c.HTTPClient("orders")
		resp, err := client.Get("list")
		if err != nil {
			return err
		}
		resp.Body.Close()
		to <- kept{c, client}
		return nil
	}}
}

func clientEndsWithItsHandler(t *testing.T, f Framework) {
	left := make(chan kept, 1)
	a := newApp(t, f, options{routes: []Route{keeping(left)}})
	a.login(a.b, "alice")
	bob := coretest.SignedIn(t, a.m, "bob")
	a.b.Get(a.path("/leave"))
	k := <-left
	<-k.c.Done()
	called := a.called.Load()
	for what, call := range map[string]func() (*http.Response, error){
		"without a context": func() (*http.Response, error) { return k.client.Get("list") },
		"with its own context": func() (*http.Response, error) {
			r, err := http.NewRequestWithContext(k.c, http.MethodGet, "list", nil)
			if err != nil {
				return nil, err
			}
			return k.client.Do(r)
		},
		"with another user's context": func() (*http.Response, error) {
			r, err := http.NewRequestWithContext(bob, http.MethodGet, "list", nil)
			if err != nil {
				return nil, err
			}
			return k.client.Do(r)
		},
		"made later":                  func() (*http.Response, error) { return k.c.HTTPClient("orders").Get("list") },
		"made later with the context": func() (*http.Response, error) { return a.m.HTTPClientFor(k.c, "orders").Get("list") },
	} {
		resp, err := call()
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			t.Errorf("%s: the kept client got %q", what, body)
		}
	}
	if got := a.called.Load(); got != called {
		t.Errorf("the API was called %d times more", got-called)
	}
	if k.c.Err() == nil {
		t.Error("the context has not ended")
	}
}

// contextIsNobodyElsesLater keeps a Context in a goroutine while the framework
// serves others with what it has recycled.
func contextIsNobodyElsesLater(t *testing.T, f Framework) {
	left := make(chan kept, 64)
	a := newApp(t, f, options{routes: []Route{keeping(left)}})
	bob := a.browser()
	a.login(a.b, "alice")
	a.login(bob, "bob")
	var abandoned []kept
	for range 3 {
		a.b.Get(a.path("/leave"))
		k := <-left
		<-k.c.Done()
		abandoned = append(abandoned, k)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, k := range abandoned {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if user, err := k.c.User(); err == nil && user.Subject != "alice" {
					t.Errorf("alice's goroutine sees %s", user.Subject)
				}
				if tok, err := k.c.GetUserAccessToken(); err == nil && a.whoseToken(tok) != "alice" {
					t.Error("alice's goroutine gets another's token")
				}
				if tok, err := a.m.GetUserAccessToken(k.c); err == nil && a.whoseToken(tok) != "alice" {
					t.Error("alice's goroutine gets another's token by its context")
				}
				if resp, err := k.client.Get("list"); err == nil {
					resp.Body.Close()
					t.Error("alice's client still works")
				}
			}
		})
	}
	for range 20 {
		if page := bob.Get(a.path("/orders")); page.Body != "/orders/list of bob" {
			t.Errorf("bob's orders: %s", page)
		}
	}
	close(stop)
	wg.Wait()
}

func sharedClientServesWhoeverAsks(t *testing.T, f Framework) {
	var shared *http.Client
	a := newApp(t, f, options{routes: []Route{{Path: "/shared", Handle: func(c Context, w http.ResponseWriter, _ *http.Request) error {
		r, err := http.NewRequestWithContext(c, http.MethodGet, "list", nil)
		if err != nil {
			return err
		}
		resp, err := shared.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(w, resp.Body)
		return err
	}}}})
	shared = a.m.HTTPClient("orders")
	browsers := map[string]*coretest.Browser{"alice": a.b, "bob": a.browser()}
	for user, b := range browsers {
		a.login(b, user)
	}
	var wg sync.WaitGroup
	for user, b := range browsers {
		for worker := range 4 {
			wg.Go(func() {
				path := a.path([]string{"/shared", "/orders"}[worker%2])
				for range 15 {
					status, got, err := a.try(b, httptest.NewRequest(http.MethodGet, path, nil))
					if want := fmt.Sprintf("/orders/list of %s", user); err != nil || status != http.StatusOK || got.body != want {
						t.Errorf("%s, as %s: %d %q %v", path, user, status, got.body, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if page := a.browser().Fetch(http.MethodGet, a.path("/shared"), nil); page.Status != http.StatusUnauthorized {
		t.Errorf("for a stranger: %s", page)
	}
}
