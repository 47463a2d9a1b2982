package model

import "hash/maphash"

// The unit of time is the tick, of which claimWait has four: a beat is one, and
// claimWait/2 are two.
const (
	claimWait = 4
	maxPause  = 3 // ticks between two tries of saveLater, once it has tried for as long
	processes = 3 // at most
	slots     = 2
)

// State is everything at one moment. It is plain bytes, compared and hashed as they
// are: what does not matter any more must be zero.
type State struct {
	store  mode
	lasted bool // the outage has, for a tick: a shorter one is a failure of single operations
	rec    record
	prov   provider
	procs  [processes]process
	ended  ending
	bad    Violation
	left   Limits

	// Refresh tokens by number, as bits.
	sent   uint8 // posted, and not known to have been left alone
	lost   uint8 // an answer to it was lost, or whoever had it was killed
	cutOff uint8 // its owner left its claim standing for claimWait in the middle of the send

	takenOut bool // RevokeRefreshToken has taken the refresh token out
	orphaned bool // whoever was to revoke something was killed, or was told that it had nothing to revoke
	unsure   bool // a refresh token was revoked that may still be in the record
}

// record is the login in the Store. Of its revision it is enough to know who has read
// the present one, of its claim who owns it, and of an access token how long it lives:
// the first two are in the processes.
type record struct {
	there      bool
	renewable  bool // false: without a refresh token
	rt         uint8
	tokens     [slots]life
	claim      bool
	unanswered bool // names rt
}

// life is how much of its life an access token has left.
type life uint8

const (
	expired life = iota // or there is none
	early               // alive, and to be renewed
	fresh
)

func (r *record) anyAlive() bool { return r.tokens[0] > expired || r.tokens[1] > expired }

// ending is how far a logout has come.
type ending uint8

const (
	signedIn ending = iota
	deleted
	loggedOut // Logout has returned
)

// process is one manager: its flight, which holds the lock of the login, a call of
// Logout or RevokeRefreshToken beside it, and what it remembers.
type process struct {
	pc       pc
	slot     uint8
	rt       uint8 // of the login that was read: claimed, sent
	held     life  // of the token in it
	rev      bool  // that is still the state in the Store
	tookOver bool
	from     caller // of save
	answer   answer
	standing uint8 // in awaitClaim ticks since the claim was first seen as it is; in giveTime ticks that have passed
	late     bool  // the flight began after a Logout had returned, and the Store has not failed it

	mine    bool  // the claim in the record carries this process's attempt
	theirs  bool  // awaitClaim: it still carries the attempt that is waited for
	same    bool  // awaitClaim: it is still the very claim
	swapped bool  // claim: what the last Swap was to write is there
	elapsed uint8 // claim: ticks since that Swap was begun
	given   bool  // the former owner has been given time
	stands  uint8 // ticks since the claim was last written
	stopped bool  // since then a tick has passed the process by, or the Store has failed it alone
	beat    bool  // the claim is to be renewed

	g       grant
	unsaved bool  // g is
	tried   uint8 // ticks since saveLater began
	paused  uint8 // ticks since it tried

	refused uint8 // refresh tokens, as bits
	pending uint8 // slots for which a flight waits for the lock, or has it, as bits
	waiting uint8 // those of them for which somebody waits
	known   bool  // it saw the login a moment ago, with a token that is alive
	looked  bool  // it knows that the session is over: it has seen that, or its own Logout has returned

	call    pc
	callRT  uint8
	callRev bool
	onWay   lateWrite
}

// grant is what a refresh obtained.
type grant struct {
	there bool
	slot  uint8
	sent  uint8
	rt    uint8
	token life
	in    bool  // its access token is in the record
	older bool  // the record has got a newer one in its place
	since uint8 // how many of the others' grants are newer
}

// lateWrite is a write that the Store carries out after it was given up, unless
// somebody else writes before.
type lateWrite uint8

const (
	noWrite lateWrite = iota
	lateClaim
	lateMerge
	lateDelete
)

// pc is the next thing that a flight, or a call, does.
type pc uint8

const (
	idle pc = iota
	load
	awaitClaim
	claimSwap
	claimLoad
	claimWritten
	timeBefore
	timeBeforeLoad
	send
	posted
	answered
	checkIDToken
	timeAfter
	release
	refreshTokenDied
	saveLoad
	saveSwap
	saveRevoke

	removeLoad
	removeDrop
	removeLook
	removeRevoke
	takeOutLoad
	takeOutSwap
	takeOutLook
	takeOutRevoke
)

// caller is who calls save.
type caller uint8

const (
	accept caller = iota
	settle
	saveLater
)

// answer is what the token endpoint answers.
type answer uint8

const (
	granted answer = iota
	invalidGrant
	noAnswer
	serverError
)

// unlock ends a flight, and leaves nothing of it but what the manager remembers. A
// claim of its own that is still there is nobody's from now on, unless it is that of an
// unsaved result.
func (p *process) unlock() {
	q := process{
		refused: p.refused, pending: p.pending, waiting: p.waiting, known: p.known, looked: p.looked,
		call: p.call, callRT: p.callRT, callRev: p.callRev, onWay: p.onWay,
	}
	if p.unsaved {
		q.unsaved, q.g, q.tried, q.paused = true, p.g, p.tried, p.paused
		q.mine, q.stands, q.stopped = p.mine, p.stands, p.stopped
	}
	*p = q
}

// end is unlock, and an answer to all who wait.
func (p *process) end() {
	p.pending &^= 1 << p.slot
	p.waiting &^= 1 << p.slot
	p.unlock()
}

// round begins a round of refresh, in which an unsaved result comes first.
func (p *process) round() {
	slot, tookOver, late := p.slot, p.tookOver, p.late
	p.unlock()
	p.slot, p.tookOver, p.late, p.pc = slot, tookOver, late, load
	if p.unsaved {
		p.pc, p.from = saveLoad, settle
	}
}

// changed gives the record another revision.
func (s *State) changed() {
	for i := range s.procs {
		p := &s.procs[i]
		p.rev, p.callRev, p.onWay = false, false, noWrite
	}
}

// unclaim takes the claim, if there is one, out of the record.
func (s *State) unclaim() {
	s.rec.claim = false
	for i := range s.procs {
		p := &s.procs[i]
		p.mine, p.theirs, p.same = false, false, false
	}
}

// putClaim writes a claim of process p: a new one, or another beat of the same.
func (s *State) putClaim(p int) {
	if !s.procs[p].mine {
		s.unclaim()
	}
	s.rec.claim = true
	for i := range s.procs {
		s.procs[i].same = false
	}
	q := &s.procs[p]
	q.mine, q.stands, q.stopped = true, 0, false
}

// remove deletes the record.
func (s *State) remove() {
	s.unclaim()
	s.rec = record{}
	for i := range s.procs {
		s.procs[i].g.in = false
	}
}

// put stores the access token of what process p obtained.
func (s *State) put(p int) {
	g := &s.procs[p].g
	s.rec.tokens[g.slot] = g.token
	for i := range s.procs {
		other := &s.procs[i].g
		if i != p && other.there && other.slot == g.slot {
			other.in, other.older = false, other.older || other.since > g.since
		}
	}
	g.in = true
}

// obtain gives process p the newest grant.
func (s *State) obtain(p int, g grant) {
	for i := range s.procs {
		if other := &s.procs[i].g; other.there {
			other.since = min(other.since+1, processes-1)
		}
	}
	s.procs[p].g = g
}

var seeds = [...]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// canonical puts the first n processes, which are all alike, into an order that
// depends on nothing but themselves, and tells where each of them was before.
func (s *State) canonical(n int) (from [processes]int) {
	from = [processes]int{0, 1, 2}
	var order [processes]uint64
	for i := range n {
		order[i] = maphash.Comparable(seeds[0], s.procs[i])
	}
	for i := 1; i < n; i++ {
		for j := i; j > 0 && order[j] < order[j-1]; j-- {
			order[j], order[j-1] = order[j-1], order[j]
			from[j], from[j-1] = from[j-1], from[j]
			s.procs[j], s.procs[j-1] = s.procs[j-1], s.procs[j]
		}
	}
	return from
}

// fingerprint stands for a State: two States have the same with a probability of
// one in 2 to the 128.
type fingerprint [2]uint64

func (s *State) fingerprint() fingerprint {
	return fingerprint{maphash.Comparable(seeds[0], *s), maphash.Comparable(seeds[1], *s)}
}

// String tells of the record, the provider and the claims.
func (s *State) String() string {
	text := "no record"
	if s.rec.there {
		text = "record without a refresh token"
		if s.rec.renewable {
			text = "record " + rtNames[s.rec.rt]
		}
		if s.rec.claim {
			text += ", claimed"
		}
		if s.rec.unanswered {
			text += ", unanswered"
		}
	}
	text += "; newest " + rtNames[s.prov.newest]
	if s.prov.dead {
		text += ", dead"
	}
	return text
}

var rtNames = [...]string{"rt0", "rt1", "rt2", "rt3", "rt4", "rt5", "rt6", "rt7"}
