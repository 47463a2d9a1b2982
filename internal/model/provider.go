package model

// provider is what the provider knows of the grant.
type provider struct {
	newest  uint8 // refresh token
	revoked uint8 // refresh tokens, as bits
	dead    bool  // the whole grant
}

// good reports whether the provider takes a refresh token.
func (w *walk) good(rt uint8) bool {
	prov := &w.s.prov
	switch {
	case prov.dead || prov.revoked&(1<<rt) != 0:
		return false
	case rt == prov.newest:
		return true
	}
	return w.Provider == Grace && rt+1 == prov.newest && prov.revoked&(1<<prov.newest) == 0
}

// handle has the provider carry out the request of process p.
func (w *walk) handle(s *State, p int) {
	q := &s.procs[p]
	q.pc, q.answer = answered, invalidGrant
	switch {
	case !w.good(q.rt):
		if q.rt != s.prov.newest && w.Provider != Lenient {
			s.prov.dead = true
		}
		return
	case q.rt == s.prov.newest && w.Provider != NonRotating:
		s.prov.newest++
	}
	q.answer = granted
	s.obtain(p, grant{there: true, slot: q.slot, sent: q.rt, rt: s.prov.newest, token: fresh})
}

// revoke is the provider's revocation endpoint.
func (w *walk) revoke(s *State, rt uint8) {
	s.prov.revoked |= 1 << rt
	s.prov.dead = s.prov.dead || w.RevokesAll
}
