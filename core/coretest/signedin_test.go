package coretest_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func newManager(t *testing.T, p *coretest.Provider) *core.Manager {
	t.Helper()
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	m, err := core.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSignedIn(t *testing.T) {
	for name, o := range map[string]coretest.Options{
		"confidential": {},
		"public":       {Public: true},
		"ES256":        {Algorithm: "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			p := coretest.NewProvider(t, o)
			m := newManager(t, p)
			alice, bob := coretest.SignedIn(t, m, "alice"), coretest.SignedIn(t, m, "bob")
			token, err := m.GetUserAccessToken(alice)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.AccessTokens("alice"); len(got) != 1 || got[0] != token.AccessToken {
				t.Error("not alice's token")
			}
			if user, err := m.User(bob); err != nil || user.Subject != "bob" {
				t.Errorf("%v, %v", user, err)
			}
		})
	}
}

func TestSignedInOutlivesAccessToken(t *testing.T) {
	p := coretest.NewProvider(t)
	m := newManager(t, p)
	ctx := coretest.SignedIn(t, m, "alice")
	p.Advance(time.Hour)
	if _, err := m.GetUserAccessToken(ctx); err != nil {
		t.Fatal(err)
	}
	if p.Granted("refresh_token") != 1 || p.Reused() != 0 {
		t.Errorf("refreshes: %d", p.Granted("refresh_token"))
	}
}

// A whole application over net/http.
func TestBrowserSignsInAndOut(t *testing.T) {
	p := coretest.NewProvider(t)
	m := newManager(t, p)
	mux := http.NewServeMux()
	mux.Handle("/login", core.LoginHandler(m))
	mux.Handle("/callback", core.CallbackHandler(m))
	mux.Handle("/logout", core.LogoutHandler(m))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		user, err := m.User(r.Context())
		if err != nil {
			fmt.Fprint(w, "nobody")
			return
		}
		fmt.Fprint(w, user.Subject)
	})
	b := coretest.NewBrowser(t, core.Middleware(m, coretest.Sessions())(mux))

	if page := b.Login("alice"); page.Body != "alice" {
		t.Errorf("login: %s", page)
	}
	if page := b.Login("bob"); page.Body != "bob" {
		t.Errorf("login over another: %s", page)
	}
	if page := b.Get("/login"); page.Body != "bob" {
		t.Errorf("login with the provider's session: %s", page)
	}
	b.Logout()
	if page := b.Get("/"); page.Body != "nobody" {
		t.Errorf("logout: %s", page)
	}
	if page := b.Get("/login"); !strings.Contains(page.Body, "<form") {
		t.Errorf("still signed in at the provider: %s", page)
	}
	if got := p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("alice has %d refresh tokens, though bob has taken over", len(got))
	}
}
