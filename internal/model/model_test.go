package model

import (
	"fmt"
	"strings"
	"testing"
)

// world is a Config that is looked through with the rules that core keeps, and those
// that it does not keep but would need there.
type world struct {
	Config
	needs Rules
	only  []Provider // nil: every one
}

var (
	anyOutage = []mode{readOnly, hung, down}

	// worlds are small: two processes, and few things that can happen to them.
	worlds = map[string]world{
		"one token":  {Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 3, Touches: 1}}},
		"two tokens": {Config: Config{Slots: 2, Tokens: early, Limits: Limits{Ages: 1, Touches: 1}}},

		"answer lost": {
			Config: Config{Slots: 2, Tokens: early, Limits: Limits{Ages: 1, LostAnswers: 1}},
			needs:  Doubt,
		},
		"answer lost, errors": {
			Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 2, LostAnswers: 1, Errors: 2}},
			needs:  Doubt,
		},
		"provider is slow": {
			Config: Config{Slots: 1, SlowKeys: true, ShortTime: true},
			needs:  CheckClaim | OwnTime,
		},

		"kill":  {Config: Config{Slots: 2, Limits: Limits{Kills: 1}}},
		"kills": {Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 1, Kills: 2, Touches: 1}}},

		"store fails": {Config: Config{Slots: 2, Limits: Limits{Failures: 2}}},
		"store fails, kill, answer lost": {
			Config: Config{Slots: 1, Limits: Limits{Failures: 2, Kills: 1, LostAnswers: 1}},
		},

		"stops": {
			Config: Config{Slots: 1, Limits: Limits{Stops: 8}},
			needs:  KeepNewer,
		},
		"stops, store fails": {
			Config: Config{Slots: 1, Limits: Limits{Stops: 5, Failures: 1}},
			needs:  SameClaim | KeepNewer,
		},
		"stops, forgiven": {
			Config: Config{Slots: 1, Forgives: true, Prompt: true, Limits: Limits{Stops: 5}},
			only:   []Provider{Lenient},
		},
		"anything, forgiven": {
			Config: Config{Slots: 1, Forgives: true, RevokesAll: true, Limits: Limits{Stops: 6, Kills: 1, LostAnswers: 1}},
			only:   []Provider{Grace},
		},

		"logout":       {Config: Config{Slots: 2, Limits: Limits{Logouts: 1}}},
		"logout, kill": {Config: Config{Slots: 1, Limits: Limits{Logouts: 1, Kills: 1, LostAnswers: 1}}},
		"logout, store fails": {
			Config: Config{Slots: 1, Tokens: early, Limits: Limits{Logouts: 1, Failures: 1, Touches: 1}},
			needs:  RememberEnd,
		},
		"logouts, store fails": {
			Config: Config{Slots: 1, Limits: Limits{Logouts: 2, Failures: 2}},
			needs:  RememberEnd | RevokeUnsure,
			only:   []Provider{Strict},
		},
		"RevokeRefreshToken": {
			Config: Config{Slots: 1, Tokens: early, Limits: Limits{TakeOuts: 1, Failures: 1, Ages: 1}},
			needs:  KeepNewer,
		},
		"RevokeRefreshToken twice": {
			Config: Config{Slots: 1, Limits: Limits{TakeOuts: 2, Failures: 2}},
			needs:  RevokeUnsure,
		},
		"RevokeRefreshToken, logout": {
			Config: Config{Slots: 1, Limits: Limits{TakeOuts: 1, Logouts: 1, Touches: 1}},
		},

		"silent store": {Config: Config{Slots: 1, Outages: []mode{hung, down}, Limits: Limits{Outages: 1, Touches: 1}}},
		"outage": {
			Config: Config{Slots: 1, CachedPeek: true, Outages: anyOutage, Limits: Limits{Outages: 1, Touches: 1}},
			needs:  LookOften | TimeBefore | KeepNewer,
		},
		"outage, slow provider": {
			Config: Config{Slots: 1, SlowKeys: true, CachedPeek: true, Outages: anyOutage, Limits: Limits{Outages: 1}},
			needs:  LookOften | TimeBefore | CheckClaim | KeepNewer,
		},
		"outage, logout": {
			Config: Config{Slots: 1, Tokens: early, CachedPeek: true, Outages: anyOutage, Limits: Limits{Outages: 1, Logouts: 1}},
			needs:  LookOften | RememberEnd | KeepNewer,
		},
	}
)

func (w *world) providers() []Provider {
	if w.only != nil {
		return w.only
	}
	return []Provider{Strict, Lenient, Grace, NonRotating}
}

var providerNames = [...]string{Strict: "strict", Lenient: "lenient", Grace: "grace", NonRotating: "non-rotating"}

// mustHold looks through w, with so many processes.
func (w *world) mustHold(t *testing.T, processes int, p Provider) {
	t.Helper()
	c := w.Config
	c.Processes, c.Provider, c.Rules = processes, p, Kept|w.needs
	r := Check(c, most)
	t.Logf("%d states, %d of them at rest", r.States, r.Resting)
	switch {
	case r.Violation != None:
		t.Errorf("%v\n%s", r.Violation, strings.Join(r.Trace, "\n"))
	case !r.Complete && !raceDetector:
		t.Error("there are more states")
	}
}

// Whatever happens, at whatever moment and in whatever order: nothing that must not
// be comes about, and from everywhere there is a way to rest.
func TestProtocol(t *testing.T) {
	t.Parallel()
	for name, w := range worlds {
		for _, p := range w.providers() {
			t.Run(fmt.Sprintf("%s, %s", name, providerNames[p]), func(t *testing.T) {
				t.Parallel()
				w.mustHold(t, 2, p)
			})
		}
	}
}
