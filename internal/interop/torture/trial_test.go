package torture

import (
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core/coretest"
)

// trial is one thing that goes wrong in the middle of a refresh, in a fleet of some size.
type trial struct {
	name      string
	processes int
	callers   int           // of each process; 0: 250
	expiries  int           // 0: 2
	skew      time.Duration // between the clocks of two processes
	latency   time.Duration // of the provider
	alive     bool          // the old token lives: nobody should notice
	hangUp    bool          // callers leave
	outage    bool          // of the store: what was answered is saved when it is back
	fault     func(f *fleet, b *backend) coretest.Fault
	logout    bool // the session is to end
	twice     bool // physics: the refresh token may be sent twice, or lost, and why is said in excuse
	excuse    string
}

// row is what came of a trial.
type row struct {
	store string
	trial
	lost, reused, refreshes, failed, left int
	worst                                 time.Duration
	errors                                map[string]int
}

// retryUnsaved is longer than any pause between two tries to save.
const retryUnsaved = 2 * time.Second

const (
	tokenLife = time.Hour
	untilLate = 59*time.Minute + 30*time.Second // in the early window
)

// run takes a fleet through the trial and counts.
func (tr trial) run(t *testing.T, b *backend) row {
	t.Helper()
	tr.callers = max(tr.callers, 1)
	if tr.callers == 1 {
		tr.callers = 250
	}
	if tr.expiries == 0 {
		tr.expiries = 2
	}
	f := newFleet(t, b, tr.processes, tr.skew)
	out := row{store: b.name, trial: tr, errors: map[string]int{}}
	f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute}) // each has seen the session
	for range tr.expiries {
		if tr.alive {
			f.advance(untilLate)
		} else {
			f.advance(tokenLife)
		}
		f.p.Heal()
		fault := coretest.Fault{}
		if tr.fault != nil {
			fault = tr.fault(f, b)
		}
		if tr.latency > 0 {
			before := fault.Before
			fault.Before = func() {
				if before != nil {
					before()
				}
				time.Sleep(tr.latency)
			}
		}
		fault.Grant = "refresh_token"
		f.p.Fail(fault)
		granted := f.p.Granted("refresh_token")
		r := f.order(order{Ticket: string(f.ticket), Callers: tr.callers, Patient: time.Minute, HangUp: tr.hangUp})
		if tr.logout {
			r = result{Worst: r.Worst, LoginRequired: r.LoginRequired}
		}
		out.failed += r.Failed
		out.left += r.Left
		out.worst = max(out.worst, r.Worst)
		for text, n := range r.Errors {
			out.errors[text] += n
		}
		if f.meanwhile.Wait(); tr.outage {
			time.Sleep(retryUnsaved)
		}
		if !tr.logout {
			f.settle(granted, fault.Drop)
			f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute}) // each has seen what came of it
		}
		out.refreshes += f.p.Granted("refresh_token") - granted
		f.replace(tr)
	}
	f.p.Heal()
	out.reused = f.p.Reused()
	if tr.logout {
		out.lost = f.notEnded()
	} else {
		out.lost = f.lost()
	}
	return out
}

// settle waits for a refresh that goes on behind the callers.
func (f *fleet) settle(granted int, failed bool) {
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if f.p.Granted("refresh_token") > granted {
			time.Sleep(500 * time.Millisecond) // the answer arrives and is saved
			return
		}
		if failed { // the pause before the next try is by the clock
			f.advance(time.Second)
		}
		f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute})
	}
}

// replace starts processes in place of those that were killed.
func (f *fleet) replace(tr trial) {
	for len(f.running()) < tr.processes {
		f.start(0)
		f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute})
	}
}

// lost is 1 if the session does not survive: two more expiries, with everything healed.
func (f *fleet) lost() int {
	for range 2 {
		f.advance(tokenLife)
		for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(time.Second) {
			r := f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute})
			if r.Failed == 0 && r.Served > 0 {
				break
			}
			if r.LoginRequired > 0 || time.Now().After(deadline) {
				return 1
			}
		}
	}
	return 0
}

// notEnded is 1 if anybody is still served after a logout, or the provider still has a refresh token in force.
func (f *fleet) notEnded() int {
	r := f.order(order{Ticket: string(f.ticket), Callers: 1, Patient: time.Minute})
	if r.Served > 0 || len(f.p.RefreshTokens("alice")) > 0 {
		return 1
	}
	return 0
}

// logOut ends the session by another process, which must succeed.
func (f *fleet) logOut() {
	if _, err := f.m.Logout(f.t.Context(), f.session); err != nil {
		f.t.Errorf("logout: %v", err)
	}
}

// check fails the test for whatever no physics excuses.
func (r row) check(t *testing.T) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s, %s: "+format+"; %v", append(append([]any{r.store, r.name}, args...), r.errors)...)
	}
	if r.failed > 0 {
		t.Logf("failed callers: %v", r.errors)
	}
	if r.twice {
		return
	}
	if r.lost > 0 {
		bad("the session was lost")
	}
	if r.reused > 0 {
		bad("%d refresh tokens were used again", r.reused)
	}
	if !r.logout && r.refreshes != r.expiries {
		bad("%d refreshes for %d expiries", r.refreshes, r.expiries)
	}
	if r.alive && r.failed > 0 {
		bad("%d callers failed though their token was alive", r.failed)
	}
}
