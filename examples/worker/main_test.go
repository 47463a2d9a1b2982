package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/tokenwell/tokenwell/examples/internal/orders"
)

// result is what the program says of one account: its calls, and its token requests.
var result = regexp.MustCompile(`(?m)^(\w+): (\d+) calls in .*\n  token requests: (\d+) \((\S+)\)$`)

// results runs the program and returns the calls and token requests of each account.
func results(t *testing.T, args ...string) map[string][2]int {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	found := map[string][2]int{}
	for _, m := range result.FindAllStringSubmatch(out.String(), -1) {
		calls, _ := strconv.Atoi(m[2])
		requests, _ := strconv.Atoi(m[3])
		found[m[1]+" "+m[4]] = [2]int{calls, requests}
	}
	if len(found) != 2 {
		t.Fatalf("printed:\n%s", &out)
	}
	return found
}

func TestOneTokenRequestServesAllCalls(t *testing.T) {
	got := results(t, "-calls", "120", "-at-once", "40", "-work", "0s", "-token-life", "1h")
	for _, who := range []string{"worker client_credentials", "auditor " + jwtBearer} {
		if got[who] != [2]int{120, 1} {
			t.Errorf("%s: %v calls and token requests, want 120 and 1", who, got[who])
		}
	}
}

// The batch lasts longer than a token of one second is fresh.
func TestTokensAreRenewedBehindTheCalls(t *testing.T) {
	for who, got := range results(t, "-calls", "100", "-at-once", "4", "-work", "50ms", "-token-life", "1s") {
		if calls, requests := got[0], got[1]; calls != 100 || requests < 2 || requests > 8 {
			t.Errorf("%s: %d calls and %d token requests, want 100 and a few", who, calls, requests)
		}
	}
}

func TestCtrlCEndsTheBatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, nil, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// down is an API that cannot be reached.
type down struct{ asked atomic.Int32 }

var errDown = errors.New("down")

func (d *down) RoundTrip(*http.Request) (*http.Response, error) {
	d.asked.Add(1)
	return nil, errDown
}

func TestBatchEndsAtTheFirstFailure(t *testing.T) {
	var api down
	b := batch{calls: 100, atOnce: 4}
	_, err := b.run(t.Context(), orders.NewClient(&http.Client{Transport: &api}))
	if !errors.Is(err, errDown) || api.asked.Load() > 4 {
		t.Errorf("%v, after %d calls", err, api.asked.Load())
	}
}
