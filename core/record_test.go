package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// golden is a record of the first version, written by hand at the moment in its
// "created". Never change it: it is what users' stores hold.
func golden(t *testing.T) (record []byte, created time.Time) {
	t.Helper()
	record, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	return record, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
}

// put writes a record under a ticket, whose key is learnt from where the manager
// looks.
func (r *refreshRig) put(ticket core.Ticket, record []byte) signedInUser {
	r.t.Helper()
	ctx := r.m.WithTicket(r.t.Context(), ticket)
	u := signedInUser{Context: ctx, ticket: ticket, key: r.keyOf(r.m, ctx)}
	rev, err := r.store.inner.Swap(ctx, u.key, "", record, time.Hour)
	if err != nil || rev == "" || u.key == "" {
		r.t.Fatalf("the record could not be put: %v", err)
	}
	return u
}

// Yesterday's records load tomorrow.
func TestGoldenRecordLoads(t *testing.T) {
	t.Parallel()
	record, created := golden(t)
	now := created.Add(10 * time.Minute)
	r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) { c.Now = func() time.Time { return now } })
	u := r.put("a ticket", record)

	user, err := r.m.User(u)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Name string }
	if err := user.Claims(&claims); err != nil {
		t.Error(err)
	}
	got := []any{user.Issuer, user.Subject, user.SID, user.SignedIn.UTC(), user.ExpiresAt.UTC(), claims.Name}
	want := []any{"https://login.example.com", "alice", "the provider's session", created, created.Add(8 * time.Hour), "Alice"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("User:\n%s", diff)
	}

	main := r.get(u)
	if main.AccessToken != "the-access-token" || main.Type != "Bearer" || !main.Expiry.Equal(created.Add(time.Hour)) ||
		!slices.Equal(main.Scopes, []string{"openid", "offline_access", "orders"}) {
		t.Errorf("the login's own token: %v", main)
	}
	others := []core.TokenOption{
		core.WithScopes("orders", "mail"), core.WithResource("urn:a"), core.WithParams(url.Values{"tenant": {"1"}}),
	}
	other := r.get(u, others...)
	if other.AccessToken != "the-other-access-token" || !other.Expiry.Equal(created.Add(2*time.Hour)) {
		t.Errorf("the other token: %v", other)
	}
	r.wantRefreshes(0)

	now = created.Add(time.Hour)
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Body: `{"access_token":"new","token_type":"Bearer","expires_in":60}`})
	if tok := r.get(u); tok.AccessToken != "new" {
		t.Errorf("refreshed: %v", tok)
	}
	if sent := r.refreshes(); len(sent) != 1 || sent[0] != "the refresh token" {
		t.Error("not the record's refresh token was sent")
	}
	// What the refresh does not concern stays as it was.
	if tok := r.get(u, others...); tok.AccessToken != "the-other-access-token" {
		t.Errorf("the other token: %v", tok)
	}
	if again, err := r.m.User(u); err != nil || !cmp.Equal(got[:5], []any{again.Issuer, again.Subject, again.SID, again.SignedIn.UTC(), again.ExpiresAt.UTC()}) {
		t.Errorf("%v, %v", again, err)
	}
	now = created.Add(8 * time.Hour)
	_, err = r.m.User(u)
	wantLoginRequired(t, err)
}

// paths adds the names of the fields of a JSON value, those below any slot of a
// token under one name.
func paths(value any, at string, into map[string]bool) {
	object, ok := value.(map[string]any)
	if !ok {
		into[at] = true
		return
	}
	for name, v := range object {
		if at == "tokens" {
			name = "*"
		}
		if at != "" {
			name = at + "." + name
		}
		paths(v, name, into)
	}
}

// The records that are written today have the fields of the golden one, no other
// ones and all of them, whatever a login goes through.
func TestRecordsAreWrittenAsTheGoldenOne(t *testing.T) {
	t.Parallel()
	read := func(record []byte, into map[string]bool) {
		var value any
		if err := json.Unmarshal(record, &value); err != nil {
			t.Error(err)
		}
		paths(value, "", into)
	}
	want, got := map[string]bool{}, map[string]bool{}
	record, _ := golden(t)
	read(record, want)

	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	look := func() {
		value, rev, err := r.store.inner.Load(context.Background(), u.key)
		if err != nil || rev == "" {
			t.Fatal("no record")
		}
		read(value, got)
	}
	look()
	r.store.watch(nil, func(op, key string) error {
		if op == "Swap" && key == u.key {
			look()
		}
		return nil
	})
	rejected := r.get(u)
	r.get(u, func(q *core.TokenRequest) { q.ForceRenewal, q.Rejected = true, rejected })
	r.get(u, core.WithScopes("openid"), core.WithResource("urn:a"))
	r.p.Fail(coretest.Fault{Grant: "refresh_token", Drop: true})
	if _, err := r.m.GetUserAccessToken(u, core.WithForceRenewal()); err == nil {
		t.Error("an answer that was lost")
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Error(diff)
	}
}

// A record that cannot be read, or is of a version to come, is an error and stays
// where it is: it may be another program's to read.
func TestUnreadableRecordIsAnErrorAndStays(t *testing.T) {
	t.Parallel()
	newer, _ := golden(t)
	var fields map[string]any
	if err := json.Unmarshal(newer, &fields); err != nil {
		t.Fatal(err)
	}
	fields["v"] = 2
	newer, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for name, record := range map[string]string{
		"a newer version": string(newer),
		"no version":      `{"sub":"alice"}`,
		"cut off":         `{"v":1,"sub":"ali`,
		"nothing":         "",
		"null":            "null",
		"another type":    `{"v":"1"}`,
		"an array":        "[]",
		"no JSON":         "\x00\x01\x02",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRefreshRig(t, coretest.Options{}, func(c *core.Config) {
				c.OnSessionEnd = func(context.Context, *core.User, core.EndReason) { t.Error("OnSessionEnd") }
			})
			u := r.put("a ticket", []byte(record))
			_, tokenErr := r.m.GetUserAccessToken(u)
			_, forcedErr := r.m.GetUserAccessToken(u, core.WithForceRenewal())
			_, userErr := r.m.User(u)
			for _, err := range []error{tokenErr, forcedErr, userErr, r.m.RevokeRefreshToken(u)} {
				if e := asError(t, err); e.Op != "store" || errors.Is(err, core.ErrLoginRequired) {
					t.Errorf("got %v", err)
				}
			}
			if value, _, err := r.store.inner.Load(t.Context(), u.key); err != nil || string(value) != record {
				t.Errorf("the record has changed: %q, %v", value, err)
			}
			r.wantRefreshes(0)
		})
	}
}

// A dump of the store holds no ticket: it signs nobody in.
func TestStoreKeysHoldNoTicket(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	value, _, err := r.store.inner.Load(t.Context(), u.key)
	if err != nil || len(value) == 0 {
		t.Fatal("no record")
	}
	if holds(u.key, string(u.ticket)) || holds(string(value), string(u.ticket)) {
		t.Error("the ticket is in the store")
	}
}
