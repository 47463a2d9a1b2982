package core_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Uses that are noted while others wait for a dead owner are no sign of its life: its
// claim is taken over as if there were none.
func TestUsesDoNotHoldUpATakeOver(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		owner := r.process(func(p *process, q *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
			return p.die(q)
		})
		r.p.Advance(untilExpiry)
		owner.refreshing(u)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 8 {
				time.Sleep(2 * time.Second)
				r.p.Advance(70 * time.Minute) // enough for another use to be noted
				if _, err := r.m.User(u.as(r.m)); err != nil {
					t.Error(err)
				}
			}
		}()
		took := timed(func() { r.get(u) })
		wantTook(t, took, claimWait, claimWait+time.Second)
		<-done
		r.wantRefreshes(1)
		if rec := r.record(u); rec.Claim != nil || rec.Used != r.p.Now().UnixMilli() {
			t.Error("a use is lost, or the claim is still there")
		}
	}, func(c *core.Config) { c.IdleTimeout, c.Lifetime = 10*time.Hour, 100*time.Hour })
}

// A claim that the Store does not take fails with what the Store says.
func TestClaimThatIsNeverTakenTellsWhy(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		r.p.Advance(untilExpiry)
		r.store.fail(errStoreDown, "Swap")
		_, err := r.m.GetUserAccessToken(u)
		if e := asError(t, err); !errors.Is(err, errStoreDown) || e.Op != "store" || !e.Temporary() || core.StatusCode(err) != 503 {
			t.Errorf("got %v", err)
		}
		r.wantRefreshes(0)
		r.store.fail(nil)
		r.get(u)
		r.wantRefreshes(1)
	})
}
