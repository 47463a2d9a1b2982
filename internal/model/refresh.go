package model

// flight takes the next step of the flight of process p, which holds the lock.
func (w *walk) flight(p int) {
	q := &w.s.procs[p]
	switch q.pc {
	case load:
		w.read(p, "refresh: load", func(s *State, q *process, out outcome) {
			if out == failed || !s.rec.there {
				q.end()
				return
			}
			w.withoutSending(s, p)
		})
	case awaitClaim:
		w.awaitClaim(p)
	case claimSwap, claimLoad, claimWritten, timeBefore, timeBeforeLoad:
		w.claim(p)
	case send:
		w.to(progress, p, "send", rtNames[q.rt], func(s *State) { w.post(s, p) })
	case posted:
		w.requestToken(p)
		w.outOfTime(p)
	case answered:
		w.receive(p)
		w.outOfTime(p)
	case checkIDToken:
		w.to(progress, p, "accept", "the ID token is checked", func(s *State) {
			s.procs[p].pc, s.procs[p].beat = saveLoad, false
		})
	case timeAfter:
		if q.standing == claimWait && !q.beat {
			w.to(progress, p, "giveTime", "is over", func(s *State) { s.procs[p].pc = release })
		}
	case release:
		w.release(p)
	case refreshTokenDied:
		w.refreshTokenDied(p)
	case saveLoad, saveSwap, saveRevoke:
		w.save(p)
	}
}

// withoutSending goes on from the login that process p has just loaded.
func (w *walk) withoutSending(s *State, p int) {
	q := &s.procs[p]
	token := s.rec.tokens[q.slot]
	switch {
	case token == fresh, token == early && !s.rec.renewable:
		w.serve(s, p)
		q.end()
	case !s.rec.renewable:
		q.end()
	case s.rec.unanswered && w.Rules.has(NoResend) && w.insteadOfResending(s, p):
	case s.rec.claim && w.Rules.has(Claim):
		q.pc, q.theirs, q.same = awaitClaim, true, true
	default:
		w.claimNow(s, p)
	}
}

// insteadOfResending ends the flight of process p if an access token lives.
func (w *walk) insteadOfResending(s *State, p int) bool {
	q := &s.procs[p]
	if !s.rec.anyAlive() {
		return false
	}
	if s.rec.tokens[q.slot] > expired {
		w.serve(s, p)
	}
	q.end()
	return true
}

// post sends the refresh token.
func (w *walk) post(s *State, p int) {
	q := &s.procs[p]
	bit := uint8(1) << q.rt
	switch {
	case s.sent&bit == 0, s.cutOff&bit != 0, s.prov.revoked&bit != 0, s.prov.dead:
	case s.lost&bit == 0:
		s.bad = SentTwice
	case s.rec.rt == q.rt && s.rec.anyAlive():
		s.bad = SentWhileAlive
	}
	s.sent |= bit
	q.pc = posted
}

// requestToken is the provider's part.
func (w *walk) requestToken(p int) {
	q := &w.s.procs[p]
	how := "the provider answers invalid_grant"
	if w.good(q.rt) {
		how = "the provider grants"
	}
	w.to(progress, p, "requestToken", how, func(s *State) { w.handle(s, p) })
	if w.s.left.LostAnswers > 0 {
		lose := func(how string, as answer, handled bool) {
			w.to(fault, p, "requestToken", how, func(s *State) {
				s.left.LostAnswers--
				q := &s.procs[p]
				s.lost |= 1 << q.rt
				if handled {
					w.handle(s, p)
				}
				q.pc, q.answer, q.g = answered, as, grant{}
			})
		}
		lose(how+", the answer is lost", noAnswer, true)
		lose("is lost", noAnswer, false)
		if !w.Rules.has(Doubt) {
			lose(how+", a proxy answers 502", serverError, true)
		}
	}
	if w.s.left.Errors > 0 {
		w.to(fault, p, "requestToken", "the provider fails", func(s *State) {
			s.left.Errors--
			q := &s.procs[p]
			s.sent &^= 1 << q.rt
			q.pc, q.answer = answered, serverError
		})
	}
}

// outOfTime ends the context of the flight of process p.
func (w *walk) outOfTime(p int) {
	if w.ShortTime && !w.Rules.has(OwnTime) {
		w.to(free, p, "send", "the flight is out of time", func(s *State) { s.procs[p].end() })
	}
}

// receive goes on from the answer, which does not wait for a beat.
func (w *walk) receive(p int) {
	switch w.s.procs[p].answer {
	case granted:
		w.to(progress, p, "accept", "", func(s *State) {
			q := &s.procs[p]
			q.from, q.pc = accept, saveLoad
			if w.SlowKeys {
				q.pc = checkIDToken
			}
			q.beat = q.beat && q.pc == checkIDToken && w.Rules.has(CheckClaim)
			if w.Provider == NonRotating {
				s.sent &^= 1 << q.rt
			}
		})
	case invalidGrant:
		w.to(progress, p, "send", "invalid_grant", func(s *State) {
			q := &s.procs[p]
			q.refused |= 1 << q.rt
			q.beat, q.pc = false, release
			if q.tookOver && w.Rules.has(TimeAfter) {
				q.tookOver = false
				q.pc = timeAfter
			}
		})
	case noAnswer, serverError:
		w.to(progress, p, "sendFailed", "", func(s *State) { s.procs[p].beat, s.procs[p].pc = false, release })
	}
}

// release clears the claim of process p after a send that gave nothing.
func (w *walk) release(p int) {
	w.update(p, "release", func(s *State) {
		s.unclaim()
		s.rec.unanswered = s.rec.unanswered || s.procs[p].answer == noAnswer
	}, func(s *State, q *process, _ outcome) {
		if q.answer == invalidGrant {
			q.round()
			return
		}
		if q.held > expired {
			w.serve(s, p) // unrenewed
		}
		q.end()
	})
}

// refreshTokenDied deletes the record.
func (w *walk) refreshTokenDied(p int) {
	w.write(p, "refreshTokenDied: drop", w.s.procs[p].rev, noWrite, func(s *State) {
		if !w.excused(s) {
			s.bad = SessionDied
		}
		s.remove()
	}, func(_ *State, q *process, out outcome) {
		if out == lost {
			q.round()
			return
		}
		q.known = q.known && out == failed
		q.end()
	})
}

// serve hands the token of the flight of process p to those who wait for it.
func (w *walk) serve(s *State, p int) {
	q := &s.procs[p]
	waits := q.waiting&(1<<q.slot) != 0
	if waits && (q.late || q.looked && !w.Rules.has(RememberEnd)) {
		s.bad = ServedAfterLogout
	}
}
