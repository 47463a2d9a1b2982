//go:build race

package store_test

// The race detector makes every access to memory some ten times dearer.
const manySessions = 100_000
