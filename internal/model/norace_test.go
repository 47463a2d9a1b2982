//go:build !race

package model

const (
	raceDetector = false
	most         = 25_000_000 // states that fit into two gigabytes
)
