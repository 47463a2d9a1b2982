package core_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func (r *loginRig) logout(s core.Session) *url.URL {
	r.t.Helper()
	to, err := r.m.Logout(r.t.Context(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

func TestLogoutDeletesFirst(t *testing.T) {
	t.Parallel()
	var (
		r     *loginRig
		order []string
	)
	r = newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
		cfg.OnSessionEnd = func(_ context.Context, u *core.User, why core.EndReason) {
			order = append(order, "told of "+u.Subject+" "+string(why))
		}
	})
	s := newLoginSession()
	r.login(s, "alice")
	token := r.p.RefreshTokens("alice")
	ticket, err := r.m.Ticket(r.m.NewContext(t.Context(), s))
	if err != nil {
		t.Fatal(err)
	}
	s.Set("the application's own", "value")
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Before: func() {
		if r.store.count(":s:") == 0 {
			order = append(order, "deleted")
		}
		if _, err := r.m.GetUserAccessToken(r.m.WithTicket(context.Background(), ticket)); errors.Is(err, core.ErrLoginRequired) {
			order = append(order, "no token any more")
		}
		order = append(order, "revoked")
	}})
	to := r.logout(s)
	if diff := cmp.Diff([]string{"deleted", "no token any more", "revoked", "told of alice logout"}, order); diff != "" {
		t.Error(diff)
	}
	revoked := r.p.Requests(coretest.RevocationEndpoint)
	if len(revoked) != 1 || revoked[0].Form.Get("token") != token[0] {
		t.Errorf("%d revocations", len(revoked))
	}
	q := to.Query()
	if got := to.Scheme + "://" + to.Host + to.Path; got != r.p.URL(coretest.EndSessionEndpoint) {
		t.Errorf("it leads to %s", got)
	}
	if strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("client_id") != "app" || q.Get("post_logout_redirect_uri") != coretest.AppURL+"/" || len(q) != 3 {
		t.Errorf("end_session with %v", q)
	}
	if len(s.values) != 0 || s.renewed != 2 {
		t.Errorf("the session holds %d values, renewed %d times", len(s.values), s.renewed)
	}
	r.wantNothingKept("logout", "alice")
}

func TestLogoutTwice(t *testing.T) {
	t.Parallel()
	ended := 0
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
		cfg.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { ended++ }
	})
	s := newLoginSession()
	r.login(s, "alice")
	tab := s.copy()
	r.logout(s)
	for what, again := range map[string]*loginSession{"the same browser": s, "a tab of before": tab, "a stranger": newLoginSession()} {
		q := r.logout(again).Query()
		if q.Has("id_token_hint") || q.Get("client_id") != "app" || q.Get("post_logout_redirect_uri") == "" {
			t.Errorf("%s: end_session with %v", what, q)
		}
	}
	if got := len(r.p.Requests(coretest.RevocationEndpoint)); got != 1 || ended != 1 {
		t.Errorf("%d revocations, told %d times", got, ended)
	}
}

func TestLogoutOutlivesRevocation(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		fault   coretest.Fault
		missing bool
	}{
		"missing":  {missing: true},
		"500":      {fault: coretest.Fault{Status: http.StatusInternalServerError}},
		"refusal":  {fault: coretest.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_request"}`}},
		"redirect": {fault: coretest.Fault{Status: http.StatusPermanentRedirect, Header: http.Header{"Location": {"https://evil.test"}}}},
		"broken":   {fault: coretest.Fault{Drop: true}},
		"hanging":  {fault: coretest.Fault{Hang: true}},
		"endless":  {fault: coretest.Fault{Endless: true, Pause: 10 * time.Millisecond}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) {
				if test.missing {
					delete(md, "revocation_endpoint")
				}
			}}, func(cfg *core.Config) { cfg.Backchannel = &http.Client{Timeout: time.Second} })
			s := newLoginSession()
			r.login(s, "alice")
			if !test.missing {
				test.fault.Endpoint = coretest.RevocationEndpoint
				r.p.Fail(test.fault)
			}
			if to := r.logout(s); !to.Query().Has("id_token_hint") {
				t.Errorf("it leads to %s", to)
			}
			if got := r.store.count(":s:"); got != 0 || r.user(s) != "" {
				t.Errorf("%d logins are left", got)
			}
		})
	}
}

// Whoever hangs up has signed out all the same.
func TestLogoutOutlivesCaller(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	r.login(s, "alice")
	ctx, cancel := context.WithCancel(t.Context())
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Before: cancel})
	if _, err := r.m.Logout(ctx, s); err != nil {
		t.Error(err)
	}
	r.wantNothingKept("logout", "alice")
}

func TestLogoutEndpoints(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		endpoint func(string) any
		change   func(*core.Config)
		want     string // after the issuer; "" for nowhere
		uri      string
	}{
		"none":        {endpoint: func(string) any { return nil }},
		"with query":  {endpoint: func(e string) any { return e + "?policy=a%26b" }, want: "/end_session", uri: coretest.AppURL + "/"},
		"other place": {change: func(cfg *core.Config) { cfg.PostLogoutRedirectURL = "https://bye.test/x?y=z" }, want: "/end_session", uri: "https://bye.test/x?y=z"},
	} {
		r := newLoginRig(t, coretest.Options{Metadata: func(md map[string]any) {
			if test.endpoint != nil {
				md["end_session_endpoint"] = test.endpoint(md["end_session_endpoint"].(string))
			}
		}}, func(cfg *core.Config) {
			if test.change != nil {
				test.change(cfg)
			}
		})
		s := newLoginSession()
		r.login(s, "alice")
		to := r.logout(s)
		if test.want == "" {
			if to.String() != "" {
				t.Errorf("%s: it leads to %s", what, to)
			}
			continue
		}
		q := to.Query()
		if got := to.Scheme + "://" + to.Host + to.Path; got != r.p.Issuer()+test.want {
			t.Errorf("%s: it leads to %s", what, got)
		}
		if q.Get("post_logout_redirect_uri") != test.uri || test.endpoint != nil && q.Get("policy") != "a&b" {
			t.Errorf("%s: end_session with %v", what, q)
		}
		r.wantNothingKept(what, "alice")
	}
}

// Only where nothing could be deleted is the user still signed in.
func TestLogoutThatFails(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	storeFails := func(ops ...string) func(*loginRig, *loginSession) {
		return func(r *loginRig, _ *loginSession) {
			r.store.failing(func(op, _ string) error {
				for _, o := range ops {
					if o == op {
						return down
					}
				}
				return nil
			})
		}
	}
	for what, test := range map[string]struct {
		arrange func(*loginRig, *loginSession)
		stays   bool
	}{
		"session cannot be read":  {func(_ *loginRig, s *loginSession) { s.fail["Get"] = down }, true},
		"store cannot be read":    {storeFails("Load", "Peek"), true},
		"store cannot delete":     {storeFails("Delete"), true},
		"session cannot be made":  {func(_ *loginRig, s *loginSession) { s.fail["Renew"] = down }, false},
		"session cannot be saved": {func(_ *loginRig, s *loginSession) { s.fail["Save"] = down }, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newLoginRig(t, coretest.Options{})
			s := newLoginSession()
			r.login(s, "alice")
			browser := s.copy() // what it sends, whatever happens to the answer
			browser.fail = map[string]error{}
			test.arrange(r, s)
			if _, err := r.m.Logout(t.Context(), s); core.StatusCode(err) != http.StatusServiceUnavailable || !errors.Is(err, down) {
				t.Errorf("got %v (%d)", err, core.StatusCode(err))
			}
			r.store.failing(nil)
			want := ""
			if test.stays {
				want = "alice"
			} else {
				r.wantNothingKept("afterwards", "alice")
			}
			if got := r.user(browser); got != want {
				t.Errorf("signed in as %q, want %q", got, want)
			}
			r.logout(browser)
			r.wantNothingKept("once more", "alice")
		})
	}
}

// The protocol's own conditions for a request that changes something.
func TestLogoutHandlerRefusesOtherSites(t *testing.T) {
	t.Parallel()
	r := newLoginRig(t, coretest.Options{})
	s := newLoginSession()
	r.login(s, "alice")
	h := core.Middleware(r.m, func(http.ResponseWriter, *http.Request) (core.Session, error) { return s, nil })(core.LogoutHandler(r.m))
	for what, test := range map[string]struct {
		method string
		header map[string]string
		status int
	}{
		"cross-site":               {"POST", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"cross-site, own origin":   {"POST", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://app.test"}, 403},
		"sibling":                  {"POST", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		"origin of somebody else":  {"POST", map[string]string{"Origin": "https://evil.test"}, 403},
		"origin null":              {"POST", map[string]string{"Origin": "null"}, 403},
		"origin with our name":     {"POST", map[string]string{"Origin": "https://app.test.evil.test"}, 403},
		"origin with another port": {"POST", map[string]string{"Origin": "https://app.test:8443"}, 403},
		"GET":                      {"GET", map[string]string{"Sec-Fetch-Site": "same-origin"}, 405},
		"GET, cross-site":          {"GET", map[string]string{"Sec-Fetch-Site": "cross-site"}, 405},
		"HEAD":                     {"HEAD", nil, 405},
		"PUT":                      {"PUT", nil, 405},
	} {
		q := httptest.NewRequest(test.method, "https://app.test/logout", nil)
		for name, value := range test.header {
			q.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code != test.status || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", what, w.Code, w.Header())
		}
		if test.status == 405 && w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", what, w.Header().Get("Allow"))
		}
		if got := r.user(s); got != "alice" {
			t.Fatalf("%s: signed in as %q", what, got)
		}
	}
	q := httptest.NewRequest(http.MethodPost, "https://app.test/logout", nil)
	q.Header.Set("Origin", "https://app.test")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, q)
	if w.Code != http.StatusOK || r.user(s) != "" {
		t.Errorf("of the same origin: %d %s", w.Code, w.Body)
	}
}
