package torture

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core/coretest"
)

var (
	full   = flag.Bool("torture.full", false, "all sizes, latencies and outages")
	report = flag.String("torture.report", "", "a file to write the table to")
)

// TestNoSessionIsLost takes sessions through everything, and counts. What no client can prevent is counted on rows of its
// own.
func TestNoSessionIsLost(t *testing.T) {
	var rows []row
	for _, start := range []func(*testing.T) *backend{redisBackend, postgresBackend, sentinelBackend} {
		t.Run("", func(t *testing.T) {
			b := start(t)
			for _, tr := range trials(b, *full) {
				t.Run(b.name+"/"+tr.name+fmt.Sprintf("/%d", tr.processes), func(t *testing.T) {
					r := tr.run(t, b)
					rows = append(rows, r)
					r.check(t)
				})
			}
		})
	}
	t.Logf("\n%s\n%s", table(rows, false), table(rows, true))
	if *report != "" {
		if err := os.WriteFile(*report, []byte(document(rows)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// trials are those that make sense with a store; the short ones are a choice of every kind.
func trials(b *backend, full bool) []trial {
	if b.failOver != nil {
		return []trial{
			{name: "the master dies in mid-refresh, a replica takes over", processes: 2, expiries: 1, fault: after(func(f *fleet) { b.failOver(f.t) })},
		}
	}
	var all []trial
	add := func(tr trial, short bool) {
		if full || short {
			all = append(all, tr)
		}
	}
	for _, processes := range []int{1, 2, 4} {
		for _, latency := range []time.Duration{100 * time.Millisecond, 3 * time.Second, 6 * time.Second, 15 * time.Second} {
			expiries := 2
			if latency > 5*time.Second {
				expiries = 1
			}
			short := processes == 4 && latency < time.Second || processes == 2 && latency == 6*time.Second
			add(trial{name: fmt.Sprintf("the token has expired, the provider takes %v", latency), processes: processes, expiries: expiries, latency: latency}, short)
			add(trial{name: fmt.Sprintf("the token is about to expire, the provider takes %v", latency), processes: processes, expiries: expiries, latency: latency, alive: true}, short)
		}
	}
	const two, four = 2, 4
	add(trial{name: "clocks are 10 s apart", processes: four, skew: 10 * time.Second, latency: 100 * time.Millisecond}, true)
	add(trial{name: "callers hang up in mid-refresh", processes: four, latency: 3 * time.Second, hangUp: true}, true)

	drop := coretest.Fault{Drop: true}
	dropped := coretest.Fault{DropAfter: true}
	add(trial{name: "the connection breaks before the provider has rotated", processes: two, fault: always(drop)}, true)
	for _, alive := range []bool{false, true} {
		when := map[bool]string{false: "", true: ", the token alive"}[alive]
		add(trial{name: "kill -9 of the sender before the provider has rotated" + when, processes: four, expiries: 1, alive: alive, fault: func(f *fleet, _ *backend) coretest.Fault {
			return coretest.Fault{Before: f.kill, Drop: true}
		}}, !alive)
		for _, d := range []time.Duration{3 * time.Second, 12 * time.Second} {
			tr := trial{name: fmt.Sprintf("SIGSTOP of the sender for %v%s", d, when), processes: four, expiries: 1, alive: alive, fault: before(func(f *fleet) { f.freeze(d) })}
			if d > 5*time.Second && !alive {
				tr.twice = true
				tr.excuse = "stopped for longer than its claim stands, with nothing else to serve: another process sends the token again"
			}
			add(tr, !alive && d < 5*time.Second || alive && d > 5*time.Second)
		}
		lost := trial{
			name: "kill -9 of the sender after the provider has rotated" + when, processes: four, expiries: 1, alive: alive, twice: true,
			excuse: "the only copy of the new refresh token died with it", fault: func(f *fleet, _ *backend) coretest.Fault {
				return coretest.Fault{After: f.kill}
			},
		}
		add(lost, false)
		lost.name, lost.fault, lost.excuse = "the answer is lost after the provider has rotated"+when, always(dropped), "the only copy of the new refresh token was in it"
		add(lost, false)
	}
	if b.pause != nil {
		for _, d := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second} {
			for _, alive := range []bool{false, true} {
				name := fmt.Sprintf("%s answers nobody for %v%s", b.name, d, map[bool]string{true: ", the token alive"}[alive])
				add(trial{name: name, processes: two, alive: alive, outage: true, fault: after(func(f *fleet) { b.pause(f.t, d) })}, d == 5*time.Second)
			}
		}
	}
	for _, alive := range []bool{false, true} {
		when := map[bool]string{true: ", the token alive"}[alive]
		if b.restart != nil {
			add(trial{name: b.name + " crashes and is started again" + when, processes: two, alive: alive, outage: true, fault: after(func(f *fleet) { b.restart(f.t) })}, true)
		}
		add(trial{name: b.name + " ends all connections" + when, processes: two, alive: alive, outage: true, fault: after(func(f *fleet) { b.cut(f.t) })}, true)
	}
	add(trial{name: "a logout before the provider has rotated", processes: two, expiries: 1, logout: true, fault: func(f *fleet, _ *backend) coretest.Fault {
		return coretest.Fault{Before: f.logOut}
	}}, true)
	add(trial{name: "a logout after the provider has rotated", processes: two, expiries: 1, logout: true, fault: func(f *fleet, _ *backend) coretest.Fault {
		return coretest.Fault{After: f.logOut}
	}}, true)
	return all
}

func always(fault coretest.Fault) func(*fleet, *backend) coretest.Fault {
	return func(*fleet, *backend) coretest.Fault { return fault }
}

// before does something when the refresh has arrived, and goes on with it.
func before(do func(*fleet)) func(*fleet, *backend) coretest.Fault {
	return func(f *fleet, _ *backend) coretest.Fault { return coretest.Fault{Before: func() { do(f) }} }
}

// after does something while the provider's answer is on its way.
func after(do func(*fleet)) func(*fleet, *backend) coretest.Fault {
	return func(f *fleet, _ *backend) coretest.Fault {
		return coretest.Fault{After: func() {
			begun := make(chan struct{})
			f.meanwhile.Go(func() {
				close(begun)
				do(f)
			})
			<-begun
			time.Sleep(50 * time.Millisecond) // it has begun
		}}
	}
}
