// Package chromium drives the example applications with a real browser: what a user sees, on a phone and on a desk, by day
// and by night.
package chromium
