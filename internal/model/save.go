package model

// save takes the next step to merge what process p obtained into the login as the Store
// has it.
func (w *walk) save(p int) {
	q := &w.s.procs[p]
	switch q.pc {
	case saveLoad:
		if q.from == settle && !w.Rules.has(Look) && q.g.slot == q.slot && q.g.token > expired {
			w.to(progress, p, "settle", "serves the unsaved result", func(s *State) {
				w.serve(s, p)
				s.procs[p].end()
			})
			return
		}
		w.saveLoad(p)
	case saveSwap:
		w.saveSwap(p)
	case saveRevoke:
		w.to(progress, p, "save: revoke", rtNames[q.g.rt], func(s *State) {
			w.revoke(s, s.procs[p].g.rt)
			w.decided(s, p, false)
		})
	}
}

func (w *walk) saveLoad(p int) {
	w.read(p, "save: load", func(s *State, q *process, out outcome) {
		switch {
		case out == failed:
			w.notSaved(s, p)
		case !s.rec.there && !w.Rules.has(RevokeObtained):
			w.decided(s, p, false)
		case !s.rec.there && w.Rules.has(SaveSwap):
			q.pc = saveRevoke
		case q.g.in && !q.mine: // isIn
			w.decided(s, p, true)
		case s.rec.there && !s.rec.renewable:
			q.pc = saveRevoke
		case s.rec.rt != q.g.sent && !w.Rules.has(KeepLoser):
			q.pc = saveRevoke
		default:
			q.pc, q.rev = saveSwap, true
		}
	})
	g := &w.s.procs[p].g
	if rec := &w.s.rec; rec.renewable && rec.rt != g.sent && !g.in && (w.s.store == up || w.s.store == readOnly) {
		// Which of two access tokens is the newer one is a matter of two clocks.
		w.to(progress, p, "save: load", "what is there is newer", func(s *State) { w.decided(s, p, true) })
	}
}

func (w *walk) saveSwap(p int) {
	q := &w.s.procs[p]
	what := "save: swap"
	if w.s.rec.rt == q.g.sent {
		what = "save: merge, swap"
	}
	w.write(p, what, q.rev || !w.Rules.has(SaveSwap), lateMerge, func(s *State) {
		if !w.Rules.has(SaveSwap) {
			s.rec.there, s.rec.renewable = true, true
			s.rec.rt = s.procs[p].g.sent
		}
		w.merge(s, p)
	}, func(s *State, q *process, out outcome) {
		q.rev = false
		switch {
		case out == ok:
			w.decided(s, p, true)
		case out == lost && !w.Rules.has(MergeAgain):
			w.decided(s, p, false)
		case s.store == readOnly:
			w.notSaved(s, p) // maxRounds are over before a tick is
		default:
			q.pc = saveLoad
		}
	})
}

// merge puts what process p obtained into the record.
func (w *walk) merge(s *State, p int) {
	g := &s.procs[p].g
	if s.rec.rt != g.sent { // another refresh came between
		s.put(p)
		return
	}
	s.rec.rt, s.rec.unanswered = g.rt, false
	s.unclaim()
	switch {
	case !g.older:
		s.put(p)
	case !w.Rules.has(KeepNewer):
		s.bad = OlderToken
	}
}

// decided goes on once the Store has taken what process p obtained, or has said that it
// is not wanted.
func (w *walk) decided(s *State, p int, taken bool) {
	q := &s.procs[p]
	q.unsaved = false
	switch q.from {
	case accept:
		if taken {
			w.serve(s, p)
		}
		q.end()
	case settle:
		q.round()
	case saveLater:
		q.unlock()
	}
}

// notSaved keeps what process p obtained, and serves it.
func (w *walk) notSaved(s *State, p int) {
	q := &s.procs[p]
	if !q.unsaved {
		q.unsaved, q.tried, q.paused = true, 0, 0
	}
	switch {
	case q.from == saveLater:
		q.unlock()
		return
	case q.from == accept || q.g.slot == q.slot && q.g.token > expired:
		w.serve(s, p)
	}
	q.end()
}
