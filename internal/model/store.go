package model

// mode is how the Store is, for everybody.
type mode uint8

const (
	up mode = iota
	readOnly
	hung // operations wait
	down // operations fail at once
)

var modeNames = [...]string{up: "is well", readOnly: "takes no writes", hung: "hangs", down: "is down"}

// outcome is that of an operation of the Store, as its caller sees it.
type outcome uint8

const (
	ok outcome = iota
	lost
	failed
)

// read has process p load the record; then goes on from what is there.
func (w *walk) read(p int, what string, then func(s *State, q *process, out outcome)) {
	switch w.s.store {
	case hung:
	case down:
		w.fails(progress, p, what, "the Store is down", then)
	case up, readOnly:
		how := "no record"
		switch {
		case w.s.rec.renewable:
			how = rtNames[w.s.rec.rt]
		case w.s.rec.there:
			how = "no refresh token"
		}
		w.to(progress, p, what, how, func(s *State) {
			w.see(s, p)
			then(s, &s.procs[p], ok)
		})
		w.fails(fault, p, what, "fails", then)
	}
}

// see notes what process p learns from an answer of the Store.
func (w *walk) see(s *State, p int) {
	q := &s.procs[p]
	switch {
	case !s.rec.there:
		q.looked = s.ended != signedIn
	case s.rec.anyAlive():
		q.known = w.silent()
	}
}

// fails is an operation of process p that the Store does not carry out, or says it has
// not: as long as it is well for others that is a fault.
func (w *walk) fails(k kind, p int, what, how string, then func(s *State, q *process, out outcome)) {
	if k == fault && w.s.left.Failures == 0 {
		return
	}
	w.to(k, p, what, how, func(s *State) {
		q := &s.procs[p]
		q.late = false
		if k == fault {
			s.left.Failures--
			q.stopped = true
		}
		then(s, q, failed)
	})
}

// write has process p replace or delete the state of the record that it read, if rev
// says that it is still that one; change does so, and then goes on.
func (w *walk) write(p int, what string, rev bool, onWay lateWrite, change func(*State), then func(s *State, q *process, out outcome)) {
	switch {
	case w.s.store == hung:
		return
	case w.s.store != up:
		w.fails(progress, p, what, "the Store "+modeNames[w.s.store], then)
		return
	case !rev:
		w.to(progress, p, what, "lost: the record has changed", func(s *State) { then(s, &s.procs[p], lost) })
	default:
		w.to(progress, p, what, "written", func(s *State) {
			s.changed()
			change(s)
			then(s, &s.procs[p], ok)
		})
		w.fails(fault, p, what, "written, but reported as failed", func(s *State, q *process, out outcome) {
			s.changed()
			change(s)
			then(s, q, out)
		})
		if onWay != noWrite {
			w.fails(fault, p, what, "given up, but still on its way", func(s *State, q *process, out outcome) {
				then(s, q, out)
				q.onWay = onWay
			})
		}
	}
	w.fails(fault, p, what, "fails", then)
}

// update is claimHold.update of process p. It loads, changes and swaps until nobody
// comes between, which is one step, out of the state that it loaded last. It is lost where
// the claim has gone.
func (w *walk) update(p int, what string, change func(*State), then func(s *State, q *process, out outcome)) {
	ours := w.s.rec.there && w.s.procs[p].mine
	switch {
	case w.s.store == hung:
		return
	case w.s.store == down:
		w.fails(progress, p, what, "the Store is down", then)
		return
	case !ours:
		w.to(progress, p, what, "the claim is not ours any more", func(s *State) {
			w.see(s, p)
			then(s, &s.procs[p], lost)
		})
	case w.s.store == readOnly:
		w.fails(progress, p, what, "the Store takes no writes", func(s *State, q *process, out outcome) {
			q.stopped = true // others can read, and wait
			then(s, q, out)
		})
		return
	default:
		w.to(progress, p, what, "written", func(s *State) {
			s.changed()
			change(s)
			then(s, &s.procs[p], ok)
		})
	}
	w.fails(fault, p, what, "fails", then)
}

// onItsWay carries out what process p has given up.
func (w *walk) onItsWay(p int) {
	if w.s.procs[p].onWay == noWrite {
		return
	}
	w.to(free, p, "the Store", "carries out what was given up", func(s *State) {
		q := &s.procs[p]
		what := q.onWay
		s.changed()
		switch what {
		case lateClaim:
			ours := q.mine || q.pc == claimLoad // else the attempt has been forgotten
			s.putClaim(p)
			q.mine, q.swapped = ours, q.pc == claimLoad
		case lateMerge:
			w.merge(s, p)
		case lateDelete:
			s.remove()
			s.ended, s.orphaned = max(s.ended, deleted), true
		}
	})
}
