// Package model looks through everything that can happen to one login: all orders of
// all steps of two or three processes, with every fault at every moment. It is the
// protocol of core as core is written, step for step and by the same names, without the
// bytes.
//
//	go test ./internal/model            small worlds: some eight million states
//	go test ./internal/model -v         with the traces of what must not be
//	go test ./internal/model -long -run Large -timeout 30m
//
// The last one goes through 95 million states of larger worlds, in six minutes and 1.7 GB.
//
// # What is modelled
//
// Where to find a step of core, and the step of the model:
//
//	usertoken.go  currentLogin, serve           walk.go     get
//	refresh.go    refresh, withoutSending,      refresh.go  flight, withoutSending,
//	              insteadOfResending, send,                 insteadOfResending, post,
//	              accept, sendFailed,                       receive, release,
//	              refreshTokenDied                          refreshTokenDied
//	claim.go      claim, awaitClaim, renew,     claim.go    claim, awaitClaim, beat;
//	              release, giveTime             time.go
//	save.go       save, isIn, merge, settle,    save.go     save, merge, decided, notSaved;
//	              keepUnsaved, saveLater        walk.go     lock
//	record.go     load, swap, drop, remove      store.go    read, write; logout.go
//	logout.go     Logout, RevokeRefreshToken    logout.go   call, takeOut
//	store.Store   Load, Peek, Swap, Delete      store.go
//
// A process is one manager. Its flights hold the lock of the login one after the
// other; saveLater wants it too; a Logout or RevokeRefreshToken runs beside them. Any
// process may be asked for any token at any time.
//
// The Store is a register. A Swap or Delete of a state that has been replaced is lost.
// Any operation may fail, whether it was carried out or not; the Swap of a claim or a
// result and the Delete of a logout may still be carried out later. There are times at
// which the Store takes no writes, hangs, or is down, for everybody. Peek may be behind,
// and decides nothing; with CachedPeek it answers while the Store does not.
//
// The provider takes as long as it likes to carry out a request, and to answer it. A
// request or its answer may get lost, or be answered by something else. Refresh tokens
// are numbers; which one is the newest, and which are good, the provider knows.
//
// A process may be killed at each step, and another one takes its place. Time passes
// in ticks of claimWait/4. A process does what it has to do before the next tick, or the
// tick passes it by: that is a stop, which costs one of Limits.Stops.
//
// # What must not be
//
// Each [Violation]. A refresh token may be sent twice, and a session die, only if
// an answer was lost, whoever had it was killed, or its owner was cut off: stopped, or
// failed by the Store while others were not, so that its claim stood for claimWait. As a
// claim is renewed every claimWait/4, a stop of three quarters of claimWait at the wrong
// moment is enough for that; one of less than half of it, as coarse as ticks are, never is.
//
// A state rests when nothing is under way. From every state there must be a way to
// one that rests, on which nobody wishes for anything and nothing fails any more.
//
// # What is not
//
//   - Time, but for ticks: expiries come at any moment, pacing holds nobody back, and
//     an unsaved result is served without the bound of unsavedFor.
//   - maxRounds, but where the Store takes no writes: whoever begins again may do so
//     for as long as others give reason to.
//   - What is decided by CAS: update, which loads and swaps until it wins, is one step,
//     and so are a touch, and what follows a Load in the same goroutine.
//   - Rejected tokens and forced renewals: an access token that an API has refused is one that
//     has expired.
//   - ID tokens but for the time it takes to check them; hooks; Close; the login, the
//     lifetime of a session, its indexes.
//   - A Store that forgets a write which it has acknowledged. Nothing helps against that.
//
// Processes are alike, so states that differ in their order are one. A state is known by
// a hash of 128 bits.
//
// # Rules
//
// The protocol is a set of [Rules]. TestEveryRuleIsNeeded takes each of them away, and
// shows what comes of it. [Kept] are those that core keeps. A world of TestProtocol names those
// that it needs beyond them; the others hold with core as it is. When core has learnt a
// rule, Kept says so and nothing else changes; a rule that is not wanted goes, with the
// steps that ask for it and the worlds that need it.
package model
