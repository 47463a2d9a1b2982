package core_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestLoginAsksForCodeWithPKCE(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	at := r.start(s)
	q := at.Query()
	if got := at.Scheme + "://" + at.Host + at.Path; got != r.p.URL(coretest.AuthorizationEndpoint) {
		t.Errorf("it leads to %s", got)
	}
	got := map[string][]string(copyOf(q))
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if raw, err := base64.RawURLEncoding.DecodeString(q.Get(name)); err != nil || len(raw) < 32 {
			t.Errorf("%s = %q", name, q.Get(name))
		}
		delete(got, name)
	}
	if diff := cmp.Diff(map[string][]string{
		"response_type": {"code"}, "client_id": {"app"}, "redirect_uri": {coretest.AppURL + "/callback"},
		"scope": {"openid profile email offline_access"}, "code_challenge_method": {"S256"},
	}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := r.finish(s, r.sign(at, "alice")); err != nil {
		t.Fatal(err)
	}
	form := r.p.Requests(coretest.TokenEndpoint)[0].Form
	verifier := form.Get("code_verifier")
	digest := sha256.Sum256([]byte(verifier))
	if base64.RawURLEncoding.EncodeToString(digest[:]) != q.Get("code_challenge") {
		t.Error("the verifier is not that of the challenge")
	}
	if len(verifier) < 43 || strings.Contains(at.String(), verifier) {
		t.Error("the verifier can be read in the URL")
	}
	if form.Get("redirect_uri") != q.Get("redirect_uri") {
		t.Errorf("redirect_uri = %q at the token endpoint", form.Get("redirect_uri"))
	}
}

func TestLoginsShareNothing(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	seen := map[string]bool{}
	sessions := []core.Session{newLoginSession(), newLoginSession()}
	for i := range 100 {
		q := r.start(sessions[i%2]).Query()
		for _, name := range []string{"state", "nonce", "code_challenge"} {
			if seen[q.Get(name)] {
				t.Fatalf("%s came twice", name)
			}
			seen[q.Get(name)] = true
		}
	}
}

func TestThousandLoginsLeaveSessionSmall(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	first := r.start(s)
	size := s.size()
	for range 1000 {
		r.start(s)
	}
	if s.size() != size || s.saved != 1 {
		t.Errorf("the session has grown from %d to %d bytes, saved %d times", size, s.size(), s.saved)
	}
	if size > 300 {
		t.Errorf("a session without a login holds %d bytes", size)
	}
	if _, err := r.finish(s, r.sign(first, "alice")); err != nil {
		t.Errorf("the first of them: %v", err)
	}
	if s.size() > 500 {
		t.Errorf("a session with a login holds %d bytes", s.size())
	}
}

func TestLoginParams(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
		cfg.LoginParams = url.Values{"prompt": {"consent"}, "audience": {"api"}}
	})
	q := r.start(newLoginSession(), core.LoginOptions{Params: url.Values{"prompt": {"login"}, "login_hint": {"al ice&x=y"}}}).Query()
	for name, want := range map[string]string{"prompt": "login", "audience": "api", "login_hint": "al ice&x=y"} {
		if diff := cmp.Diff([]string{want}, q[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{
		"state", "nonce", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "client_id", "scope",
	} {
		_, err := r.m.StartLogin(t.Context(), newLoginSession(), core.LoginOptions{Params: url.Values{name: {"x"}}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s can be set: %v", name, err)
		}
	}
}

func TestLoginKeepsQueryOfEndpoint(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) {
		md["authorization_endpoint"] = md["authorization_endpoint"].(string) + "?policy=a%26b&state=theirs"
	}})
	q := r.start(newLoginSession()).Query()
	if q.Get("policy") != "a&b" || len(q["state"]) != 1 || q.Get("state") == "theirs" {
		t.Errorf("got %v", q)
	}
}

func TestLoginWithoutOpenID(t *testing.T) {
	t.Parallel()
	var ended []core.EndReason
	r := newLoginRig(t, coretest.Options{Scopes: []string{"orders", "offline_access"}}, func(cfg *core.Config) {
		cfg.OnSessionEnd = func(_ context.Context, _ *core.User, why core.EndReason) { ended = append(ended, why) }
	})
	s := newLoginSession()
	at := r.start(s)
	if q := at.Query(); q.Has("nonce") || q.Get("scope") != "orders offline_access" || !q.Has("code_challenge") || !q.Has("state") {
		t.Errorf("asked for %v", q)
	}
	result, err := r.finish(s, r.sign(at, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if u := result.User; u.Subject != "" || u.Issuer != r.p.Issuer() || u.SignedIn.IsZero() {
		t.Errorf("signed in: %v", u)
	}
	ctx := r.m.NewContext(t.Context(), s)
	tok, err := r.m.GetUserAccessToken(ctx)
	if err != nil || len(r.p.AccessTokens("alice")) != 1 || r.p.AccessTokens("alice")[0] != tok.AccessToken {
		t.Errorf("token: %v, %v", tok, err)
	}
	r.p.Advance(time.Hour)
	if _, err := r.m.GetUserAccessToken(ctx); err != nil {
		t.Errorf("renewed: %v", err)
	}
	// Whoever comes next may be somebody else.
	r.login(s, "bob")
	if got := r.p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("the one before has %d refresh tokens", len(got))
	}
	if diff := cmp.Diff([]core.EndReason{core.EndReplaced}, ended); diff != "" {
		t.Error(diff)
	}
	if _, err := r.m.Logout(t.Context(), s); err != nil {
		t.Error(err)
	}
	r.wantNothingKept("logout", "bob")
}

func TestLoginNeedsRedirectURL(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.RedirectURL = "" })
	_, err := r.m.StartLogin(t.Context(), newLoginSession(), core.LoginOptions{})
	if err == nil || !strings.Contains(err.Error(), "RedirectURL") || core.StatusCode(err) != http.StatusInternalServerError {
		t.Errorf("got %v", err)
	}
}

func TestNilManagerHasNoLogins(t *testing.T) {
	t.Parallel()
	var m *core.Manager
	_, start := m.StartLogin(t.Context(), newLoginSession(), core.LoginOptions{})
	_, finish := m.FinishLogin(t.Context(), newLoginSession(), url.Values{})
	_, logout := m.Logout(t.Context(), newLoginSession())
	for _, err := range []error{start, finish, logout} {
		if !errors.Is(err, core.ErrNoManager) {
			t.Errorf("got %v", err)
		}
	}
}

func TestLoginWaitsForProvider(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]coretest.Fault{
		"unavailable": {Status: http.StatusServiceUnavailable},
		"broken":      {Drop: true},
		"proxy":       {Status: http.StatusBadGateway, Body: "<html>"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256"})
			fault.Endpoint, fault.Times = coretest.DiscoveryEndpoint, coretest.Always
			p.Fail(fault)
			r := &loginRig{t: t, p: p, store: newLoginRig(t, coretest.Options{}).store}
			r.m = r.manager(p) // is no failure
			if err := r.m.Ready(t.Context()); core.StatusCode(err) != http.StatusServiceUnavailable {
				t.Errorf("Ready: %v", err)
			}
			asked := len(p.Requests(coretest.DiscoveryEndpoint))
			s := newLoginSession()
			for range 10 {
				_, err := r.m.StartLogin(t.Context(), s, core.LoginOptions{})
				if got := core.StatusCode(err); got != http.StatusServiceUnavailable {
					t.Fatalf("StartLogin: %v (%d)", err, got)
				}
			}
			if got := len(p.Requests(coretest.DiscoveryEndpoint)) - asked; got > 2 {
				t.Errorf("ten logins asked a provider that is down %d times", got)
			}
			if s.saved != 0 || r.store.count(":l:") != 0 {
				t.Error("something was kept of logins that never began")
			}
			p.Heal()
			p.Advance(time.Minute)
			if err := r.m.Ready(t.Context()); err != nil {
				t.Errorf("Ready, when it is up: %v", err)
			}
			r.login(s, "alice")
			if got := r.user(s); got != "alice" {
				t.Errorf("signed in: %q", got)
			}
		})
	}
}

func TestLoginThatCannotBeKeptDoesNotStart(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	down := errors.New("down")
	for what, arrange := range map[string]func(*loginSession){
		"session cannot be read":  func(s *loginSession) { s.fail["Get"] = down },
		"session cannot be saved": func(s *loginSession) { s.fail["Save"] = down },
		"store is down":           func(*loginSession) { r.store.failing(func(string, string) error { return down }) },
	} {
		s := newLoginSession()
		arrange(s)
		address, err := r.m.StartLogin(t.Context(), s, core.LoginOptions{})
		var e *core.Error
		if address != "" || !errors.As(err, &e) || !e.Temporary() || core.StatusCode(err) != http.StatusServiceUnavailable || !errors.Is(err, down) {
			t.Errorf("%s: %q, %v", what, address, err)
		}
		r.store.failing(nil)
	}
}
