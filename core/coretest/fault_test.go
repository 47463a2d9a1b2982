package coretest_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core/coretest"
)

func clientForm() url.Values { return url.Values{"grant_type": {"client_credentials"}} }

func TestFaultIsMetOnce(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{
		Status: http.StatusServiceUnavailable,
		Body:   `{"error":"temporarily_unavailable"}`,
		Header: http.Header{"Retry-After": {"7"}},
	})
	resp, err := http.PostForm(rp.p.URL(coretest.TokenEndpoint), clientForm())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if status, _ := rp.post(coretest.TokenEndpoint, clientForm()); status != http.StatusOK {
		t.Errorf("second request: %d", status)
	}
	if rp.p.Grants("client_credentials") != 2 || rp.p.Granted("client_credentials") != 1 {
		t.Error("counted wrongly")
	}
}

func TestFaultsWaitInOrderAndLastingOnesBehind(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Times: coretest.Always, Status: 500})
	rp.p.Fail(coretest.Fault{Times: 2, Status: 501})
	rp.p.Fail(coretest.Fault{Status: 502})
	var got []int
	for range 5 {
		status, _ := rp.post(coretest.TokenEndpoint, clientForm())
		got = append(got, status)
	}
	rp.p.Heal()
	status, _ := rp.post(coretest.TokenEndpoint, clientForm())
	if diff := cmp.Diff([]int{501, 501, 502, 500, 500, 200}, append(got, status)); diff != "" {
		t.Error(diff)
	}
}

func TestFaultOfOneGrantType(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Grant: "refresh_token", Body: "<html>"})
	first := rp.login("alice")
	if status, answer := rp.refresh(first); status != http.StatusOK || answer != nil {
		t.Errorf("%d %v", status, answer)
	}
	if status, _ := rp.refresh(first); status != http.StatusOK {
		t.Error("the fault consumed the refresh token")
	}
}

func TestDropLosesRequestAndDropAfterLosesAnswer(t *testing.T) {
	rp := newRelyingParty(t)
	first := rp.login("alice")
	rp.p.Fail(coretest.Fault{Drop: true})
	if _, _, err := rp.try(coretest.TokenEndpoint, refreshForm(first)); err == nil {
		t.Fatal("answered")
	}
	status, second := rp.refresh(first)
	if status != http.StatusOK {
		t.Fatalf("dropped request consumed the refresh token: %v", second)
	}
	rp.p.Fail(coretest.Fault{DropAfter: true})
	if _, _, err := rp.try(coretest.TokenEndpoint, refreshForm(second)); err == nil {
		t.Fatal("answered")
	}
	if rp.p.Granted("refresh_token") != 2 {
		t.Error("the lost answer does not count as granted")
	}
	status, answer := rp.refresh(second)
	expectError(t, status, answer, "invalid_grant")
	if rp.p.Reused() != 1 {
		t.Errorf("reused = %d", rp.p.Reused())
	}
}

func TestHangEndsWithClientOrProvider(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Times: 2, Hang: true})
	client := http.Client{Timeout: 20 * time.Millisecond}
	if resp, err := client.PostForm(rp.p.URL(coretest.TokenEndpoint), clientForm()); err == nil {
		resp.Body.Close()
		t.Error("answered")
	}
	// The second one is still there when the test ends, which must not keep it from
	// ending.
	arrived := make(chan struct{})
	rp.p.Heal()
	rp.p.Fail(coretest.Fault{Hang: true, Before: func() { close(arrived) }})
	go func() {
		if resp, err := http.PostForm(rp.p.URL(coretest.TokenEndpoint), clientForm()); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
}

func TestEndlessAnswer(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Millisecond} {
		rp := newRelyingParty(t)
		rp.p.Fail(coretest.Fault{Endpoint: coretest.KeysEndpoint, Endless: true, Pause: pause, Body: "{"})
		resp, err := http.Get(rp.p.URL(coretest.KeysEndpoint))
		if err != nil {
			t.Fatal(err)
		}
		size := int64(4 << 20)
		if pause > 0 {
			size = 10
		}
		n, err := io.CopyN(io.Discard, resp.Body, size)
		if n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		resp.Body.Close()
	}
}

func TestBeforeAndAfterFrameProcessing(t *testing.T) {
	rp := newRelyingParty(t)
	var steps []int
	step := func() { steps = append(steps, rp.p.Granted("client_credentials")) }
	rp.p.Fail(coretest.Fault{Before: step, After: step})
	rp.post(coretest.TokenEndpoint, clientForm())
	if diff := cmp.Diff([]int{0, 1}, steps); diff != "" {
		t.Error(diff)
	}
}

func TestAlteredAnswers(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Answer: func(a map[string]any) { delete(a, "expires_in"); a["token_type"] = "mac" }})
	_, answer := rp.post(coretest.TokenEndpoint, clientForm())
	if answer["expires_in"] != nil || answer["token_type"] != "mac" {
		t.Errorf("token answer: %v", answer)
	}
	rp.p.Fail(coretest.Fault{
		Endpoint: coretest.DiscoveryEndpoint,
		Answer:   func(a map[string]any) { a["issuer"] = "https://evil.test" },
	})
	if got := getJSON(t, rp.p.URL(coretest.DiscoveryEndpoint))["issuer"]; got != "https://evil.test" {
		t.Errorf("issuer = %v", got)
	}
}

func TestAlteredAuthorizationResponse(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Redirect: func(v url.Values) { v.Set("iss", "https://evil.test") }})
	if got := rp.authorize("alice").Get("iss"); got != "https://evil.test" {
		t.Errorf("iss = %q", got) // and the form, which came before, did not use it up
	}
	if got := rp.authorize("alice").Get("iss"); got != rp.p.Issuer() {
		t.Errorf("iss = %q", got)
	}
}

func TestRequestsAreRecorded(t *testing.T) {
	rp := newRelyingParty(t)
	rp.p.Fail(coretest.Fault{Drop: true})
	_, _, _ = rp.try(coretest.TokenEndpoint, clientForm())
	got := rp.p.Requests(coretest.TokenEndpoint)
	if len(got) != 1 {
		t.Fatalf("%d requests", len(got))
	}
	if got[0].Method != http.MethodPost || got[0].URL != "/token" || !strings.HasPrefix(got[0].Header.Get("Authorization"), "Basic ") {
		t.Errorf("request = %+v", got[0])
	}
	if diff := cmp.Diff(clientForm(), got[0].Form); diff != "" {
		t.Error(diff)
	}
}

func TestOneOfManyRefreshesWins(t *testing.T) {
	rp := newRelyingParty(t)
	first := rp.login("alice")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, _, _ = rp.try(coretest.TokenEndpoint, refreshForm(first))
			rp.p.Advance(time.Second)
		})
	}
	wg.Wait()
	if rp.p.Granted("refresh_token") != 1 || rp.p.Reused() != 19 || len(rp.p.RefreshTokens("")) != 0 {
		t.Errorf("granted %d, reused %d", rp.p.Granted("refresh_token"), rp.p.Reused())
	}
}
