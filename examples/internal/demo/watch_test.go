package demo

import (
	"testing"
	"time"
)

func TestEachRenewalCountsOnceAndForItsOwnLogin(t *testing.T) {
	var w Watch
	start := time.Now()
	for i, step := range []struct {
		ticket  string
		seconds int
		want    int
	}{
		{"alice", 20, 0},
		{"alice", 20, 0},
		{"alice", 36, 1},
		{"alice", 20, 1}, // a slow request that still has the old token
		{"alice", 36, 1},
		{"bob", 21, 0},
		{"alice", 52, 2},
	} {
		if got := w.count(step.ticket, start.Add(time.Duration(step.seconds)*time.Second)); got != step.want {
			t.Errorf("step %d, %s: %d, want %d", i, step.ticket, got, step.want)
		}
	}
}
