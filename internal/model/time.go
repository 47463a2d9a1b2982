package model

// urgent reports whether process p does something before the next tick, if it is not
// stopped. What it does not do by then it is kept from by nobody: the provider and its
// keys take their time, and so do those who wait for a claim.
func (w *walk) urgent(p int) bool {
	q := &w.s.procs[p]
	answers := w.s.store != hung
	switch q.pc {
	case claimWritten, send:
		return true
	case answered:
		if !q.beat {
			return w.Prompt
		}
	case load, claimSwap, claimLoad, timeBeforeLoad, release, refreshTokenDied, saveLoad, saveSwap:
		return answers
	case timeBefore, timeAfter:
		return q.beat && answers || !q.beat && q.standing == claimWait
	case idle:
		pause := uint8(1)
		if q.tried == maxPause {
			pause = maxPause
		}
		return q.unsaved && q.paused >= pause && answers
	}
	return q.beat && answers
}

// tick lets a quarter of claimWait pass for everybody. Whoever has something to do
// before it is stopped.
func (w *walk) tick() {
	var stopped [processes]bool
	stops := uint8(0)
	for p := range w.Processes {
		if w.urgent(p) {
			stopped[p] = true
			stops++
		}
	}
	k, how := clock, ""
	if stops > 0 {
		k, how = fault, "passes somebody by"
	}
	if stops > w.s.left.Stops {
		return
	}
	w.to(k, nobody, "a tick", how, func(s *State) {
		s.left.Stops -= stops
		s.lasted = s.store != up
		for p := range w.Processes {
			s.procs[p].stopped = s.procs[p].stopped || stopped[p]
			w.pass(s, p)
		}
	})
}

// pass lets a tick pass for process p.
func (w *walk) pass(s *State, p int) {
	q := &s.procs[p]
	if q.unsaved {
		q.tried, q.paused = min(q.tried+1, maxPause), min(q.paused+1, maxPause)
	}
	if q.mine {
		q.stands = min(q.stands+1, claimWait)
		if q.stands == claimWait && q.stopped {
			switch {
			case q.unsaved:
				s.cutOff |= 1 << q.g.sent
			case q.pc >= send:
				s.cutOff |= 1 << q.rt
			}
		}
	}
	switch q.pc {
	case claimSwap, claimLoad, claimWritten:
		q.elapsed = min(q.elapsed+1, claimWait/2)
	case send, posted, answered:
		q.beat = q.mine && w.Rules.has(Renew)
	case checkIDToken:
		q.beat = q.mine && w.Rules.has(CheckClaim)
	case timeBefore, timeAfter:
		if !q.beat { // else it is held up by that
			q.standing = min(q.standing+1, claimWait)
		}
		q.beat = true
	case awaitClaim:
		if s.store > readOnly && w.asks(q) && w.Rules.has(WatchStore) {
			q.standing = 0
		} else {
			q.standing = min(q.standing+1, claimWait)
		}
	}
}
