package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// Two managers in one browser session: a login at one keeps the other's user, unless
// it puts another user in the place of one who was there; a logout leaves nobody.
func TestLoginsOfTwoManagersInOneBrowserSession(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{Clients: map[string]string{"other": "secret"}})
	a, b := r.m, r.manager(func(c *core.Config) { c.ClientID, c.ClientSecret = "other", "secret" })
	s := coretest.NewSession()
	logIn := func(m *core.Manager, user string) func() {
		return func() { r.logIn(t.Context(), m, s, user) }
	}
	for _, step := range []struct {
		name  string
		do    func()
		users [2]string // at a, at b; "" for nobody
	}{
		{"alice at a", logIn(a, "alice"), [2]string{"alice", ""}},
		{"bob at b", logIn(b, "bob"), [2]string{"alice", "bob"}},
		{"alice at a again", logIn(a, "alice"), [2]string{"alice", "bob"}},
		{"carol at a", logIn(a, "carol"), [2]string{"carol", ""}},
		{"bob at b once more", logIn(b, "bob"), [2]string{"carol", "bob"}},
		{"dave at b", logIn(b, "dave"), [2]string{"", "dave"}},
		{"carol at a once more", logIn(a, "carol"), [2]string{"carol", "dave"}},
		{"logout at a", func() {
			if _, err := a.Logout(t.Context(), s); err != nil {
				t.Error(err)
			}
		}, [2]string{"", ""}},
	} {
		step.do()
		var got [2]string
		for i, m := range []*core.Manager{a, b} {
			user, err := m.User(m.NewContext(context.Background(), s))
			switch {
			case err == nil:
				got[i] = user.Subject
			case !errors.Is(err, core.ErrLoginRequired):
				t.Errorf("%s: %v", step.name, err)
			}
		}
		if got != step.users {
			t.Errorf("%s: signed in are %q, want %q", step.name, got, step.users)
		}
	}
}
