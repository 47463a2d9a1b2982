package model

// claimNow goes on to the claim, from the login that process p has just loaded.
func (w *walk) claimNow(s *State, p int) {
	q := &s.procs[p]
	q.theirs, q.same, q.standing = false, false, 0
	q.rt, q.held, q.rev = s.rec.rt, s.rec.tokens[q.slot], true
	switch {
	case q.refused&(1<<q.rt) != 0:
		q.pc = refreshTokenDied
	case !w.Rules.has(Claim):
		q.pc = send
	default:
		q.pc = claimSwap
	}
}

// claim writes the right to send a refresh token into the record.
func (w *walk) claim(p int) {
	q := &w.s.procs[p]
	switch q.pc {
	case claimSwap:
		w.write(p, "claim: swap", q.rev, lateClaim, func(s *State) {
			s.putClaim(p)
			s.procs[p].swapped, s.procs[p].rev = true, true
		}, func(s *State, q *process, out outcome) {
			switch {
			case out == ok:
				q.pc = claimWritten
			case out == lost:
				q.round()
			case s.store == readOnly:
				q.end() // maxRounds are over before a tick is
			default:
				q.pc, q.rev = claimLoad, false
			}
		})
	case claimLoad:
		w.read(p, "claim: load", func(_ *State, q *process, out outcome) {
			switch {
			case out == failed:
				q.end()
			case !q.mine:
				q.round() // errNotWritten
			case !q.swapped && w.Rules.has(SameClaim):
				q.pc, q.elapsed, q.rev = claimSwap, 0, true
			default:
				q.pc, q.rev = claimWritten, true
			}
		})
	case claimWritten:
		if q.elapsed == claimWait/2 && w.Rules.has(FreshClaim) {
			w.to(progress, p, "claim", "was written too long ago", func(s *State) {
				q := &s.procs[p]
				q.pc, q.elapsed, q.swapped = claimSwap, 0, false
			})
			return
		}
		w.to(progress, p, "claim", "was written a moment ago", func(s *State) {
			q := &s.procs[p]
			q.pc, q.rev, q.elapsed, q.swapped, q.stopped = send, false, 0, false, false
			if q.tookOver && !q.given && w.Rules.has(TimeBefore) {
				q.pc = timeBefore
			}
		})
	case timeBefore:
		if q.standing == claimWait && !q.beat {
			w.to(progress, p, "giveTime", "is over", func(s *State) {
				q := &s.procs[p]
				q.pc, q.standing, q.given = timeBeforeLoad, 0, true
			})
		}
	case timeBeforeLoad:
		w.read(p, "claim: load", func(_ *State, q *process, out outcome) {
			switch {
			case out == failed:
				q.end()
			case !q.mine:
				q.round()
			default:
				q.pc, q.rev = claimSwap, true
			}
		})
	}
}

// awaitClaim polls the claim of somebody else. Whatever Peek says, only Load decides:
// these are the polls at which it finds something.
func (w *walk) awaitClaim(p int) {
	const what = "awaitClaim: load"
	q := &w.s.procs[p]
	switch {
	case w.s.store == down:
		if w.asks(q) && w.s.lasted {
			w.to(progress, p, what, "the Store is down for long", func(s *State) { s.procs[p].end() })
		}
	case !q.theirs:
		w.read(p, what+": it has gone", func(_ *State, q *process, out outcome) {
			if out == ok {
				q.round()
			}
			q.standing = 0
		})
	case !q.same:
		w.read(p, what+": its owner lives", func(_ *State, q *process, out outcome) {
			q.same, q.standing = out == ok, 0
		})
	case w.waited(q):
		w.read(p, what+": it has stood", func(s *State, q *process, out outcome) {
			switch {
			case out == failed:
				q.standing = 0
			case w.Rules.has(NoResend) && w.insteadOfResending(s, p):
			default:
				q.tookOver = true
				w.claimNow(s, p)
			}
		})
	}
}

// waited reports whether the claim that process q waits for has stood for long enough.
func (w *walk) waited(q *process) bool {
	return w.Rules.has(TakeOver) && (q.standing == claimWait || !w.Rules.has(OwnClock))
}

// asks reports whether process q, which waits for a claim, looks into the Store itself.
func (w *walk) asks(q *process) bool {
	return !w.CachedPeek || w.Rules.has(LookOften) || w.waited(q)
}

// beat renews the claim of process p.
func (w *walk) beat(p int) {
	if !w.s.procs[p].beat {
		return
	}
	w.update(p, "hold.renew", func(s *State) { s.putClaim(p) }, func(_ *State, q *process, out outcome) {
		q.beat = false
		switch {
		case q.pc != timeBefore:
		case out == lost:
			q.round()
		case out == failed:
			q.end()
		}
	})
}
