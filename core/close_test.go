package core_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"runtime/pprof"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A closed manager serves the tokens that are alive, and renews nothing any more.
func TestClosedManagerServesLiveTokens(t *testing.T) {
	t.Parallel()
	inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
		u := r.signIn("alice")
		first := r.get(u)
		for range 2 { // twice is fine
			if err := r.m.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, later := range []time.Duration{0, untilEarly} {
			r.p.Advance(later)
			for range 3 {
				if r.get(u.as(r.m)).AccessToken != first.AccessToken {
					t.Error("another token")
				}
				synctest.Wait()
			}
		}
		if user, err := r.m.User(u.as(r.m)); err != nil || user.Subject != "alice" {
			t.Errorf("%v, %v", user, err)
		}
		r.p.Advance(untilExpiry - untilEarly)
		_, err := r.m.GetUserAccessToken(u)
		if e := asError(t, err); !e.Temporary() || errors.Is(err, core.ErrLoginRequired) || core.StatusCode(err) != 503 {
			t.Errorf("got %v", err)
		}
		r.wantRefreshes(0)
	})
}

// Close lets a refresh that is under way finish, and its result be stored.
func TestCloseWaitsForRefresh(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u, bob := r.signIn("alice"), r.signIn("bob")
	first := r.get(u)
	r.p.Advance(untilEarly)
	arrived, answer := make(chan struct{}), make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", After: func() { close(arrived); <-answer }})
	r.get(u)
	<-arrived
	closed := make(chan error, 1)
	go func() { closed <- r.m.Close(context.Background()) }()
	eventually(t, "the manager is closed to new refreshes", func() bool {
		_, err := r.m.GetUserAccessToken(bob, core.WithForceRenewal())
		return err != nil
	})
	select {
	case err := <-closed:
		t.Errorf("Close did not wait: %v", err)
	default:
	}
	close(answer)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if r.record(u).RefreshToken != r.liveRefreshToken("alice") || r.get(u.as(r.m)).AccessToken == first.AccessToken {
		t.Error("what the refresh got is not stored")
	}
}

// Close does not wait for longer than its context lasts.
func TestCloseGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	arrived := make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { close(arrived) }, Hang: true})
	failed := make(chan error, 1)
	go func() {
		_, err := r.m.GetUserAccessToken(u)
		failed <- err
	}()
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	err := <-failed
	if e := asError(t, err); !e.Temporary() || errors.Is(err, core.ErrLoginRequired) {
		t.Errorf("the caller got %v", err)
	}
}

// goroutinesOf returns the stacks of the goroutines that carry a label, which they
// have from whoever started them.
func goroutinesOf(t *testing.T, label string) []string {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	var stacks []string
	for _, stack := range strings.Split(b.String(), "\n\n") {
		if regexp.MustCompile(`# labels: .*"` + label + `"`).MatchString(stack) {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// No goroutine of a manager outlives Close: neither that of a refresh, nor of a
// result that the Store does not take, nor of a connection.
func TestNoGoroutineOutlivesClose(t *testing.T) {
	t.Parallel()
	const label = "TestNoGoroutineOutlivesClose"
	store := newRefreshRig(t, coretest.Options{}) // its provider and its store
	var r *refreshRig
	scenario := func(context.Context) {
		r = &refreshRig{t: t, p: store.p, store: store.store}
		// No cleanup of the manager: it is closed below.
		cfg := r.p.Config()
		cfg.Store = r.store
		cfg.Logger = slog.New(slog.DiscardHandler)
		var err error
		if r.m, err = core.New(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		alice, bob, carol := r.signIn("alice"), r.signIn("bob"), r.signIn("carol")
		r.p.Advance(untilExpiry)
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Status: 500})
		_, _ = r.m.GetUserAccessToken(alice)
		r.get(bob)
		r.downDuringRefresh(alice)
		r.store.fail(nil)
		r.p.Advance(untilEarly)
		r.get(bob.as(r.m))
		arrived := make(chan struct{})
		r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { close(arrived) }, Hang: true})
		ctx, hangUp := context.WithCancel(carol)
		go func() {
			<-arrived
			hangUp()
		}()
		_, _ = r.m.GetUserAccessToken(ctx, core.WithForceRenewal())
	}
	pprof.Do(t.Context(), pprof.Labels("test", label), scenario)
	if len(goroutinesOf(t, label)) == 0 {
		t.Fatal("there is no goroutine to outlive anything")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = r.m.Close(ctx)
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if left = goroutinesOf(t, label); len(left) == 0 { // one that is just returning may still be seen
			return
		}
	}
	t.Errorf("still there:\n%s", strings.Join(left, "\n\n"))
}
