package core_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// holds reports whether text holds the secret, or that in one of the encodings in
// which things are printed.
func holds(text, secret string) bool {
	return slices.ContainsFunc([]string{
		secret,
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		url.QueryEscape(secret),
	}, func(s string) bool { return strings.Contains(text, s) })
}

// printings returns v in every way in which a value ends up in a log.
func printings(t *testing.T, v any) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		all[verb] = fmt.Sprintf(verb, v)
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Errorf("JSON: %v", err)
	}
	all["JSON"] = string(encoded)
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "v", v)
	all["slog as text"] = b.String()
	b.Reset()
	slog.New(slog.NewJSONHandler(&b, nil)).Info("", "v", v)
	all["slog as JSON"] = b.String()
	return all
}

// What holds a secret does not print it, by value or by pointer, alone or inside of
// something else.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	token := core.Token{AccessToken: secret, Type: "Bearer", Scopes: []string{"orders"}, Expiry: time.Unix(1, 0)}
	request := core.TokenRequest{
		Scopes: []string{"orders"}, Params: url.Values{"password": {secret}}, Rejected: &token,
		HTTP: &http.Request{Header: http.Header{"Authorization": {"Bearer " + secret}}},
	}
	config := core.Config{
		Issuer: "https://login.example", ClientID: "web", ClientSecret: secret, LoginParams: url.Values{"login_hint": {secret}},
	}
	configured := core.Config{Issuer: "https://login.example", ClientID: "web", ClientAuth: core.SecretPost(secret)}
	ticket := core.Ticket(secret)
	basic, post := core.SecretBasic(secret), core.SecretPost(secret)
	params := url.Values{"api_key": {secret}}
	options := core.ExchangeOptions{Params: params, Audience: "orders"}
	for name, v := range map[string]any{
		"Token": token, "*Token": &token,
		"TokenRequest": request, "*TokenRequest": &request,
		"Config": config, "*Config": &config, "Config with ClientAuth": configured,
		"Ticket": ticket, "*Ticket": &ticket,
		"SecretBasic": basic, "SecretPost": post,
		"ExchangeOptions": options, "*ExchangeOptions": &options, "Exchange": core.Exchange(core.UserToken(), options),
		"UserToken": core.UserToken(core.WithParams(params)), "ClientToken": core.ClientToken(core.WithParams(params)),
		"CacheBy":    core.CacheBy(nil, core.Exchange(core.UserToken(), options)),
		"HTTPClient": core.HTTPClient{BaseURL: "https://orders.test", Token: core.ClientToken(core.WithParams(params))},
		"a struct": struct {
			Token   core.Token
			Request core.TokenRequest
			Config  core.Config
			Ticket  core.Ticket
			Auth    core.ClientAuth
		}{token, request, config, ticket, basic},
		"a slice": []any{token, &token, request, config, ticket, post},
		"a map":   map[string]any{"token": token, "request": request, "config": config, "ticket": ticket, "auth": basic},
	} {
		for way, text := range printings(t, v) {
			if holds(text, secret) {
				t.Errorf("%s, %s: %s", name, way, text)
			}
		}
	}
}

// What is no secret is shown, for whoever looks for a fault.
func TestRedactedValuesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	token := core.Token{AccessToken: "s3cr3t", Type: "Bearer", Scopes: []string{"orders"}, Expiry: time.Unix(1, 0).UTC()}
	for _, v := range []any{
		token, &token,
		core.TokenRequest{Scopes: []string{"orders"}},
		core.Config{Issuer: "https://login.example", ClientID: "web", Scopes: []string{"orders"}},
	} {
		for way, text := range printings(t, v) {
			if !strings.Contains(text, "orders") {
				t.Errorf("%T, %s: %s", v, way, text)
			}
		}
	}
	var none *core.Token
	if text := fmt.Sprintf("%v %+v", none, none); strings.Contains(text, "PANIC") {
		t.Error(text)
	}
}

// A manager, which a careless log line may well print, shows no secret either.
func TestManagerDoesNotPrintSecrets(t *testing.T) {
	t.Parallel()
	const secret = "the_clients_own_secret"
	r := newRefreshRig(t, coretest.Options{ClientSecret: secret})
	r.get(r.signIn("alice"))
	for way, text := range printings(t, r.m) {
		if holds(text, secret) {
			t.Errorf("%s: %.300s", way, text)
		}
	}
}

// lockedBuffer is a buffer that many goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// vault collects every secret of a test.
type vault struct {
	mu      sync.Mutex
	secrets map[string]string // name by value
}

func (v *vault) add(name, secret string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(secret) >= 8 {
		v.secrets[secret] = name
	}
}

// No secret reaches a log or an error, in a whole life of logins, refreshes, faults
// of the provider and of the store, and logouts, at debug level.
func TestSecretsReachNoLogAndNoError(t *testing.T) {
	t.Parallel()
	const clientSecret = "the_clients_own_secret"
	found := &vault{secrets: map[string]string{clientSecret: "client secret"}}
	var log, errs lockedBuffer
	failed := func(err error) {
		if err != nil {
			fmt.Fprintf(&errs, "%s\n%+v\n%#v\n%q\n", err, err, err, err)
			slog.New(slog.NewTextHandler(&errs, nil)).Error("failed", "error", err)
			slog.New(slog.NewJSONHandler(&errs, nil)).Error("failed", "error", err)
		}
	}
	r := newRefreshRig(t, coretest.Options{
		ClientSecret: clientSecret,
		Answer: func(a map[string]any) {
			for _, name := range []string{"access_token", "refresh_token", "id_token"} {
				text, _ := a[name].(string)
				found.add(name, text)
			}
		},
	}, func(c *core.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
		c.Backchannel = &http.Client{Timeout: time.Second}
		c.IdleTimeout = 7 * time.Hour
		c.OnRefresh = func(context.Context, *core.User) error { return nil }
		c.OnSessionEnd = func(_ context.Context, u *core.User, _ core.EndReason) { panic(fmt.Sprint(u)) }
	})
	// A login, of which every parameter is a secret of somebody's.
	signIn := func(user string) signedInUser {
		u := r.signIn(user)
		found.add("ticket", string(u.ticket))
		return u
	}
	get := func(ctx context.Context, opts ...core.TokenOption) {
		tok, err := r.m.GetUserAccessToken(ctx, opts...)
		failed(err)
		if tok != nil {
			found.add("access token", tok.AccessToken)
		}
	}
	again := func(q *core.TokenRequest) { q.ForceRenewal = true }

	alice := signIn("alice")
	for _, misbehave := range []func(refreshToken string) coretest.Fault{
		func(string) coretest.Fault { return coretest.Fault{} },
		func(string) coretest.Fault { return coretest.Fault{Status: 500, Body: "<html>"} },
		func(s string) coretest.Fault {
			return coretest.Fault{Status: 400, Body: `{"error":"invalid_request","error_description":"` + s + `"}`}
		},
		func(s string) coretest.Fault { return coretest.Fault{Status: 401, Body: s} },
		func(s string) coretest.Fault {
			return coretest.Fault{Status: 307, Header: http.Header{"Location": {"https://evil.example/?" + s}}}
		},
		func(s string) coretest.Fault { return coretest.Fault{Body: `"` + s} },
		func(string) coretest.Fault {
			return coretest.Fault{Body: `{"access_token":"refused_token","token_type":"mac"}`}
		},
		func(string) coretest.Fault { return coretest.Fault{Drop: true} },
		func(string) coretest.Fault { return coretest.Fault{Hang: true} },
	} {
		r.p.Advance(5 * time.Minute)
		fault := misbehave(r.liveRefreshToken("alice"))
		fault.Grant = "refresh_token"
		r.p.Fail(fault)
		get(alice, again)
		r.p.Heal()
	}
	found.add("a refused access token", "refused_token")

	bob := signIn("bob")
	r.p.Advance(untilExpiry)
	r.p.RotateKeys()
	r.p.Fail(coretest.Fault{Endpoint: coretest.KeysEndpoint, Status: 500, Times: coretest.Always})
	get(bob)
	r.p.Heal()
	r.p.Advance(untilExpiry)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { r.store.fail(fmt.Errorf("%w: no route", errStoreDown)) }})
	get(bob)
	get(bob, core.WithResource("urn:a"))
	_, err := r.m.Logout(bob, bob.session)
	failed(err)
	r.store.fail(nil)
	get(bob)
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Status: 500, Body: r.liveRefreshToken("bob")})
	failed(r.m.RevokeRefreshToken(bob))

	for _, end := range []coretest.Fault{
		{Status: 400, Body: `{"error":"invalid_grant"}`},
		{Claims: func(c map[string]any) { c["sub"] = "mallory" }},
		{Signature: coretest.SignedOtherKey},
	} {
		carol := signIn("carol")
		r.p.Advance(untilExpiry)
		end.Grant = "refresh_token"
		r.p.Fail(end)
		get(carol)
	}
	dave := signIn("dave")
	r.p.Fail(coretest.Fault{Endpoint: coretest.RevocationEndpoint, Drop: true})
	_, err = r.m.Logout(dave, dave.session)
	failed(err)
	get(dave)

	// Logins that fail at each of their steps.
	for _, fault := range []coretest.Fault{
		{Grant: "authorization_code", Status: 400, Body: `{"error":"invalid_grant"}`},
		{Grant: "authorization_code", Status: 500},
		{Grant: "authorization_code", Claims: func(c map[string]any) { c["nonce"] = "another" }},
	} {
		r.p.Fail(fault)
		s := coretest.NewSession()
		address, err := r.m.StartLogin(t.Context(), s, core.LoginOptions{})
		failed(err)
		browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		resp, err := browser.PostForm(address, url.Values{"user": {"eve"}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		back, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one is a replay
			_, err = r.m.FinishLogin(t.Context(), s, back.Query())
			failed(err)
		}
	}
	r.restart()

	for _, endpoint := range []coretest.Endpoint{coretest.AuthorizationEndpoint, coretest.TokenEndpoint} {
		for _, q := range r.p.Requests(endpoint) {
			for _, name := range []string{"code", "code_verifier", "refresh_token", "state", "nonce"} {
				found.add(name, q.Form.Get(name))
			}
			found.add("Authorization", strings.TrimPrefix(q.Header.Get("Authorization"), "Basic "))
		}
	}
	kinds := map[string]bool{}
	for secret, name := range found.secrets {
		kinds[name] = true
		for where, text := range map[string]string{"the log": log.String(), "an error": errs.String()} {
			if holds(text, secret) {
				t.Errorf("%s holds a secret: %s", where, name)
			}
		}
	}
	if len(kinds) < 10 || len(found.secrets) < 40 || log.String() == "" || errs.String() == "" {
		t.Fatalf("too little has happened: %v", kinds)
	}
	for _, want := range []string{"a hook panicked", "could not be saved", "could not be checked", "could not be revoked", "session ended", "refresh failed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
}
