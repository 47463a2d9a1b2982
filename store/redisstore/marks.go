package redisstore

import (
	"sync"
	"time"
)

// marks remember what this Store has lately written, so that Peek is never behind it.
//
// What is cached for a key can be older than a write of ours that has been acknowledged: the server's word of the change may be
// on its way still, or the answer to a read that it carried out before the write. So Peek looks here, before it asks the
// cache, and takes a cached answer only
//
//   - when the key has no mark. Then our last write of it is so long ago (keep) that every read from before it has been
//     answered or given up, and what it put into the cache has expired;
//   - or when the answer is the state that our last write has left behind. Revisions are random and never used twice, so no
//     older answer passes for it. Only a miss comes back: after a Delete of ours an older miss counts, and is the truth.
//
// In all other cases it asks the server. So a miss that was cached before a create of ours does not count, since it is not what
// the create has left behind. Nor does what another process has written since, until the mark is gone: which of two
// revisions is the later one cannot be told from here.
//
// After a write whose answer has not come no cached answer counts, for it may be carried out at any time; nor after two writes
// that overlapped, for which of them was the last is not known.
type marks struct {
	keep time.Duration

	mu         sync.RWMutex
	young, old generation
	turned     time.Time // when young began
}

// generation holds the marks that were made while it was the young one. It becomes the old one after keep, and is dropped
// after keep again: so no mark is dropped before keep has passed, and none needs a timer.
type generation struct {
	marks map[string]*mark
	full  bool // some are missing, so a key without a mark may have been written
}

// maxMarks bounds a generation: about 20 MB of memory. A process that writes more keys than that in keep reads the server
// for all the others, for a while.
const maxMarks = 1 << 16

// mark is what a write has left behind. A mark that has been seen is never modified.
type mark struct {
	rev  string // "": no such key
	sure bool   // false: nobody knows, and no cached answer counts
}

var unsure = &mark{}

// allows tells whether a cached answer with this revision counts.
func (m *mark) allows(rev string) bool { return m == nil || m.sure && m.rev == rev }

// of returns the mark of key, nil for none.
func (m *marks) of(key string) *mark {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := lookUp(key, &m.young, &m.old)
	if found == nil {
		return nil // and no look at the clock
	}
	switch age := time.Since(m.turned); {
	case age < m.keep:
		return found
	case age < 2*m.keep:
		return lookUp(key, &m.young)
	default:
		return nil
	}
}

// wrote marks key with what a write has left behind. before is what was its mark when the write began: if that is no longer
// so, another write has been acknowledged meanwhile.
func (m *marks) wrote(key string, before *mark, rev string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	after := &mark{rev: rev, sure: true}
	if before == unsure || lookUp(key, &m.young, &m.old) != before {
		after = unsure
	}
	m.set(key, after)
}

// lost marks key after a write of which nobody knows whether it has happened.
func (m *marks) lost(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	m.set(key, unsure)
}

func (m *marks) turn() {
	now := time.Now()
	switch age := now.Sub(m.turned); {
	case age < m.keep:
		return
	case age < 2*m.keep:
		m.old = m.young
	default:
		m.old = generation{}
	}
	m.young, m.turned = generation{marks: map[string]*mark{}}, now
}

func (m *marks) set(key string, after *mark) {
	if _, there := m.young.marks[key]; !there && len(m.young.marks) >= maxMarks {
		m.young.full = true
		return
	}
	m.young.marks[key] = after
}

// lookUp goes from the youngest to the oldest: where a mark may be missing, no older one counts.
func lookUp(key string, generations ...*generation) *mark {
	for _, g := range generations {
		if found := g.marks[key]; found != nil {
			return found
		}
		if g.full {
			return unsure
		}
	}
	return nil
}
