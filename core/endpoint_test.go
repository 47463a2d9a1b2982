package core_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// endpointClient gives up soon; the manager's own client waits for ten seconds.
var endpointClient = &http.Client{Timeout: 300 * time.Millisecond}

// tryLogin signs alice in, as far as the token endpoint lets her.
func tryLogin(t testing.TB, m *core.Manager) error {
	t.Helper()
	s := coretest.NewSession()
	address, err := m.StartLogin(t.Context(), s, core.LoginOptions{})
	if err != nil {
		return err
	}
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(address, url.Values{"user": {"alice"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.FinishLogin(t.Context(), s, back.Query())
	return err
}

// Whatever the token endpoint answers, the caller gets an *Error that tells what it
// was, in bounded time and memory.
func TestTokenEndpointFailures(t *testing.T) {
	t.Parallel()
	evil := newClientAPI(t, nil)
	for _, test := range []struct {
		name      string
		fault     coretest.Fault
		want      core.Error
		temporary bool
		status    int // that a handler answers with
		text      string
	}{
		{
			"an OAuth error",
			coretest.Fault{Status: 400, Body: `{"error":"invalid_request","error_description":"no"}`},
			core.Error{Status: 400, Code: "invalid_request", Description: "no"},
			false, 502, "invalid_request (no)",
		},
		{
			"a refused client",
			coretest.Fault{Status: 401, Body: `{"error":"invalid_client"}`},
			core.Error{Status: 401, Code: "invalid_client"},
			false, 502, "invalid_client",
		},
		{
			"an OAuth error that calls itself a success",
			coretest.Fault{Status: 200, Body: `{"error":"invalid_grant"}`},
			core.Error{Status: 200, Code: "invalid_grant"},
			false, 400, "invalid_grant",
		},
		{
			"an OAuth error that is temporary",
			coretest.Fault{Status: 400, Body: `{"error":"temporarily_unavailable"}`},
			core.Error{Status: 400, Code: "temporarily_unavailable"},
			true, 503, "",
		},
		{
			"an OAuth error that comes as a failure",
			coretest.Fault{Status: 500, Body: `{"error":"server_error"}`},
			core.Error{Status: 500, Code: "server_error"},
			true, 503, "",
		},
		{
			"an error that would break lines",
			coretest.Fault{Status: 400, Body: `{"error":"a\r\nb\u0000ü","error_description":"<b>\u202e\n` + strings.Repeat("x", 500) + `"}`},
			core.Error{Status: 400, Code: "ab", Description: "<b>" + strings.Repeat("x", 197)},
			false, 502, "",
		},
		{
			"a proxy's 404",
			coretest.Fault{Status: 404, Body: "<html>not here</html>"},
			core.Error{Status: 404},
			true, 503, "no OAuth error",
		},
		{
			"a proxy's 403",
			coretest.Fault{Status: 403, Body: "<html>blocked</html>"},
			core.Error{Status: 403},
			true, 503, "no OAuth error",
		},
		{"a failure", coretest.Fault{Status: 500, Body: "oops"}, core.Error{Status: 500}, true, 503, ""},
		{
			"a failure with Retry-After",
			coretest.Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}},
			core.Error{Status: 503, RetryAfter: 7 * time.Second},
			true, 503, "",
		},
		{
			"a limit with Retry-After",
			coretest.Fault{Status: 429, Body: "slow", Header: http.Header{"Retry-After": {"1000000000000"}}},
			core.Error{Status: 429, RetryAfter: time.Hour},
			true, 503, "",
		},
		{"HTML", coretest.Fault{Status: 200, Body: "<html>welcome</html>"}, core.Error{Status: 200}, false, 502, "not a JSON object"},
		{"no body", coretest.Fault{Status: 200}, core.Error{Status: 200}, false, 502, "not a JSON object"},
		{"a list", coretest.Fault{Body: `["access_token"]`}, core.Error{Status: 200}, false, 502, "not a JSON object"},
		{"null", coretest.Fault{Body: `null`}, core.Error{Status: 200}, false, 502, "no access token"},
		{"nothing in it", coretest.Fault{Body: `{}`}, core.Error{Status: 200}, false, 502, "no access token"},
		{"an empty token", coretest.Fault{Body: `{"access_token":"","token_type":"Bearer"}`}, core.Error{Status: 200}, false, 502, "no access token"},
		{"a number for a token", coretest.Fault{Body: `{"access_token":1234567}`}, core.Error{Status: 200}, false, 502, "not a JSON object"},
		{
			"a token that no header can carry",
			coretest.Fault{Body: `{"access_token":"sentinel\r\nX: y","token_type":"Bearer"}`},
			core.Error{Status: 200},
			false, 502, "characters",
		},
		{"half a body", coretest.Fault{Body: `{"access_token":"sentinel","token`}, core.Error{Status: 200}, false, 502, "not a JSON object"},
		{
			"mac",
			coretest.Fault{Body: `{"access_token":"sentinel","token_type":"mac"}`},
			core.Error{Status: 200},
			false, 502, "cannot use",
		},
		{"a body without end", coretest.Fault{Body: `{"access_token":"sentinel"`, Endless: true}, core.Error{Status: 200}, true, 503, "Config.MaxAnswer"},
		{"a byte now and then", coretest.Fault{Endless: true, Pause: 10 * time.Millisecond}, core.Error{Status: 200}, true, 504, "deadline"},
		{"silence", coretest.Fault{Hang: true}, core.Error{}, true, 504, "deadline"},
		{"a broken connection", coretest.Fault{Drop: true}, core.Error{}, true, 503, "connection"},
		{
			"a redirect",
			coretest.Fault{Status: 307, Header: http.Header{"Location": {evil.URL}}},
			core.Error{Status: 307},
			false, 502, "redirect",
		},
		{
			"a redirect for browsers",
			coretest.Fault{Status: 302, Header: http.Header{"Location": {evil.URL}}},
			core.Error{Status: 302},
			false, 502, "redirect",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", ClientSecret: "sentinel-secret"})
			cfg := p.Config()
			cfg.Backchannel = endpointClient
			if test.fault.Endless && test.fault.Pause == 0 {
				cfg.Backchannel = nil
			}
			m := startClientManager(t, cfg)
			p.Fail(test.fault)
			start := time.Now()
			err := tryLogin(t, m)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			var e *core.Error
			if !errors.As(err, &e) {
				t.Fatalf("%v, want an *Error", err)
			}
			want := test.want
			want.Op = "authorization_code"
			if diff := cmp.Diff(summary(&want), summary(e)); diff != "" {
				t.Error(diff)
			}
			if e.Temporary() != test.temporary || core.StatusCode(err) != test.status {
				t.Errorf("%v: temporary %t, status %d; want %t, %d", err, e.Temporary(), core.StatusCode(err), test.temporary, test.status)
			}
			text := fmt.Sprintf("%v %+v", err, err)
			if !strings.Contains(text, test.text) || strings.Contains(text, "sentinel") {
				t.Errorf("%q, want it to say %q", text, test.text)
			}
			sent := p.Requests(coretest.TokenEndpoint)
			if len(sent) != 1 || strings.Contains(text, sent[0].Form.Get("code")) || strings.Contains(text, sent[0].Form.Get("code_verifier")) {
				t.Errorf("%d token requests, and %q", len(sent), text)
			}
			// It is not remembered: the next login is as good as any.
			p.Heal()
			if err := tryLogin(t, m); err != nil {
				t.Errorf("the next login: %v", err)
			}
		})
	}
	evil.wantURIs(t)
}

type errorSummary struct {
	Op, Code, Description string
	Status                int
	RetryAfter            time.Duration
}

func summary(e *core.Error) errorSummary {
	return errorSummary{e.Op, e.Code, e.Description, e.Status, e.RetryAfter}
}

func TestTokenTypesOfProvider(t *testing.T) {
	t.Parallel()
	for given, want := range map[any]string{"beareR": "Bearer", "BEARER": "Bearer", "Bearer": "Bearer", nil: "Bearer"} {
		p := newESProvider(t)
		api := p.Protect(whoAmI)
		p.Fail(coretest.Fault{Times: coretest.Always, Answer: func(answer map[string]any) {
			answer["token_type"] = given
			if given == nil {
				delete(answer, "token_type")
			}
		}})
		m := newUserManager(t, p, api.URL, core.UserToken())
		alice := coretest.SignedIn(t, m, "alice")
		tok, err := m.GetUserAccessToken(alice)
		if err != nil || tok.Type != want {
			t.Errorf("%v: %v, %v", given, tok, err)
		}
		if _, body := get(alice, t, m.HTTPClient("api"), "me"); body != "alice" {
			t.Errorf("%v: %q", given, body)
		}
	}
}

// Access tokens with the groups of a large company in them run to hundreds of
// kilobytes; whatever they hold, an answer has a mebibyte.
func TestLongTokensAreTaken(t *testing.T) {
	t.Parallel()
	p := coretest.NewProvider(t, coretest.Options{Algorithm: "ES256", AccessTokenSize: 200 << 10})
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	if _, body := get(alice, t, m.HTTPClient("api"), "me"); body != "alice" {
		t.Errorf("%q", body)
	}
}

func TestAnswersAreBoundedToTheByte(t *testing.T) {
	t.Parallel()
	const bound = 1 << 20
	p := newESProvider(t)
	cfg := p.Config()
	cfg.Scopes = []string{"orders"} // no ID token
	m := startClientManager(t, cfg)
	for size, want := range map[int]bool{bound: true, bound + 1: false} {
		answer := `{"access_token":"x"}`
		p.Fail(coretest.Fault{Body: answer + strings.Repeat(" ", size-len(answer))})
		if err := tryLogin(t, m); (err == nil) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// Of the configured client only transport and timeout are used: a cookie of the
// provider, or a redirect, is no business of the back channel's.
func TestBackchannelIsOurOwn(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	evil := newClientAPI(t, nil)
	p := newESProvider(t)
	through := 0
	backchannel := &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
		Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			through++
			return http.DefaultTransport.RoundTrip(r)
		}),
	}
	cfg := p.Config()
	cfg.Backchannel = backchannel
	p.Fail(coretest.Fault{Endpoint: coretest.DiscoveryEndpoint, Header: http.Header{"Set-Cookie": {"planted=1; Path=/"}}})
	m := startClientManager(t, cfg)
	p.Fail(coretest.Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {evil.URL}}})
	if err := tryLogin(t, m); err == nil {
		t.Error("followed")
	}
	for _, r := range p.Requests(coretest.TokenEndpoint) {
		if got := r.Header.Get("Cookie"); got != "" {
			t.Errorf("sent the cookie %s", got)
		}
	}
	evil.wantURIs(t)
	if through < 2 || backchannel.Timeout != 0 {
		t.Errorf("%d requests through its transport, timeout %s", through, backchannel.Timeout)
	}
}
