package core_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// remoteStore is a store on another machine: it heeds the end of a context, and can be
// made not to answer some operations.
type remoteStore struct {
	store.Store
	hang atomic.Pointer[[]string]
}

func (s *remoteStore) wait(ctx context.Context, op string) error {
	if ops := s.hang.Load(); ops == nil || !slices.Contains(*ops, op) {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Hour): // so that a test ends
		return errStoreDown
	}
}

func (s *remoteStore) Load(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.wait(ctx, "Load"); err != nil {
		return nil, "", err
	}
	return s.Store.Load(ctx, key)
}

func (s *remoteStore) Peek(ctx context.Context, key string) ([]byte, string, error) {
	if err := s.wait(ctx, "Peek"); err != nil {
		return nil, "", err
	}
	return s.Store.Peek(ctx, key)
}

func (s *remoteStore) Swap(ctx context.Context, key, rev string, value []byte, ttl time.Duration) (string, error) {
	if err := s.wait(ctx, "Swap"); err != nil {
		return "", err
	}
	return s.Store.Swap(ctx, key, rev, value, ttl)
}

func (s *remoteStore) Delete(ctx context.Context, key, rev string) (bool, error) {
	if err := s.wait(ctx, "Delete"); err != nil {
		return false, err
	}
	return s.Store.Delete(ctx, key, rev)
}

// A store that does not answer is given five seconds, of a caller too whose own
// context has no end; then it is a failure that may pass.
func TestHangingStoreIsGivenUp(t *testing.T) {
	t.Parallel()
	const patience = 5 * time.Second
	for name, test := range map[string]struct {
		hang []string
		call func(ctx context.Context, m *core.Manager, s core.Session) error
	}{
		"a token": {[]string{"Peek"}, func(ctx context.Context, m *core.Manager, _ core.Session) error {
			_, err := m.GetUserAccessToken(ctx)
			return err
		}},
		"a renewal": {[]string{"Load"}, func(ctx context.Context, m *core.Manager, _ core.Session) error {
			_, err := m.GetUserAccessToken(ctx, core.WithForceRenewal())
			return err
		}},
		"the user": {[]string{"Peek"}, func(ctx context.Context, m *core.Manager, _ core.Session) error {
			_, err := m.User(ctx)
			return err
		}},
		"readiness": {[]string{"Load"}, func(ctx context.Context, m *core.Manager, _ core.Session) error {
			return m.Ready(ctx)
		}},
		"a login": {[]string{"Swap"}, func(ctx context.Context, m *core.Manager, s core.Session) error {
			_, err := m.StartLogin(ctx, s, core.LoginOptions{})
			return err
		}},
		"a callback": {[]string{"Load"}, func(ctx context.Context, m *core.Manager, s core.Session) error {
			_, err := m.FinishLogin(ctx, s, map[string][]string{"state": {"x"}, "code": {"y"}})
			return err
		}},
		"a logout, reading": {[]string{"Load"}, func(ctx context.Context, m *core.Manager, s core.Session) error {
			_, err := m.Logout(ctx, s)
			return err
		}},
		"a logout, deleting": {[]string{"Delete"}, func(ctx context.Context, m *core.Manager, s core.Session) error {
			_, err := m.Logout(ctx, s)
			return err
		}},
		"a revocation": {[]string{"Swap"}, func(ctx context.Context, m *core.Manager, _ core.Session) error {
			return m.RevokeRefreshToken(ctx)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			remote := &remoteStore{}
			inBubble(t, coretest.Options{}, func(t *testing.T, r *refreshRig) {
				u := r.signIn("alice")
				m := r.manager(r.change...) // it has not seen her yet
				remote.hang.Store(&test.hang)
				ctx := u.as(m)
				if _, ends := ctx.Deadline(); ends {
					t.Fatal("the context has a deadline of its own")
				}
				var err error
				took := timed(func() { err = test.call(ctx, m, u.session) })
				wantTook(t, took, patience, patience)
				e := asError(t, err)
				if e.Op != "store" || !e.Temporary() || core.StatusCode(err) != http.StatusGatewayTimeout || errors.Is(err, core.ErrLoginRequired) {
					t.Errorf("got %v (%d)", err, core.StatusCode(err))
				}
				remote.hang.Store(nil)
				r.get(u.as(r.m))
			}, func(c *core.Config) {
				remote.Store = c.Store
				c.Store = remote
			})
		})
	}
}

// Close returns soon after its context has ended, though a hook of the application's
// does not.
func TestCloseLeavesABlockedHookBehind(t *testing.T) {
	t.Parallel()
	var role atomic.Value
	role.Store("clerk")
	var called chan struct{}
	inBubble(t, coretest.Options{
		Claims: func(string) map[string]any { return map[string]any{"role": role.Load()} },
	}, func(t *testing.T, r *refreshRig) {
		called = make(chan struct{}) // of the bubble
		u := r.signIn("alice")
		role.Store("manager")
		r.p.Advance(untilExpiry)
		result := make(chan error, 1)
		go func() {
			_, err := r.m.GetUserAccessToken(u)
			result <- err
		}()
		<-called
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			if err := r.m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
		})
		wantTook(t, took, time.Second, 3*time.Second)
		if err := <-result; err != nil {
			t.Errorf("the refresh that the hook belongs to: %v", err)
		}
	}, func(c *core.Config) {
		c.OnRefresh = func(context.Context, *core.User) error {
			close(called)
			time.Sleep(time.Minute) // whatever becomes of its context
			return nil
		}
	})
}

// A deadline that has a cause is a deadline all the same, and tells its cause.
func TestDeadlineWithACauseIsADeadline(t *testing.T) {
	t.Parallel()
	spent := errors.New("the budget is spent")
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	r.p.Advance(untilExpiry)
	answer := make(chan struct{})
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Before: func() { <-answer }})
	defer close(answer)
	for _, limit := range []time.Duration{20 * time.Millisecond, -1} { // waiting, and over before
		ctx, cancel := context.WithTimeoutCause(u, limit, spent)
		defer cancel()
		_, err := r.m.GetUserAccessToken(ctx)
		if e := asError(t, err); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, spent) || !e.Temporary() {
			t.Errorf("got %v", err)
		}
		if got := core.StatusCode(err); got != http.StatusGatewayTimeout {
			t.Errorf("StatusCode: %d", got)
		}
	}
}
