package model

// Step is one step from a State to the next.
type Step struct {
	kind    kind
	process int
	what    string
	how     string
}

const nobody = -1

// kind tells what comes about by itself from what may happen.
type kind uint8

const (
	progress kind = iota // of a process, or of what it waits for
	clock                // a tick
	free                 // what somebody wishes
	fault
)

// walk finds the steps out of one State.
type walk struct {
	*Config
	s    *State
	emit func(Step, *State)
}

// to emits the step that change makes.
func (w *walk) to(k kind, p int, what, how string, change func(*State)) {
	next := *w.s
	change(&next)
	w.emit(Step{k, p, what, how}, &next)
}

// steps emits all steps out of the state. What comes about by itself comes first.
func (w *walk) steps() {
	if w.s.lasted {
		w.to(progress, nobody, "the Store", "is well again", func(s *State) { s.store, s.lasted = up, false })
	}
	for p := range w.Processes {
		w.flight(p)
		w.beat(p)
		w.call(p)
		w.lock(p)
	}
	w.tick()
	for p := range w.Processes {
		w.wishes(p)
		w.onItsWay(p)
		w.kill(p)
	}
	w.world()
}

// lock gives the lock of the login to one of those in process p that wait for it.
func (w *walk) lock(p int) {
	q := &w.s.procs[p]
	if q.pc != idle {
		return
	}
	if q.unsaved && (q.paused > 0 || w.s.store == up) {
		w.to(progress, p, "saveLater", "", func(s *State) {
			q := &s.procs[p]
			q.pc, q.from, q.paused = saveLoad, saveLater, 0
		})
	}
	for slot := range uint8(slots) {
		if q.pending&(1<<slot) != 0 {
			w.to(progress, p, "refresh", slotNames[slot], func(s *State) {
				q := &s.procs[p]
				q.slot, q.late = slot, s.ended == loggedOut
				q.round()
			})
		}
	}
}

var slotNames = [slots]string{"slot 0", "slot 1"}

// wishes are those of whoever uses process p.
func (w *walk) wishes(p int) {
	for slot := range uint8(w.Slots) {
		w.get(p, slot)
	}
	if w.s.procs[p].call != idle {
		return
	}
	if w.s.left.Logouts > 0 {
		w.to(free, p, "Logout", "begins", func(s *State) {
			s.left.Logouts--
			s.procs[p].call = removeLoad
		})
	}
	if w.s.left.TakeOuts > 0 {
		w.to(free, p, "RevokeRefreshToken", "begins", func(s *State) {
			s.left.TakeOuts--
			s.procs[p].call = takeOutLoad
		})
	}
}

// get is GetUserAccessToken up to the flight that it starts or joins. Where it is
// answered at once it makes no step, unless that tells of something.
func (w *walk) get(p int, slot uint8) {
	const what = "GetUserAccessToken"
	q := &w.s.procs[p]
	bit := uint8(1) << slot
	wait := func(s *State) {
		s.procs[p].pending |= bit
		s.procs[p].waiting |= bit
	}
	switch {
	case w.s.store > readOnly && q.unsaved:
		if q.waiting&bit == 0 {
			w.to(free, p, what, "there is an unsaved result", wait)
		}
	case w.s.store > readOnly:
		if q.known && q.looked && !w.Rules.has(RememberEnd) {
			w.to(free, p, what, "is served as a moment ago", func(s *State) { s.bad = ServedAfterLogout })
		}
	case !w.s.rec.there:
		if q.looked || w.s.ended == signedIn {
			return
		}
		w.to(free, p, what, "the session is over", func(s *State) {
			w.see(s, p)
			s.procs[p].known = false
		})
		if q.waiting&bit == 0 {
			w.to(free, p, what, "Peek is behind", wait)
		}
	case w.s.rec.tokens[slot] == expired:
		if q.waiting&bit == 0 {
			w.to(free, p, what, slotNames[slot], wait)
		}
	default:
		early := w.s.rec.tokens[slot] == early && w.s.rec.renewable && q.pending&bit == 0
		if early || !q.known && w.silent() {
			w.to(free, p, what, "is served at once", func(s *State) {
				s.procs[p].known = w.silent()
				if early {
					s.procs[p].pending |= bit // for which nobody waits
				}
			})
		}
	}
}

// kill ends process p, in whose place another one starts.
func (w *walk) kill(p int) {
	if w.s.left.Kills == 0 || w.s.procs[p] == (process{}) {
		return
	}
	w.to(fault, p, "kill -9", "", func(s *State) {
		s.left.Kills--
		q := &s.procs[p]
		if q.g.there {
			s.lost |= 1 << q.g.sent
		}
		if q.pc >= posted && q.pc <= release {
			s.lost |= 1 << q.rt
		}
		s.orphaned = s.orphaned || q.pc == saveRevoke || q.call > removeLoad && q.call != takeOutLoad
		*q = process{}
	})
}

// world is what happens to everybody.
func (w *walk) world() {
	left := &w.s.left
	if left.Ages > 0 && w.s.rec.there {
		w.to(free, nobody, "time", "passes, access tokens grow old", func(s *State) {
			s.left.Ages--
			s.growOld()
		})
	}
	if left.Touches > 0 && w.s.rec.there && w.s.store == up {
		w.to(free, nobody, "touch", "", func(s *State) {
			s.left.Touches--
			s.changed()
		})
	}
	if left.Outages > 0 && w.s.store == up {
		for _, m := range w.Outages {
			w.to(fault, nobody, "the Store", modeNames[m], func(s *State) {
				s.left.Outages--
				s.store = m
			})
		}
	}
}

// silent reports whether there will be a time at which the Store does not answer.
func (w *walk) silent() bool { return w.s.left.Outages > 0 && len(w.Outages) > 0 }

func (s *State) growOld() {
	older := func(l *life) {
		if *l > expired {
			*l--
		}
	}
	for i := range s.rec.tokens {
		older(&s.rec.tokens[i])
	}
	for i := range s.procs {
		q := &s.procs[i]
		older(&q.held)
		older(&q.g.token)
		q.known = false
	}
}
