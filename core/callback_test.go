package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestCallbackSignsIn(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{Claims: func(string) map[string]any { return map[string]any{"role": "admin"} }})
	s := newLoginSession()
	s.Set("the application's own", "value")
	at := r.start(s, core.LoginOptions{ReturnTo: "/orders?q=1"})
	before := s.copy().values
	result, err := r.finish(s, r.sign(at, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	if result.ReturnTo != "/orders?q=1" {
		t.Errorf("ReturnTo = %q", result.ReturnTo)
	}
	u := result.User
	if u.Subject != "alice" || u.Issuer != r.p.Issuer() || !strings.HasPrefix(u.SID, "sid_") {
		t.Errorf("user %v, sid %q", u, u.SID)
	}
	if !u.SignedIn.Equal(r.p.Now()) || !u.ExpiresAt.Equal(r.p.Now().Add(8*time.Hour)) {
		t.Errorf("signed in at %v, until %v", u.SignedIn, u.ExpiresAt)
	}
	var claims struct{ Role, Email string }
	if err := u.Claims(&claims); err != nil || claims.Role != "admin" || claims.Email != "alice@example.com" {
		t.Errorf("claims %+v, %v", claims, err)
	}
	if s.renewed != 1 {
		t.Errorf("the session was renewed %d times", s.renewed)
	}
	if _, ok := s.values["the application's own"]; ok {
		t.Error("the session before is still there")
	}
	for key, value := range before {
		if s.values[key] == value {
			t.Errorf("%s is as it was before the login", key)
		}
	}
	for _, secret := range append(r.p.AccessTokens("alice"), r.p.RefreshTokens("alice")...) {
		for _, value := range s.values {
			if strings.Contains(value, secret) {
				t.Error("the session holds a token")
			}
		}
	}
	if got := r.store.count(":l:"); got != 0 {
		t.Errorf("%d logins are under way", got)
	}
}

func TestCallbackChecksState(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	r.login(s, "alice")
	answer := r.sign(r.start(s), "bob")
	other := newLoginSession()
	foreign := r.sign(r.start(other), "mallory")
	state := answer.Get("state")
	for what, change := range map[string]func(url.Values){
		"absent":               func(q url.Values) { q.Del("state") },
		"empty":                func(q url.Values) { q.Set("state", "") },
		"cut":                  func(q url.Values) { q.Set("state", state[:20]) },
		"longer":               func(q url.Values) { q.Set("state", state+"A") },
		"lower case":           func(q url.Values) { q.Set("state", strings.ToLower(state)) },
		"another":              func(q url.Values) { q.Set("state", strings.Repeat("A", 43)) },
		"huge":                 func(q url.Values) { q.Set("state", strings.Repeat("A", 1<<20)) },
		"of another browser":   func(q url.Values) { q.Set("state", foreign.Get("state")) },
		"all of another":       func(q url.Values) { clear(q); mergeInto(q, foreign) },
		"twice":                func(q url.Values) { q.Add("state", state) },
		"twice, another first": func(q url.Values) { q["state"] = []string{"x", state} },
		"code twice":           func(q url.Values) { q.Add("code", "x") },
		"iss twice":            func(q url.Values) { q.Add("iss", q.Get("iss")) },
		"error twice":          func(q url.Values) { q["error"] = []string{"a", "b"} },
		"nothing":              func(q url.Values) { clear(q) },
	} {
		altered, held := copyOf(answer), s.copy()
		change(altered)
		result, err := r.finish(s, altered)
		r.wantRefused(what, result, err)
		if diff := cmp.Diff(held.values, s.values); diff != "" || s.renewed != 1 {
			t.Errorf("%s: the session was touched: %s", what, diff)
		}
		if got := r.user(s); got != "alice" {
			t.Errorf("%s: signed in as %q", what, got)
		}
	}
	if got := r.p.Grants("authorization_code"); got != 1 {
		t.Errorf("%d codes were sent", got)
	}
	// What somebody else brought can still be used where it belongs.
	if _, err := r.finish(other, foreign); err != nil || r.user(other) != "mallory" {
		t.Errorf("in its own browser: %v", err)
	}
	if _, err := r.finish(s, answer); err != nil {
		t.Errorf("the right one after all of these: %v", err)
	}
	if got := r.user(s); got != "bob" {
		t.Errorf("signed in as %q", got)
	}
}

func mergeInto(q, from url.Values) {
	for name, values := range from {
		q[name] = values
	}
}

func TestCallbackStateWorksOnce(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	answer := r.sign(r.start(s), "alice")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		good []*loginSession
		all  sync.WaitGroup
	)
	const requests = 20
	all.Add(requests)
	r.store.failing(func(op, key string) error {
		if op == "Delete" && strings.Contains(key, ":l:") {
			all.Done()
			all.Wait() // all of them have seen the login under way
		}
		return nil
	})
	for range requests {
		request := s.copy()
		wg.Go(func() {
			_, err := r.finish(request, answer)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good = append(good, request)
			} else if core.StatusCode(err) != http.StatusBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	r.store.failing(nil)
	if len(good) != 1 {
		t.Fatalf("it worked %d times", len(good))
	}
	if got := r.p.Grants("authorization_code"); got != 1 {
		t.Errorf("the code was sent %d times", got)
	}
	if got := r.store.count(":s:"); got != 1 {
		t.Errorf("%d logins", got)
	}
	result, err := r.finish(good[0], answer)
	r.wantRefused("replayed", result, err)
	if got := r.user(good[0]); got != "alice" {
		t.Errorf("signed in as %q", got)
	}
}

func TestCallbackIsTooLate(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	early, late := r.start(s), r.start(s)
	r.p.Advance(9 * time.Minute)
	if _, err := r.finish(s, r.sign(early, "alice")); err != nil {
		t.Errorf("after nine minutes: %v", err)
	}
	r.p.Advance(2 * time.Minute)
	result, err := r.finish(s, r.sign(late, "bob"))
	r.wantRefused("after eleven minutes", result, err)
}

// Each of several tabs arrives, in whatever order they do.
func TestCallbackOfManyTabs(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	const tabs = 10
	answers := make([]url.Values, tabs)
	for i := range answers {
		answers[i] = r.sign(r.start(s, core.LoginOptions{ReturnTo: "/tab/" + strconv.Itoa(i)}), "alice")
	}
	for n := range tabs {
		tab := (n + 1) % tabs // the first one comes last
		result, err := r.finish(s, answers[tab])
		if err != nil || result.ReturnTo != "/tab/"+strconv.Itoa(tab) {
			t.Errorf("tab %d, number %d to finish: %v, %v", tab, n+1, result, err)
		}
	}
	if got := r.user(s); got != "alice" {
		t.Errorf("signed in as %q", got)
	}
	if got := r.store.count(":s:"); got != 1 {
		t.Errorf("%d logins are kept of one browser", got)
	}
}

func TestCallbackTakesNoTokens(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	answer := r.sign(r.start(s), "alice")
	for _, name := range []string{"access_token", "id_token", "token_type"} {
		altered := copyOf(answer)
		altered.Set(name, "x")
		result, err := r.finish(s, altered)
		r.wantRefused(name, result, err)
		altered.Set(name, "")
		result, err = r.finish(s, altered)
		r.wantRefused(name+", empty", result, err)
	}
	if got := r.p.Grants("authorization_code"); got != 0 {
		t.Errorf("%d codes were sent", got)
	}
}

func TestCallbackComparesIssuer(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		change  func(url.Values)
		allowed bool // where the provider does not say that it names itself
	}{
		"absent":         {func(q url.Values) { q.Del("iss") }, true},
		"empty":          {func(q url.Values) { q.Set("iss", "") }, false},
		"another":        {func(q url.Values) { q.Set("iss", "https://other.test") }, false},
		"trailing slash": {func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, false},
		"path":           {func(q url.Values) { q.Set("iss", q.Get("iss")+"/realm") }, false},
		"upper case":     {func(q url.Values) { q.Set("iss", strings.ToUpper(q.Get("iss"))) }, false},
		"space":          {func(q url.Values) { q.Set("iss", q.Get("iss")+" ") }, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for _, advertised := range []bool{true, false} {
				r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) {
					if !advertised {
						delete(md, "authorization_response_iss_parameter_supported")
					}
				}})
				allowed := test.allowed && !advertised
				s := newLoginSession()

				answer := r.submit(r.start(s), url.Values{"cancel": {"yes"}})
				test.change(answer)
				result, err := r.finish(s, answer)
				e := r.wantRefused("an error", result, err)
				if believed := e.Code == "access_denied"; believed != allowed {
					t.Errorf("advertised %t: the error's code is %q", advertised, e.Code)
				}

				answer = r.sign(r.start(s), "alice")
				test.change(answer)
				result, err = r.finish(s, answer)
				if allowed {
					if err != nil {
						t.Errorf("advertised %t: %v", advertised, err)
					}
					continue
				}
				r.wantRefused("a code", result, err)
				if got := r.p.Grants("authorization_code"); got != 0 {
					t.Errorf("advertised %t: %d codes were sent", advertised, got)
				}
				// The login is over: its state has been shown to somebody.
				result, err = r.finish(s, r.sign(r.start(s), "alice"))
				if err != nil {
					t.Errorf("a new login: %v, %v", result, err)
				}
			}
		})
	}
}

func TestCallbackTellsProvidersError(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	for _, code := range []string{"access_denied", "login_required", "interaction_required", "server_error", "temporarily_unavailable"} {
		at := r.start(s)
		answer := url.Values{
			"error": {code}, "error_description": {"<script>\r\nalert(1)\x00é" + strings.Repeat("x", 5000)}, "iss": {r.p.Issuer()},
			"code": {"code_that_must_not_be_sent"}, "state": {at.Query().Get("state")},
		}
		result, err := r.finish(s, answer)
		var e *core.Error
		if result != nil || !errors.As(err, &e) || core.StatusCode(err) != http.StatusBadRequest || e.Code != code {
			t.Errorf("%s: got %v, %v (%d)", code, result, err, core.StatusCode(err))
			continue
		}
		if !strings.HasPrefix(e.Description, "<script>alert(1)") || len(e.Description) > 200 || strings.ContainsAny(e.Description, "\r\n\x00é") {
			t.Errorf("description %q", e.Description)
		}
		result, err = r.finish(s, r.sign(at, "alice"))
		r.wantRefused("its state again", result, err)
	}
	// Without a state that is ours nothing of it is even looked at.
	result, err := r.finish(s, url.Values{"error": {"access_denied"}, "state": {"x"}, "iss": {r.p.Issuer()}})
	if e := r.wantRefused("an error out of nowhere", result, err); e.Code != "" {
		t.Errorf("its code is believed: %q", e.Code)
	}
	if got := r.p.Grants("authorization_code"); got != 0 {
		t.Errorf("%d codes were sent", got)
	}
}

func TestCallbackNeedsCode(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	answer := r.sign(r.start(s), "alice")
	answer.Del("code")
	result, err := r.finish(s, answer)
	r.wantRefused("no code", result, err)
	if got := r.p.Grants("authorization_code"); got != 0 {
		t.Errorf("%d token requests", got)
	}
}

// A code that came through the browser and is not of this login is the answer's
// fault, not the provider's.
func TestCallbackCodeOfAnotherLogin(t *testing.T) {
	t.Parallel()
	for what, login := range map[string]func(r *loginRig, s core.Session) *url.URL{
		"of another browser":     func(r *loginRig, _ core.Session) *url.URL { return r.start(newLoginSession()) },
		"of another tab":         func(r *loginRig, s core.Session) *url.URL { return r.start(s) },
		"of another application": func(r *loginRig, _ core.Session) *url.URL { return r.start(newLoginSession()) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{Clients: map[string]string{"other": "secret"}})
			s := newLoginSession()
			at := login(r, s)
			if what == "of another application" {
				q := at.Query()
				q.Set("client_id", "other")
				at.RawQuery = q.Encode()
			}
			stolen := r.sign(at, "alice")
			answer := r.sign(r.start(s), "mallory")
			answer.Set("code", stolen.Get("code"))
			result, err := r.finish(s, answer)
			var e *core.Error
			if result != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v", result, err)
			}
			r.wantNothingKept("afterwards", "alice")
			if got := r.user(s); got != "" {
				t.Errorf("signed in as %q", got)
			}
			if got := core.StatusCode(err); got != http.StatusBadRequest || e.Code != "invalid_grant" {
				t.Errorf("the error is %v (%d), want invalid_grant and 400", err, got)
			}
		})
	}
}

func TestCallbackTokenTypes(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	for given, want := range map[any]string{"bearer": "Bearer", "BEARER": "Bearer", nil: "Bearer", "mac": "", "N_A": "", "Bearer x": ""} {
		r.p.Fail(coretest.Fault{Answer: func(answer map[string]any) { answer["token_type"] = given }})
		s := newLoginSession()
		_, err := r.finish(s, r.sign(r.start(s), "alice"))
		if want == "" {
			if core.StatusCode(err) != http.StatusBadGateway || r.user(s) != "" || s.renewed != 0 {
				t.Errorf("%v: got %v", given, err)
			}
			continue
		}
		tok, tokErr := r.m.GetUserAccessToken(r.m.NewContext(t.Context(), s))
		if err != nil || tokErr != nil || tok.Type != want {
			t.Errorf("%v: got %v, %v, %v", given, err, tok, tokErr)
		}
	}
}

func TestCallbackSurvivesProvider(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) { cfg.Backchannel = &http.Client{Timeout: time.Second} })
	s := newLoginSession()
	r.login(s, "alice")
	for what, test := range map[string]struct {
		fault  coretest.Fault
		status int
	}{
		"500":             {coretest.Fault{Status: http.StatusInternalServerError}, http.StatusServiceUnavailable},
		"proxy's page":    {coretest.Fault{Status: http.StatusForbidden, Body: "<html>"}, http.StatusServiceUnavailable},
		"broken":          {coretest.Fault{Drop: true}, http.StatusServiceUnavailable},
		"lost answer":     {coretest.Fault{DropAfter: true}, http.StatusServiceUnavailable},
		"hanging":         {coretest.Fault{Hang: true}, http.StatusGatewayTimeout},
		"endless":         {coretest.Fault{Endless: true}, 0},
		"no access token": {coretest.Fault{Answer: func(a map[string]any) { delete(a, "access_token") }}, http.StatusBadGateway},
		"redirect":        {coretest.Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"https://evil.test"}}}, http.StatusBadGateway},
		"invalid client":  {coretest.Fault{Status: http.StatusUnauthorized, Body: `{"error":"invalid_client"}`}, http.StatusBadGateway},
	} {
		held := s.copy()
		answer := r.sign(r.start(s), "bob")
		r.p.Fail(test.fault)
		result, err := r.finish(s, answer)
		r.p.Heal()
		got := core.StatusCode(err)
		if result != nil || got != test.status && test.status != 0 || got < 500 {
			t.Errorf("%s: got %v, %v (%d), want %d", what, result, err, got, test.status)
		}
		if diff := cmp.Diff(held.values, s.values); diff != "" {
			t.Errorf("%s: the session was touched: %s", what, diff)
		}
		if got := r.user(s); got != "alice" {
			t.Errorf("%s: signed in as %q", what, got)
		}
		if got := r.store.count(":s:"); got != 1 {
			t.Errorf("%s: %d logins", what, got)
		}
	}
	r.login(s, "bob")
}

// A login whose session the browser never gets is undone.
func TestCallbackThatCannotBeKeptIsUndone(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	for what, arrange := range map[string]func(*loginRig, *loginSession){
		"session cannot be renewed": func(_ *loginRig, s *loginSession) { s.fail["Renew"] = down },
		"session cannot be saved":   func(_ *loginRig, s *loginSession) { s.fail["Save"] = down },
		"login cannot be stored": func(r *loginRig, _ *loginSession) {
			r.store.failing(func(op, key string) error {
				if op == "Swap" && strings.Contains(key, ":s:") {
					return down
				}
				return nil
			})
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{})
			s := newLoginSession()
			answer := r.sign(r.start(s), "alice")
			arrange(r, s)
			result, err := r.finish(s, answer)
			if result != nil || core.StatusCode(err) != http.StatusServiceUnavailable || !errors.Is(err, down) {
				t.Errorf("got %v, %v", result, err)
			}
			r.wantNothingKept("afterwards", "alice")
		})
	}
}

func TestCallbackReplacesUser(t *testing.T) {
	t.Parallel()
	var ended []string
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
		cfg.OnSessionEnd = func(_ context.Context, u *core.User, why core.EndReason) {
			ended = append(ended, u.Subject+" "+string(why))
		}
	})
	s := newLoginSession()
	r.login(s, "alice")
	alice, err := r.m.Ticket(r.m.NewContext(t.Context(), s))
	if err != nil {
		t.Fatal(err)
	}
	r.login(s, "bob")
	if _, err := r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), alice)); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("alice's ticket: %v", err)
	}
	if got := r.store.count(":s:"); got != 1 {
		t.Errorf("%d logins", got)
	}
	if got := r.p.RefreshTokens("alice"); len(got) != 0 {
		t.Errorf("alice has %d refresh tokens", len(got))
	}
	// The same user again keeps the grant: many providers have one for both logins.
	revocations := len(r.p.Requests(coretest.RevocationEndpoint))
	r.login(s, "bob")
	if got := len(r.p.Requests(coretest.RevocationEndpoint)); got != revocations {
		t.Errorf("%d revocations", got-revocations)
	}
	if got := r.store.count(":s:"); got != 1 {
		t.Errorf("%d logins", got)
	}
	if diff := cmp.Diff([]string{"alice replaced", "bob replaced"}, ended); diff != "" {
		t.Error(diff)
	}
	r.p.Advance(time.Hour)
	if _, err := r.m.GetUserAccessToken(r.m.NewContext(t.Context(), s)); err != nil {
		t.Errorf("bob's new login: %v", err)
	}
}

func TestOnLogin(t *testing.T) {
	t.Parallel()
	barred := errors.New("barred")
	for what, test := range map[string]struct {
		hook    func() error
		refused bool
	}{
		"admits": {func() error { return nil }, false},
		"bars":   {func() error { return barred }, true},
		"panics": {func() error { panic("in OnLogin") }, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var r *loginRig
			called := 0
			r = newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
				cfg.OnLogin = func(ctx context.Context, u *core.User) error {
					called++
					tok, err := r.m.GetUserAccessToken(ctx)
					if err != nil || len(r.p.AccessTokens("alice")) != 1 || tok.AccessToken != r.p.AccessTokens("alice")[0] || u.Subject != "alice" {
						t.Errorf("in the hook: %v, %v, %v", u, tok, err)
					}
					return test.hook()
				}
			})
			s := newLoginSession()
			held := r.start(s)
			before := s.copy()
			result, err := r.finish(s, r.sign(held, "alice"))
			if called != 1 {
				t.Errorf("called %d times", called)
			}
			if !test.refused {
				if err != nil || r.user(s) != "alice" {
					t.Errorf("got %v", err)
				}
				return
			}
			r.wantRefused("the login", result, err)
			if what == "bars" && !errors.Is(err, barred) {
				t.Errorf("the hook's error is lost: %v", err)
			}
			r.wantNothingKept("afterwards", "alice")
			if diff := cmp.Diff(before.values, s.values); diff != "" {
				t.Errorf("the session was touched: %s", diff)
			}
		})
	}
}

// Two managers share a store and a browser's session, and nothing else.
func TestCallbackOfAnotherManager(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	other := newLoginRig(t, coretest.Options{ClientID: "other"})
	other.store = r.store
	other.m = other.manager(other.p)
	s := newLoginSession()

	atA, atB := r.start(s), other.start(s)
	fromB := other.sign(atB, "mallory")
	mixed := copyOf(fromB)
	mixed.Set("state", atA.Query().Get("state"))
	result, err := r.finish(s, mixed)
	r.wantRefused("the code of b at a", result, err)
	result, err = r.finish(s, fromB)
	r.wantRefused("the answer of b at a", result, err)
	if got := r.p.Grants("authorization_code"); got != 0 {
		t.Errorf("a was sent %d codes", got)
	}
	result, err = other.finish(s, r.sign(r.start(s), "alice"))
	other.wantRefused("the answer of a at b", result, err)
	if got := other.p.Grants("authorization_code"); got != 0 {
		t.Errorf("b was sent %d codes", got)
	}
	if _, err := other.finish(s, fromB); err != nil || other.user(s) != "mallory" || r.user(s) != "" {
		t.Errorf("the answer of b at b: %v", err)
	}
}

// One provider, two redirect URLs: a login ends where it was started for.
func TestCallbackOfAnotherRedirectURL(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	moved := r.manager(r.p, func(cfg *core.Config) { cfg.RedirectURL = "https://moved.test/callback" })
	s := newLoginSession()
	result, err := moved.FinishLogin(t.Context(), s, r.sign(r.start(s), "alice"))
	r.wantRefused("the answer", result, err)
	if got := r.p.Grants("authorization_code"); got != 0 {
		t.Errorf("%d codes were sent", got)
	}
}

func TestCallbackReturnsToLocalPath(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	for _, target := range []string{"https://evil.test", "//evil.test", `/\evil.test`, "/%2f/evil.test", ""} {
		result, err := r.finish(s, r.sign(r.start(s, core.LoginOptions{ReturnTo: target}), "alice"))
		if err != nil || result.ReturnTo != "/" {
			t.Errorf("%q: %v, %v", target, result, err)
		}
	}
}
