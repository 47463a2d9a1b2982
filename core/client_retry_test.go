package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

func TestRejectedTokenIsRenewedAndRequestRetried(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.RevokeAccessTokens("alice")
	for range 2 {
		if status, body := get(alice, t, m.HTTPClient("api"), "me"); status != http.StatusOK || body != "alice" {
			t.Errorf("%d %s", status, body)
		}
	}
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
}

// The retry is the request again, with another token.
func TestRetryIsTheSameRequest(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("two"))
	client := newNamedClient(t, api.URL+"/v1", tokensInTurn("one", "two"))
	r := newRequest(t.Context(), t, "PATCH list?a=%2F", strings.NewReader("body"))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "1")
	if status, body, err := do(t, client, r); status != http.StatusOK || body != "welcome" {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	api.wantTokens(t, "one", "two")
	seen := api.requests()
	seen[0].Header.Del("Authorization")
	seen[1].Header.Del("Authorization")
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Error(diff)
	}
	if got := seen[1].Header.Get("Content-Length"); seen[1].Body != "body" || got != "4" {
		t.Errorf("%q of length %s", seen[1].Body, got)
	}
}

func TestSecond401IsTheAnswer(t *testing.T) {
	t.Parallel()
	n := 0
	api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "refusal %d", n)
	})
	client := newNamedClient(t, api.URL, tokensInTurn("one", "two", "three", "four"))
	status, body := get(t.Context(), t, client, "list")
	if status != http.StatusUnauthorized || body != "refusal 2" {
		t.Errorf("%d %q", status, body)
	}
	api.wantTokens(t, "one", "two")
}

// An API that refuses every token does not make the provider renew with each call.
func TestAPIThatAlwaysRefusesCostsOneRenewal(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	api := newClientAPI(t, accepting("none of the provider's"))
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	for i, want := range []int{2, 3, 4} {
		if status, body := get(alice, t, m.HTTPClient("api"), "me"); status != http.StatusUnauthorized || body != "not this one\n" {
			t.Errorf("%d %q", status, body)
		}
		if got := len(api.requests()); got != want {
			t.Errorf("after call %d the API has got %d requests, want %d", i+1, got, want)
		}
	}
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	p.Advance(time.Minute) // and later it may have been changed
	get(alice, t, m.HTTPClient("api"), "me")
	if got := p.Grants("refresh_token"); got != 2 {
		t.Errorf("%d refreshes a minute later, want 2", got)
	}
}

func TestOtherFailuresAreNotRetried(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 407, 419, 429, 500, 502, 503} {
		api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			http.Error(w, "no", status)
		})
		client := newNamedClient(t, api.URL, tokensInTurn("one", "two"))
		if got, body := get(t.Context(), t, client, "list"); got != status || body != "no\n" {
			t.Errorf("%d %q, want %d", got, body, status)
		}
		api.wantTokens(t, "one")
	}
}

func TestNetworkErrorsAreNotRetried(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	client := newNamedClient(t, api.URL, tokensInTurn("one", "two"))
	if _, _, err := do(t, client, newRequest(t.Context(), t, "POST list", strings.NewReader("body"))); err == nil {
		t.Error("no error")
	}
	api.wantTokens(t, "one")
}

// A hundred requests that are refused at the same time are one renewal, and so is a
// straggler whose token has been replaced in the meantime.
func TestManyRejectionsOfOneTokenAreOneRenewal(t *testing.T) {
	t.Parallel()
	const calls = 100
	p := newESProvider(t)
	var mu sync.Mutex
	first := map[string]bool{}
	api := newClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		first[r.Header.Get("Authorization")] = true
		refused := len(first) == 1
		mu.Unlock()
		if refused {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	stale, err := m.GetUserAccessToken(alice)
	if err != nil {
		t.Fatal(err)
	}
	client := m.HTTPClient("api")
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if status, _, err := do(t, client, newRequest(alice, t, "list", nil)); status != http.StatusOK {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	wg.Wait()
	late, err := m.GetUserAccessToken(alice, func(req *core.TokenRequest) { req.ForceRenewal, req.Rejected = true, stale })
	if err != nil || late.AccessToken == stale.AccessToken {
		t.Errorf("a straggler got %v, %v", late, err)
	}
	if got := p.Grants("refresh_token"); got != 1 {
		t.Errorf("%d refreshes, want 1", got)
	}
	if len(first) != 2 {
		t.Errorf("%d tokens were used, want 2", len(first))
	}
}

func TestBodyIsReplayedOrNotAtAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("gone")
	for _, test := range []struct {
		name    string
		body    func() io.Reader
		change  func(*http.Request)
		retried bool
		want    string
	}{
		{"strings.Reader", func() io.Reader { return strings.NewReader("body") }, nil, true, "body"},
		{"bytes.Buffer", func() io.Reader { return bytes.NewBufferString("body") }, nil, true, "body"},
		{"none", func() io.Reader { return nil }, nil, true, ""},
		{"http.NoBody", func() io.Reader { return http.NoBody }, nil, true, ""},
		{"http.NoBody without GetBody", func() io.Reader { return nil }, func(r *http.Request) {
			r.Body, r.GetBody = http.NoBody, nil
		}, true, ""},
		{"a plain reader", func() io.Reader { return io.MultiReader(strings.NewReader("body")) }, nil, false, "body"},
		{"GetBody that fails", func() io.Reader { return strings.NewReader("body") }, func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
		}, false, "body"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			api := newClientAPI(t, accepting("two"))
			client := newNamedClient(t, api.URL, tokensInTurn("one", "two"))
			r := newRequest(t.Context(), t, "POST list", test.body())
			if test.change != nil {
				test.change(r)
			}
			status, body, err := do(t, client, r)
			if err != nil {
				t.Fatal(err)
			}
			want, calls := http.StatusUnauthorized, 1
			wantBody := "not this one\n" // the answer can still be read
			if test.retried {
				want, calls, wantBody = http.StatusOK, 2, "welcome"
			}
			if status != want || body != wantBody || len(api.requests()) != calls {
				t.Errorf("%d %q after %d calls; want %d %q after %d", status, body, len(api.requests()), want, wantBody, calls)
			}
			for _, seen := range api.requests() {
				if seen.Body != test.want {
					t.Errorf("the API has got the body %q", seen.Body)
				}
			}
		})
	}
}

// What cannot be sent again is no reason to renew a token.
func TestPlainReaderDoesNotRenew(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.RevokeAccessTokens("alice")
	status, _, err := do(t, m.HTTPClient("api"), newRequest(alice, t, "POST me", io.MultiReader(strings.NewReader("body"))))
	if status != http.StatusUnauthorized || err != nil {
		t.Errorf("%d, %v", status, err)
	}
	if got := p.Grants("refresh_token"); got != 0 {
		t.Errorf("%d refreshes", got)
	}
}

// RFC 9470: another token of the same sign-in would be refused as well.
func TestStepUpChallengeIsNotRenewed(t *testing.T) {
	t.Parallel()
	const challenge = `Bearer error="insufficient_user_authentication", acr_values="mfa"`
	for _, headers := range [][]string{{challenge}, {`Basic realm="x"`, challenge}} {
		api := newClientAPI(t, func(w http.ResponseWriter, _ *http.Request) {
			for _, h := range headers {
				w.Header().Add("WWW-Authenticate", h)
			}
			http.Error(w, "step up", http.StatusUnauthorized)
		})
		client := newNamedClient(t, api.URL, tokensInTurn("one", "two"))
		resp, err := client.Do(newRequest(t.Context(), t, "list", nil))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || string(body) != "step up\n" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
		if diff := cmp.Diff(headers, resp.Header.Values("WWW-Authenticate")); diff != "" {
			t.Error(diff)
		}
		api.wantTokens(t, "one")
	}
}

// When the renewal fails its error is the answer, unless there was just no other
// token to be had.
func TestFailedRenewalIsTheError(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("two"))
	client := newNamedClient(t, api.URL, tokensInTurn("one"))
	if _, _, err := do(t, client, newRequest(t.Context(), t, "list", nil)); !errors.Is(err, errNoMoreTokens) {
		t.Errorf("%v", err)
	}
	api.wantTokens(t, "one")

	p := newESProvider(t)
	m := newUserManager(t, p, api.URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.RevokeGrants("alice")
	if _, _, err := do(t, m.HTTPClient("api"), newRequest(alice, t, "list", nil)); !errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("%v, want ErrLoginRequired", err)
	}
	if got := len(api.requests()); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

func TestSameTokenIsNotSentTwice(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]*core.Token{
		"the same value": {AccessToken: "one"}, "the same value of another type": {AccessToken: "one", Type: "bearer"},
	} {
		api := newClientAPI(t, accepting("two"))
		client := newNamedClient(t, api.URL, core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
			if req.ForceRenewal {
				return again, nil
			}
			return &core.Token{AccessToken: "one"}, nil
		}))
		if status, body := get(t.Context(), t, client, "list"); status != http.StatusUnauthorized || body != "not this one\n" {
			t.Errorf("%s: %d %q", name, status, body)
		}
		api.wantTokens(t, "one")
	}
}

// A retriever that has nothing to say of a rejected token leaves the 401 as it is.
func TestRetrieverWithoutAnotherToken(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("two"))
	client := newNamedClient(t, api.URL, core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		if req.ForceRenewal {
			return nil, nil
		}
		return &core.Token{AccessToken: "one"}, nil
	}))
	status, _, err := do(t, client, newRequest(t.Context(), t, "list", nil))
	if err == nil && status != http.StatusUnauthorized {
		t.Errorf("%d", status)
	}
	api.wantTokens(t, "one")
}

func TestRetrieverLearnsWhatWasRejected(t *testing.T) {
	t.Parallel()
	api := newClientAPI(t, accepting("two"))
	one, two := &core.Token{AccessToken: "one"}, &core.Token{AccessToken: "two"}
	var asked []core.TokenRequest
	client := newNamedClient(t, api.URL, core.RetrieverFunc(func(_ context.Context, req core.TokenRequest) (*core.Token, error) {
		asked = append(asked, req)
		if req.Rejected == one {
			return two, nil
		}
		return one, nil
	}))
	if status, _ := get(core.WithOptions(t.Context(), core.WithResource("urn:orders")), t, client, "list"); status != http.StatusOK {
		t.Errorf("%d", status)
	}
	for i := range asked {
		if got := asked[i].HTTP.URL.String(); got != api.URL+"/list" {
			t.Errorf("the outgoing request's URL is %q", got)
		}
		asked[i].HTTP = nil
	}
	want := []core.TokenRequest{
		{Resource: "urn:orders"},
		{Resource: "urn:orders", ForceRenewal: true, Rejected: one},
	}
	if diff := cmp.Diff(want, asked, cmpopts.IgnoreUnexported(core.TokenRequest{}, core.Token{})); diff != "" {
		t.Error(diff)
	}
}

// The body of a 401 that is not returned is read and closed, so that the retry finds
// its connection free; a long one is given up.
func TestRetryReusesConnection(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int32{1000: 1, 1 << 20: 2} {
		var connections atomic.Int32
		api := startClientAPI(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer two" {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = w.Write(make([]byte, size))
			}
		}, func(s *httptest.Server) {
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			s.Start()
		})
		client := newNamedClient(t, api.URL, tokensInTurn("one", "two"))
		if status, _ := get(t.Context(), t, client, "list"); status != http.StatusOK {
			t.Errorf("%d", status)
		}
		if got := connections.Load(); got != want {
			t.Errorf("%d connections after a 401 of %d bytes, want %d", got, size, want)
		}
	}
}

// A caller who leaves while the token is renewed gets their context's error; the
// renewal goes on.
func TestCallerLeavesDuringRenewal(t *testing.T) {
	t.Parallel()
	p := newESProvider(t)
	m := newUserManager(t, p, p.Protect(whoAmI).URL, core.UserToken())
	alice := coretest.SignedIn(t, m, "alice")
	p.RevokeAccessTokens("alice")
	leaving, leave := context.WithCancel(alice)
	goOn := make(chan struct{})
	p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() {
		leave()
		<-goOn
	}})
	_, _, err := do(t, m.HTTPClient("api"), newRequest(leaving, t, "me", nil))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	close(goOn)
	if status, body := get(alice, t, m.HTTPClient("api"), "me"); status != http.StatusOK || body != "alice" {
		t.Errorf("%d %s", status, body)
	}
	if got := p.Grants("refresh_token"); got != 1 || p.Reused() != 0 {
		t.Errorf("%d refreshes, want 1", got)
	}
}
