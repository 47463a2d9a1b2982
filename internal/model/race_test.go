//go:build race

package model

// The race detector makes what runs alone some ten times dearer, and finds nothing in
// it: a part will do.
const (
	raceDetector = true
	most         = 10_000
)
