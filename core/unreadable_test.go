package core_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
	"github.com/tokenwell/tokenwell/store"
)

// A record that cannot be read is an error, and no reason to delete it: whoever put
// the wrong key in takes it out again. But who signs out, or in again, is not kept
// from it.
func TestUnreadableSessionCanBeLeft(t *testing.T) {
	t.Parallel()
	sealed := func(s store.Store, b byte) store.Store {
		sealed, err := store.Seal(s, []store.Key{{Name: "key", Secret: bytes.Repeat([]byte{b}, 32)}})
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for name, spoil := range map[string]func(r *refreshRig, u signedInUser) *core.Manager{
		"of another key": func(r *refreshRig, _ signedInUser) *core.Manager {
			return r.manager(func(c *core.Config) { c.Store = sealed(r.store, 2) })
		},
		"of a later version": func(r *refreshRig, u signedInUser) *core.Manager {
			_, rev, err := r.store.inner.Load(t.Context(), u.key)
			if err != nil {
				t.Fatal(err)
			}
			value := []byte(`{"v":99}`)
			if rev, err = sealed(r.store, 1).Swap(t.Context(), u.key, rev, value, time.Hour); err != nil || rev == "" {
				t.Fatalf("%q, %v", rev, err)
			}
			return r.m
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for leave, how := range map[string]func(r *refreshRig, m *core.Manager, u signedInUser) error{
				"by a logout": func(_ *refreshRig, m *core.Manager, u signedInUser) error {
					_, err := m.Logout(u.as(m), u.session)
					return err
				},
				"by a login": func(r *refreshRig, m *core.Manager, u signedInUser) error {
					r.logIn(t.Context(), m, u.session, "alice")
					_, err := m.GetUserAccessToken(u.as(m))
					return err
				},
			} {
				t.Run(leave, func(t *testing.T) {
					t.Parallel()
					r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) { c.Store = sealed(c.Store, 1) })
					u := r.signIn("alice")
					m := spoil(r, u)
					_, before, _ := r.store.inner.Load(t.Context(), u.key)
					for range 2 {
						tok, err := m.GetUserAccessToken(u.as(m), core.WithForceRenewal())
						if e := asError(t, err); tok != nil || e.Op != "store" || errors.Is(err, core.ErrLoginRequired) {
							t.Errorf("%v, %v", tok, err)
						}
					}
					if _, now, _ := r.store.inner.Load(t.Context(), u.key); now != before {
						t.Error("the record was touched")
					}
					if err := how(r, m, u); err != nil {
						t.Fatal(err)
					}
					if _, now, _ := r.store.inner.Load(t.Context(), u.key); now != "" {
						t.Error("the record is still there")
					}
					r.wantRefreshes(0)
				})
			}
		})
	}
}
