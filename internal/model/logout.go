package model

// call takes the next step of a Logout or a RevokeRefreshToken in process p.
func (w *walk) call(p int) {
	q := &w.s.procs[p]
	switch q.call {
	case removeLoad:
		w.read(p, "remove: load", func(s *State, q *process, out outcome) {
			switch {
			case out == failed:
				q.call = idle
			case !s.rec.there:
				s.loggedOut(p)
			default:
				q.call, q.callRT, q.callRev = removeDrop, s.rec.rt, true
			}
		})
	case removeDrop:
		w.write(p, "remove: drop", q.callRev || !w.Rules.has(LogoutSwap), lateDelete, func(s *State) {
			s.remove()
			s.ended = max(s.ended, deleted)
		}, func(_ *State, q *process, out outcome) {
			q.callRev = false
			switch out {
			case ok:
				q.call, q.looked, q.known = removeRevoke, true, false
			case lost:
				q.call, q.callRT = removeLoad, 0
			case failed:
				q.call = removeLook
			}
		})
	case removeLook:
		w.read(p, "remove: load", func(s *State, q *process, out outcome) {
			switch {
			case out == failed && w.Rules.has(RevokeUnsure):
				s.unsure = true
				w.revoke(s, q.callRT)
				q.call, q.callRT = idle, 0
			case out == failed || s.rec.there:
				q.call, q.callRT = idle, 0
			default:
				q.call = removeRevoke
			}
		})
	case removeRevoke:
		w.to(progress, p, "Logout: revoke", rtNames[q.callRT], func(s *State) {
			w.revoke(s, s.procs[p].callRT)
			s.loggedOut(p)
		})
	case takeOutLoad, takeOutSwap, takeOutLook, takeOutRevoke:
		w.takeOut(p)
	}
}

// loggedOut returns from a Logout in process p.
func (s *State) loggedOut(p int) {
	q := &s.procs[p]
	s.ended, q.looked = loggedOut, true
	q.call, q.callRT = idle, 0
}

// takeOut is RevokeRefreshToken.
func (w *walk) takeOut(p int) {
	q := &w.s.procs[p]
	switch q.call {
	case takeOutLoad:
		w.read(p, "RevokeRefreshToken: load", func(s *State, q *process, out outcome) {
			if out == failed || !s.rec.renewable {
				q.call = idle
				return
			}
			q.call, q.callRT, q.callRev = takeOutSwap, s.rec.rt, true
		})
	case takeOutSwap:
		w.write(p, "RevokeRefreshToken: swap", q.callRev, noWrite, func(s *State) {
			s.unclaim()
			s.rec.renewable, s.rec.unanswered, s.rec.rt = false, false, 0
			s.takenOut = true
		}, func(_ *State, q *process, out outcome) {
			q.callRev = false
			switch out {
			case ok:
				q.call = takeOutRevoke
			case lost:
				q.call, q.callRT = takeOutLoad, 0
			case failed:
				q.call = takeOutLook
			}
		})
	case takeOutLook:
		w.read(p, "RevokeRefreshToken: load", func(s *State, q *process, out outcome) {
			switch {
			case out == failed && w.Rules.has(RevokeUnsure):
				s.unsure = true
				q.call = takeOutRevoke
			case out == failed || s.rec.renewable:
				q.call, q.callRT = idle, 0
			default:
				q.call = takeOutRevoke
			}
		})
	case takeOutRevoke:
		w.to(progress, p, "postRevocation", rtNames[q.callRT], func(s *State) {
			q := &s.procs[p]
			w.revoke(s, q.callRT)
			q.call, q.callRT = idle, 0
		})
	}
}
