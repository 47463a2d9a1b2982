//go:build !race

package store_test

const manySessions = 1_000_000
