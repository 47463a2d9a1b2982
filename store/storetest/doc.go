// Package storetest holds the contract of [store.Store] as a test. A store of
// your own passes it, or loses somebody's login one day:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store {
//			return mystore.New(connect(t)) // closed by t.Cleanup
//		})
//	}
//
// Run it under the race detector, and over the server that you run in production:
// what Tokenwell asks of a store is mostly about what happens at the same time.
//
// Each subtest is one sentence of the contract. They write under random keys, so
// the stores they are given may share one database, which need not be empty;
// what they leave behind expires within a minute.
//
// A store that passes may still lose what it has acknowledged, in a failover or by
// its configuration; no test of this kind can see that.
package storetest
