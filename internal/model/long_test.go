package model

import (
	"flag"
	"fmt"
	"runtime/debug"
	"testing"
)

var long = flag.Bool("long", false, "look through large worlds too, for some minutes and with less than two gigabytes")

// Three processes, two access tokens, and more that happens to them.
func TestLargeWorlds(t *testing.T) {
	if !*long {
		t.Skip("only with -long")
	}
	debug.SetMemoryLimit(1700 << 20)
	for _, large := range []struct {
		name      string
		processes int
		provider  Provider
		world
	}{
		{"two tokens", 3, Strict, world{Config: Config{Slots: 2, Tokens: early, Limits: Limits{Ages: 1, Touches: 1}}}},
		{"two tokens", 2, Grace, world{Config: Config{Slots: 2, Tokens: early, Limits: Limits{Ages: 2, Touches: 2}}}},
		{"one token", 3, Strict, world{Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 5, Touches: 2}}}},
		{"answers lost", 3, Lenient, world{
			Config: Config{Slots: 2, SlowKeys: true, ShortTime: true, Limits: Limits{LostAnswers: 2}},
			needs:  CheckClaim | OwnTime | Doubt,
		}},
		{"answer lost, kills", 3, Strict, world{
			Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 2, Kills: 3, LostAnswers: 1}},
			needs:  Doubt,
		}},
		{"two tokens, kills", 3, Strict, world{Config: Config{Slots: 2, Limits: Limits{Kills: 2}}}},
		{"store fails", 3, NonRotating, world{
			Config: Config{Slots: 1, Tokens: early, Limits: Limits{Ages: 1, Failures: 3, Touches: 1}},
			needs:  KeepNewer,
		}},
		{"two tokens, store fails", 3, Strict, world{Config: Config{Slots: 2, Limits: Limits{Failures: 1}}}},
		{"two tokens, store fails", 2, Grace, world{Config: Config{Slots: 2, Tokens: early, Limits: Limits{Ages: 1, Failures: 2}}, needs: KeepNewer}},
		{"stops, store fails", 3, Strict, world{
			Config: Config{Slots: 1, Limits: Limits{Stops: 8, Failures: 2}},
			needs:  SameClaim | KeepNewer,
		}},
		{"stops, kill, store fails", 2, Lenient, world{
			Config: Config{Slots: 1, Limits: Limits{Stops: 10, Failures: 2, Kills: 1}},
			needs:  SameClaim | KeepNewer,
		}},
		{"logout, kill, store fails", 3, Strict, world{
			Config: Config{Slots: 1, Limits: Limits{Logouts: 1, Kills: 1, Failures: 1}},
			needs:  RememberEnd,
		}},
		{"two tokens, logout, answer lost, store fails", 2, Strict, world{
			Config: Config{Slots: 2, Limits: Limits{Logouts: 1, Failures: 1, LostAnswers: 1}},
			needs:  RememberEnd | Doubt,
		}},
		{"RevokeRefreshToken, logout, store fails", 3, Strict, world{
			Config: Config{Slots: 1, Limits: Limits{TakeOuts: 1, Logouts: 1, Failures: 1}},
			needs:  RememberEnd,
		}},
		{"outage, kills", 3, Strict, world{
			Config: Config{Slots: 1, SlowKeys: true, CachedPeek: true, Outages: anyOutage, Limits: Limits{Outages: 1, Kills: 2}},
			needs:  LookOften | TimeBefore | CheckClaim | KeepNewer,
		}},
		{"outage, logout", 3, Strict, world{
			Config: Config{Slots: 1, Tokens: early, CachedPeek: true, Outages: anyOutage, Limits: Limits{Outages: 1, Logouts: 1}},
			needs:  LookOften | TimeBefore | RememberEnd | KeepNewer,
		}},
		{"two tokens, outage", 2, Strict, world{
			Config: Config{Slots: 2, Tokens: early, CachedPeek: true, Outages: anyOutage, Limits: Limits{Ages: 1, Outages: 1}},
			needs:  LookOften | TimeBefore | KeepNewer,
		}},
		{"logouts, outages", 2, Strict, world{
			Config: Config{Slots: 1, Outages: []mode{down}, Limits: Limits{Logouts: 2, Outages: 2, Failures: 1}},
			needs:  RememberEnd | RevokeUnsure,
		}},
	} {
		t.Run(fmt.Sprintf("%s, %d processes, %s", large.name, large.processes, providerNames[large.provider]), func(t *testing.T) {
			large.mustHold(t, large.processes, large.provider)
			debug.FreeOSMemory()
		})
	}
}
