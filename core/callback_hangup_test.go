package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A browser that hangs up once the code has been exchanged has signed in all the same:
// the session of the user before it ends, and is revoked.
func TestCallbackOutlivesCaller(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"keys are fetched", "OnLogin", "the session is saved"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			var ended []string
			r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
				cfg.OnLogin = func(ctx context.Context, u *core.User) error {
					if when == "OnLogin" && u.Subject == "bob" {
						hangUp()
					}
					return ctx.Err()
				}
				cfg.OnSessionEnd = func(_ context.Context, u *core.User, why core.EndReason) {
					ended = append(ended, u.Subject+" "+string(why))
				}
			})
			s := newLoginSession()
			r.login(s, "alice")
			answer := r.sign(r.start(s), "bob")
			var saving core.Session = s
			switch when {
			case "keys are fetched":
				r.p.RotateKeys()
				answer = r.sign(r.start(s), "bob")
				r.p.Fail(coretest.Fault{Endpoint: coretest.KeysEndpoint, Before: hangUp})
			case "the session is saved":
				saving = hangingUp{s, hangUp}
			}
			if _, err := r.m.FinishLogin(ctx, saving, answer); err != nil {
				t.Fatal(err)
			}
			if ctx.Err() == nil {
				t.Fatal("the browser has not hung up")
			}
			if got := r.user(s); got != "bob" {
				t.Errorf("signed in as %q", got)
			}
			if got := r.store.count(":s:"); got != 1 {
				t.Errorf("%d logins, want bob's", got)
			}
			if got := r.p.RefreshTokens("alice"); len(got) != 0 {
				t.Errorf("%d refresh tokens of alice are in force", len(got))
			}
			if diff := cmp.Diff([]string{"alice replaced"}, ended); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// hangingUp is a session whose browser hangs up as soon as it is saved.
type hangingUp struct {
	*loginSession
	hangUp func()
}

func (s hangingUp) Save() error {
	defer s.hangUp()
	return s.loginSession.Save()
}

// A login that is refused is undone though the browser has hung up.
func TestRefusedCallbackIsUndoneWithoutCaller(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	barred := errors.New("barred")
	r := newLoginRig(t, coretest.Options{}, func(cfg *core.Config) {
		cfg.OnLogin = func(context.Context, *core.User) error {
			hangUp()
			return barred
		}
		cfg.Store = &remoteStore{Store: cfg.Store}
	})
	s := newLoginSession()
	if _, err := r.m.FinishLogin(ctx, s, r.sign(r.start(s), "alice")); !errors.Is(err, barred) {
		t.Errorf("got %v", err)
	}
	r.wantNothingKept("a login that was refused", "alice")
}
