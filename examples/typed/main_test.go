package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/examples/internal/browser"
	"github.com/tokenwell/tokenwell/examples/internal/demo/demotest"
)

func TestOneClientServesEveryUserByTheContext(t *testing.T) {
	app := demotest.Start(t, run)
	if landing := browser.New(t).Get(app); landing.Status != http.StatusOK || !strings.Contains(landing.Body, "beside everybody’s") {
		t.Fatalf("a stranger gets %d\n%s", landing.Status, landing.Body)
	}
	for user, want := range map[string]string{
		"alice": "You: 4 orders, €135.25 Everybody: 9 orders, €1071.25",
		"bob":   "You: 2 orders, €111.50 Everybody: 9 orders, €1071.25",
	} {
		_, home := demotest.SignIn(t, app, user)
		if got := home.Text("notes"); got != want {
			t.Errorf("%s is shown %q, want %q", user, got, want)
		}
	}
}

func TestSigningOutEndsIt(t *testing.T) {
	app := demotest.Start(t, run)
	b, home := demotest.SignIn(t, app, "alice")
	home.Submit("/logout", nil)
	if page := b.Get(app); !strings.Contains(page.Body, "/login") {
		t.Errorf("%d\n%s", page.Status, page.Body)
	}
}

// roundTrip is an API that needs no server, no token and no provider.
type roundTrip string

func (body roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
}

func TestServicesAreTestedWithoutTokens(t *testing.T) {
	own := NewOrders(&http.Client{Transport: roundTrip(`[{"cents":150}]`)})
	all := NewOrders(&http.Client{Transport: roundTrip(`[{"cents":150},{"cents":250}]`)})
	got, err := NewSpending(own, all).Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"You: 1 orders, €1.50", "Everybody: 2 orders, €4.00"}, got); diff != "" {
		t.Error(diff)
	}
}
