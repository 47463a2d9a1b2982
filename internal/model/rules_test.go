package model

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each rule is there for something: without it, and with all the others, something
// comes about that must not be.
func TestEveryRuleIsNeeded(t *testing.T) {
	t.Parallel()
	needed := []struct {
		rule     Rules
		world    string
		provider Provider
		want     Violation
	}{
		{Claim, "one token", Strict, SentTwice},
		{FreshClaim, "stops", Strict, SentTwice},
		{SameClaim, "stops, store fails", Strict, SentTwice},
		{TakeOver, "kill", Strict, Stuck},
		{OwnClock, "one token", Strict, SentTwice},
		{WatchStore, "silent store", Strict, SentTwice},
		{LookOften, "outage", Strict, SentTwice},
		{Renew, "one token", Strict, SentTwice},
		{CheckClaim, "provider is slow", Strict, SentTwice},
		{OwnTime, "provider is slow", Strict, NotStored},
		{NoResend, "answer lost", Strict, SentWhileAlive},
		{Doubt, "answer lost", Strict, SentWhileAlive},
		{TimeBefore, "outage", Strict, SentTwice},
		{TimeAfter, "stops, forgiven", Lenient, SessionDied},
		{MergeAgain, "one token", Strict, NotStored},
		{SaveSwap, "logout", Strict, NotGone},
		{SaveSwap, "RevokeRefreshToken", Strict, NotTakenOut},
		{KeepNewer, "stops", NonRotating, OlderToken},
		{KeepLoser, "anything, forgiven", Grace, NotStored},
		{Look, "logout, store fails", Strict, ServedAfterLogout},
		{RememberEnd, "logout, store fails", Strict, ServedAfterLogout},
		{RememberEnd, "outage, logout", Strict, ServedAfterLogout},
		{RevokeObtained, "logout", Strict, NotRevoked},
		{LogoutSwap, "logout", Strict, NotRevoked},
		{RevokeUnsure, "logouts, store fails", Strict, NotRevoked},
		{RevokeUnsure, "RevokeRefreshToken twice", Strict, NotRevoked},
	}
	seen := Rules(0)
	for _, n := range needed {
		seen |= n.rule
		t.Run(fmt.Sprintf("%v, %s", n.rule, n.world), func(t *testing.T) {
			t.Parallel()
			w, ok := worlds[n.world]
			if !ok {
				t.Fatal("there is no such world")
			}
			c := w.Config
			c.Processes, c.Provider, c.Rules = 2, n.provider, All&^n.rule
			if n.rule == TimeAfter {
				c.Rules &^= TimeBefore // whose time would do
			}
			r := Check(c, 0)
			t.Logf("%d states: %v\n%s", r.States, r.Violation, strings.Join(r.Trace, "\n"))
			if r.Violation != n.want {
				t.Errorf("found: %v\nwant: %v", r.Violation, n.want)
			}
		})
	}
	if seen != All {
		t.Errorf("not tried: %v", All&^seen)
	}
}

// What core does not keep it lacks: with the rules that it keeps alone, the worlds that
// need more do not hold.
func TestWhatCoreLacks(t *testing.T) {
	t.Parallel()
	for name, w := range worlds {
		if w.needs&^Kept == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := w.Config
			c.Processes, c.Rules = 2, Kept
			for p := range slices.Backward(providerNames[:]) { // the last one shows all of it
				c.Provider = Provider(p)
				r := Check(c, 0)
				if r.Violation != None {
					t.Logf("%d states: %v\n%s", r.States, r.Violation, strings.Join(r.Trace, "\n"))
					return
				}
			}
			t.Errorf("it holds without %v", w.needs&^Kept)
		})
	}
}
