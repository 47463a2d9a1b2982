package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

// A ticket lets a job act for the user after the request has ended, on any manager
// of the application, through refreshes and until the logout.
func TestJobActsForUser(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	u := r.signIn("alice")
	request, end := context.WithCancel(u.Context)
	ticket, err := r.m.Ticket(request)
	if err != nil {
		t.Fatal(err)
	}
	end()
	queued := string(ticket)

	worker := r.manager()
	job := worker.WithTicket(context.Background(), core.Ticket(queued))
	if user, err := worker.User(job); err != nil || user.Subject != "alice" {
		t.Errorf("%v, %v", user, err)
	}
	for range 3 {
		r.p.Advance(untilExpiry)
		tok, err := worker.GetUserAccessToken(job)
		if err != nil || !tok.Expiry.After(r.p.Now()) {
			t.Fatalf("%v, %v", tok, err)
		}
	}
	r.wantRefreshes(3)
	if _, err := r.m.Logout(t.Context(), u.session); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := worker.GetUserAccessToken(job)
		wantLoginRequired(t, err)
	}
	_, err = worker.User(job)
	wantLoginRequired(t, err)
	r.wantRefreshes(3)
}

// A ticket stands for its own user, whoever's request the job was started in, and an
// empty one for nobody.
func TestTicketReplacesTheContextsUser(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	alice, bob := r.signIn("alice"), r.signIn("bob")
	job := r.m.WithTicket(bob, alice.ticket)
	if user, err := r.m.User(job); err != nil || user.Subject != "alice" {
		t.Errorf("%v, %v", user, err)
	}
	if r.get(job).AccessToken != r.get(alice).AccessToken {
		t.Error("not alice's token")
	}
	if ticket, err := r.m.Ticket(job); err != nil || ticket != alice.ticket {
		t.Errorf("not alice's ticket: %v", err)
	}
	nobody := r.m.WithTicket(bob, "")
	_, err := r.m.GetUserAccessToken(nobody)
	wantLoginRequired(t, err)
	_, err = r.m.Ticket(nobody)
	wantLoginRequired(t, err)
}

// Without a user there is no ticket; for a session that has ended there still is
// one, which opens nothing.
func TestTicketWithoutUser(t *testing.T) {
	t.Parallel()
	r := newRefreshRig(t, coretest.Options{})
	for _, ctx := range []context.Context{t.Context(), r.m.NewContext(t.Context(), coretest.NewSession())} {
		if ticket, err := r.m.Ticket(ctx); ticket != "" || !errors.Is(err, core.ErrLoginRequired) {
			t.Errorf("%v, %v", ticket, err)
		}
	}
	u := r.signIn("alice")
	kept := u.as(r.m)
	if _, err := r.m.Ticket(kept); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Logout(t.Context(), u.session); err != nil {
		t.Fatal(err)
	}
	ticket, err := r.m.Ticket(kept)
	if err != nil || ticket != u.ticket {
		t.Errorf("a request that was under way: %v", err)
	}
	_, err = r.m.GetUserAccessToken(r.m.WithTicket(t.Context(), ticket))
	wantLoginRequired(t, err)
}
