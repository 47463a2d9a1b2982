package model

import "fmt"

// Violation is what must never be.
type Violation uint8

// The violations.
const (
	None Violation = iota
	SentTwice
	SentWhileAlive
	SessionDied
	ServedAfterLogout
	OlderToken
	NotStored
	NotGone
	NotTakenOut
	NotRevoked
	Stuck
)

var violationNames = [...]string{
	None:              "nothing",
	SentTwice:         "a refresh token is sent twice, though no answer was lost, nobody was killed and no owner was cut off",
	SentWhileAlive:    "a refresh token that may have been consumed is sent again while an access token lives",
	SessionDied:       "the session dies without an excuse",
	ServedAfterLogout: "a token is served after the logout",
	OlderToken:        "an older access token takes the place of a newer one",
	NotStored:         "at rest the newest refresh token is not in the Store",
	NotGone:           "at rest, after a logout, there is a record",
	NotTakenOut:       "at rest, after RevokeRefreshToken, there is a refresh token",
	NotRevoked:        "at rest, after a logout or RevokeRefreshToken, the newest refresh token is good",
	Stuck:             "nothing leads to rest any more",
}

func (v Violation) String() string { return violationNames[v] }

// rests reports whether nothing is under way.
func (s *State) rests() bool {
	for i := range s.procs {
		q := &s.procs[i]
		if q.pc != idle || q.call != idle || q.pending != 0 || q.unsaved {
			return false
		}
	}
	return s.store == up
}

// excused reports whether the session may have died.
func (c *Config) excused(s *State) bool { return s.unsure || !c.Forgives && s.lost|s.cutOff != 0 }

// atRest looks for what must not be when nothing is under way.
func (w *walk) atRest() Violation {
	s := w.s
	good := w.good(s.prov.newest)
	switch {
	case s.ended == loggedOut && s.rec.there:
		return NotGone
	case s.takenOut && s.rec.renewable:
		return NotTakenOut
	case s.ended == loggedOut || s.takenOut:
		if good && s.lost == 0 && !s.orphaned {
			return NotRevoked
		}
	case s.ended != signedIn || w.excused(s):
	case !s.rec.there:
		return SessionDied
	case s.rec.rt != s.prov.newest && !w.Forgives, !w.good(s.rec.rt):
		return NotStored
	}
	return None
}

// Result is what looking through a Config has found.
type Result struct {
	States    int
	Resting   int
	Complete  bool // there are no more states
	Violation Violation
	Trace     []string // the shortest way to it
}

// checker has all states, those nearest to the start first. A state is known by its
// number, its fingerprint, and the way to it.
type checker struct {
	*Config
	known  map[fingerprint]uint32
	parent []uint32
	by     []uint8  // the number of the step out of the parent
	next   []uint32 // what follows if nobody wishes for anything any more and nothing fails
}

const nowhere = ^uint32(0)

// Check looks through the states of c, all of them unless there are more than limit; 0
// is no limit. It ends at the first violation.
func Check(c Config, limit int) Result {
	k := &checker{Config: &c, known: make(map[fingerprint]uint32)}
	start := c.start()
	k.add(&start, nowhere, 0)
	at, resting := uint32(0), 0
	for level := []State{start}; len(level) > 0; {
		if limit > 0 && len(k.parent) > limit {
			return Result{States: len(k.parent), Resting: resting}
		}
		var deeper []State
		for i := range level {
			w := walk{Config: &c, s: &level[i]}
			rests := w.s.rests()
			if rests {
				resting++
				k.next[at] = at
				if v := w.atRest(); v != None {
					return k.violated(v, at)
				}
			}
			bad, v := nowhere, None
			by := uint8(0)
			w.emit = func(step Step, to *State) {
				to.canonical(c.Processes)
				id, isNew := k.add(to, at, by)
				by++
				if isNew {
					deeper = append(deeper, *to)
				}
				if to.bad != None {
					bad, v = id, to.bad
				}
				if k.next[at] == nowhere && step.kind <= clock && id != at {
					k.next[at] = id
				}
			}
			w.steps()
			if bad != nowhere {
				return k.violated(v, bad)
			}
			at++
		}
		level = deeper
	}
	if at, stuck := k.stuck(); stuck {
		return k.violated(Stuck, at)
	}
	return Result{States: len(k.parent), Resting: resting, Complete: true}
}

func (k *checker) add(s *State, parent uint32, by uint8) (id uint32, isNew bool) {
	f := s.fingerprint()
	if id, there := k.known[f]; there {
		return id, false
	}
	id = uint32(len(k.parent))
	k.known[f] = id
	k.parent = append(k.parent, parent)
	k.by = append(k.by, by)
	k.next = append(k.next, nowhere)
	return id, true
}

// stuck finds a state from which nothing leads to rest by itself.
func (k *checker) stuck() (at uint32, found bool) {
	visited := make([]uint32, len(k.next)) // by which walk, from 1 on
	for i := range k.next {
		walk := uint32(i) + 1
		for at = uint32(i); visited[at] == 0; at = k.next[at] {
			visited[at] = walk
			if k.next[at] == nowhere {
				return at, true
			}
		}
		if visited[at] == walk && k.next[at] != at {
			return at, true // round and round
		}
	}
	return 0, false
}

// violated tells the way to a state, by going it again.
func (k *checker) violated(v Violation, at uint32) Result {
	r := Result{States: len(k.parent), Violation: v}
	var way []uint8
	for ; k.parent[at] != nowhere; at = k.parent[at] {
		way = append(way, k.by[at])
	}
	s := k.start()
	name := [processes]int{1, 2, 3} // states do not know which process is which
	for i := len(way) - 1; i >= 0; i-- {
		var step Step
		var next State
		by := uint8(0)
		w := walk{Config: k.Config, s: &s}
		w.emit = func(taken Step, to *State) {
			if by == way[i] {
				step, next = taken, *to
			}
			by++
		}
		w.steps()
		who := ""
		if step.process != nobody {
			who = fmt.Sprintf("process %d", name[step.process])
		}
		r.Trace = append(r.Trace, fmt.Sprintf("%3d  %-10s %-34s %-40s %s", len(r.Trace)+1, who, step.what, step.how, &next))
		s = next
		from := s.canonical(k.Processes)
		name = [processes]int{name[from[0]], name[from[1]], name[from[2]]}
	}
	return r
}
