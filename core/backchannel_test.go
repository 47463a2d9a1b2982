package core_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// slowly delays every answer of the token endpoint.
func slowly(delay time.Duration) func(*core.Config) {
	return func(c *core.Config) {
		slow := bubbleClient(func(q *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if q.URL.Path != "/token" {
				return send()
			}
			select {
			case <-time.After(delay):
				return send()
			case <-q.Context().Done():
				return nil, q.Context().Err()
			}
		})
		slow.Timeout = 0
		c.Backchannel = slow
	}
}

// A slow provider's answer to a refresh is waited for, since it holds the only copy of
// the next refresh token; nothing else is waited for that long.
func TestSlowRefreshIsNotGivenUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		delay     time.Duration
		refreshed bool
	}{{15 * time.Second, true}, {50 * time.Second, true}, {70 * time.Second, false}} {
		// Signed in by a manager that is not slow.
		inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
			u := r.signIn("alice")
			r.p.Advance(untilExpiry)
			m := r.manager(slowly(test.delay))
			tok, err := m.GetUserAccessToken(u.as(m))
			if (err == nil) != test.refreshed {
				t.Errorf("after %v: %v, %v", test.delay, tok, err)
			}
			took := timed(func() { _, err = m.GetClientAccessToken(t.Context()) })
			if !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
				t.Errorf("a token of the application's own: %v after %v", err, took)
			}
		})
	}
}
