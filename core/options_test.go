package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// WithOptions is for the one request that is made with its context: not for a call
// that is made on the way to the token, nor for a request beside it.
func TestWithOptionsIsForOneRequest(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	var outer, inner []core.TokenRequest
	var m *core.Manager
	m = newClientManager(t, map[string]core.HTTPClient{
		"outer": {BaseURL: api.URL + "/outer", Token: core.RetrieverFunc(func(ctx context.Context, req core.TokenRequest) (*core.Token, error) {
			outer = append(outer, req)
			get(ctx, t, m.HTTPClient("inner"), "token") // what it needs to get its token
			return &core.Token{AccessToken: "one"}, nil
		})},
		"inner": {BaseURL: api.URL + "/inner", Token: core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
			inner = append(inner, req)
			return &core.Token{AccessToken: "two"}, nil
		})},
	})
	ctx := core.WithOptions(t.Context(), core.WithForceRenewal(), core.WithResource("urn:orders"))
	get(ctx, t, m.HTTPClient("outer"), "list")
	get(t.Context(), t, m.HTTPClient("outer"), "list")

	ignore := cmp.Options{cmpopts.IgnoreUnexported(core.TokenRequest{}), cmpopts.IgnoreFields(core.TokenRequest{}, "HTTP")}
	if diff := cmp.Diff([]core.TokenRequest{{ForceRenewal: true, Resource: "urn:orders"}, {}}, outer, ignore); diff != "" {
		t.Errorf("outer: %s", diff)
	}
	if diff := cmp.Diff([]core.TokenRequest{{}, {}}, inner, ignore); diff != "" {
		t.Errorf("inner: %s", diff)
	}
}

// The forced renewal of one request leaves the next one with what it brought.
func TestForcedRenewalOfOneRequest(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	client := m.HTTPClient("api")
	for i, ctx := range []context.Context{
		alice, core.WithOptions(alice, core.WithForceRenewal()), alice, alice,
	} {
		if status, body := get(ctx, t, client, "me"); status != http.StatusOK || body != "alice" {
			t.Errorf("%d: %d %s", i, status, body)
		}
	}
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
}

func TestWithOptionsAdds(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, nil)
	var asked core.TokenRequest
	client := newNamedClient(t, api.URL, core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		asked = req
		return &core.Token{AccessToken: "one"}, nil
	}))
	outer := core.WithOptions(t.Context(), core.WithResource("urn:outer"), core.WithScopes("a"))
	left := core.WithOptions(outer, core.WithResource("urn:left"))
	right := core.WithOptions(outer, func(req *core.TokenRequest) { req.Registration = "right" })
	for ctx, want := range map[context.Context]core.TokenRequest{
		outer: {Resource: "urn:outer", Scopes: []string{"a"}},
		left:  {Resource: "urn:left", Scopes: []string{"a"}},
		right: {Resource: "urn:outer", Scopes: []string{"a"}, Registration: "right"},
	} {
		get(ctx, t, client, "list")
		asked.HTTP = nil
		if diff := cmp.Diff(want, asked, cmpopts.IgnoreUnexported(core.TokenRequest{})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWithScopesKeepsItsOwnSlice(t *testing.T) {
	t.Parallel()
	scopes := []string{"a", "b"}
	option := core.WithScopes(scopes...)
	scopes[0] = "changed"
	var req core.TokenRequest
	option(&req)
	if diff := cmp.Diff([]string{"a", "b"}, req.Scopes); diff != "" {
		t.Error(diff)
	}
	core.WithScopes()(&req)
	if req.Scopes == nil || len(req.Scopes) != 0 {
		t.Errorf("no scopes are %#v, want an empty slice", req.Scopes)
	}
}

// Parameters that are the protocol's own are refused wherever they are given, and
// nothing is sent.
func TestProtocolsOwnParametersAreRefused(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, nil)
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	before := len(p.Requests(coretest.TokenEndpoint))
	for _, name := range []string{
		"client_assertion", "client_assertion_type", "client_id", "client_secret", "code", "code_challenge",
		"code_challenge_method", "code_verifier", "grant_type", "nonce", "redirect_uri", "refresh_token",
		"response_mode", "response_type", "state",
	} {
		params := url.Values{name: {"sentinel"}, "audience": {"orders"}}
		cfg := p.Config()
		cfg.LoginParams = params
		_, byConfig := core.New(t.Context(), cfg)
		_, byLogin := m.StartLogin(t.Context(), coretest.NewSession(), core.LoginOptions{Params: params})
		_, byCall := m.GetUserAccessToken(alice, core.WithParams(params))
		_, _, byClient := do(t, m.HTTPClient("api"), newRequest(core.WithOptions(alice, core.WithParams(params)), t, "list", nil))
		for place, err := range map[string]error{
			"Config": byConfig, "StartLogin": byLogin, "GetUserAccessToken": byCall, "WithOptions": byClient,
		} {
			var e *core.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), `"`+name+`"`) || strings.Contains(err.Error(), "sentinel") {
				t.Errorf("%s in %s: %v, want an *Error that names it", name, place, err)
			}
		}
	}
	if got := len(p.Requests(coretest.TokenEndpoint)); got != before {
		t.Errorf("%d token requests", got-before)
	}
	api.wantURIs(t)
}

func TestUserTokenHasNoRegistration(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, "https://api.test", core.UserToken())
	_, err := m.GetUserAccessToken(coretest.SignedIn(t, m, "alice"), func(req *core.TokenRequest) { req.Registration = "other" })
	var e *core.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("%v, want an *Error that names it", err)
	}
}

func TestTokenRequestShowsNoSecret(t *testing.T) {
	t.Parallel()
	req := core.TokenRequest{
		Registration: "worker",
		Scopes:       []string{"orders"},
		Resource:     "urn:orders",
		Params:       url.Values{"subject_token": {"sentinel"}},
		Rejected:     &core.Token{AccessToken: "sentinel"},
		HTTP:         &http.Request{Header: http.Header{"Authorization": {"sentinel"}}},
	}
	for name, text := range shown(t, req, &req) {
		if strings.Contains(text, "sentinel") {
			t.Errorf("%s shows a secret: %s", name, text)
		}
		if !strings.Contains(text, "urn:orders") || !strings.Contains(text, "subject_token") {
			t.Errorf("%s shows nothing to go by: %s", name, text)
		}
	}
}

// shown is what becomes of values wherever they are printed.
func shown(t testing.TB, values ...any) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, v := range values {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			texts[fmt.Sprintf("%s of %T", format, v)] = fmt.Sprintf(format, v)
		}
		texts[fmt.Sprintf("fmt.Sprint of a slice of %T", v)] = fmt.Sprint([]any{v})
		var text, structured strings.Builder
		slog.New(slog.NewTextHandler(&text, nil)).Info("x", "value", v)
		slog.New(slog.NewJSONHandler(&structured, nil)).Info("x", "value", v)
		texts[fmt.Sprintf("slog text of %T", v)] = text.String()
		texts[fmt.Sprintf("slog JSON of %T", v)] = structured.String()
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Errorf("JSON of %T: %v", v, err)
		}
		texts[fmt.Sprintf("JSON of %T", v)] = string(encoded)
	}
	return texts
}
