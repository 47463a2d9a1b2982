package core_test

import (
	"net/url"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// params is an option that hands the map on as it is, as an application's own may.
func params(values url.Values) core.TokenOption {
	return func(q *core.TokenRequest) { q.Params = values }
}

// audiences returns what the refreshes asked for.
func (r *refreshRig) audiences() []string {
	var got []string
	for _, q := range r.p.Requests(coretest.TokenEndpoint) {
		if q.Form.Get("grant_type") == "refresh_token" {
			got = append(got, q.Form.Get("audience"))
		}
	}
	return got
}

// A renewal that goes on behind its caller asks for what the caller asked for, whatever
// becomes of the caller's map when the call has returned.
func TestParamsChangedAfterTheCallInEarlyWindow(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		values := url.Values{"audience": {"a"}}
		first := r.get(u, params(values))
		r.p.Advance(untilEarly)
		changed := make(chan struct{})
		r.store.watch(func(op, key string) error {
			if op == "Load" && key == u.key {
				<-changed
			}
			return nil
		}, nil)
		if r.get(u, params(values)).AccessToken != first.AccessToken {
			t.Error("not the live token")
		}
		values["audience"][0] = "b"
		values.Set("scope", "everything")
		close(changed)
		synctest.Wait()
		r.store.watch(nil, nil)
		if diff := cmp.Diff([]string{"a", "a"}, r.audiences()); diff != "" {
			t.Error(diff)
		}
		if r.get(u, params(url.Values{"audience": {"a"}})).AccessToken == first.AccessToken {
			t.Error("the renewed token lies under another name")
		}
		r.wantRefreshes(2)
	})
}

// The same for a caller that does not wait to change its map: the race detector looks
// on.
func TestParamsChangedDuringTheRenewal(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		values := url.Values{"audience": {"a"}}
		r.get(u, params(values))
		const rounds = 5
		for range rounds {
			r.p.Advance(untilEarly)
			values["audience"][0] = "a"
			r.get(u, params(values))
			values["audience"][0] = "b"
			values.Set("tenant", "b")
			values.Del("tenant")
			synctest.Wait()
		}
		for i, got := range r.audiences() {
			if got != "a" {
				t.Errorf("refresh %d asked for audience %q", i, got)
			}
		}
		r.wantRefreshes(1 + rounds)
	})
}

func TestWithParamsKeepsItsOwnMap(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	values := url.Values{"audience": {"a"}}
	opt := core.WithParams(values)
	values["audience"][0] = "b"
	values.Set("scope", "everything")
	r.get(u, opt)
	if diff := cmp.Diff([]string{"a"}, r.audiences()); diff != "" {
		t.Error(diff)
	}
}
