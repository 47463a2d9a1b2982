package demo

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/tokenwell/tokenwell/core"
)

// RedirectURL is for programs without pages, whose people sign in by SignIn: nobody listens there.
const RedirectURL = "http://127.0.0.1/callback"

// SignIn has somebody sign in at the provider, as their browser would, and returns a context in which m acts for them.
func (w *World) SignIn(ctx context.Context, m *core.Manager, username string) (context.Context, error) {
	s := session{}
	to, err := m.StartLogin(ctx, s, core.LoginOptions{})
	if err != nil {
		return nil, err
	}
	callback, err := w.fillIn(ctx, to, username)
	if err != nil {
		return nil, err
	}
	if _, err := m.FinishLogin(ctx, s, callback); err != nil {
		return nil, err
	}
	return m.NewContext(ctx, s), nil
}

// fillIn fills in the provider's form and returns what it sends the browser back with.
func (w *World) fillIn(ctx context.Context, form, username string) (callback url.Values, err error) {
	browser := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), w.Issuer+"/") {
			return http.ErrUseLastResponse // back at the application
		}
		return nil
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, form, nil)
	if err != nil {
		return nil, err
	}
	resp, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	answers := url.Values{"request": resp.Request.URL.Query()["request"], "username": {username}, "password": {username}}
	req, err = http.NewRequestWithContext(ctx, http.MethodPost, resp.Request.URL.String(), strings.NewReader(answers.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if resp, err = browser.Do(req); err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("signing in as %s: the provider answered %s", username, resp.Status)
	}
	return back.Query(), nil
}

// session is that of a browser that there is not.
type session map[string]string

func (s session) Get(key string) (string, error) { return s[key], nil }
func (s session) Set(key, value string)          { s[key] = value }
func (s session) Delete(key string)              { delete(s, key) }
func (s session) Renew() error                   { clear(s); return nil }
func (s session) Save() error                    { return nil }
