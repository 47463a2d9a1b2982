// Package server runs the servers of the stores, for tests: on free ports of loopback, in process groups of their own, and
// gone when the test binary is, even a killed one. A server that cannot be started fails the test. Nothing here skips.
package server
