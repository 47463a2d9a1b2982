package redisstore

import (
	"context"
	"errors"
)

var errClosed = errors.New("closed")

// ask waits for the server's answer for as long as ctx lasts. rueidis heeds a context once it has sent a command, but not while
// it makes a connection, or waits for one that somebody else makes.
func ask[T any](ctx context.Context, s *states, command func() (T, error)) (answer T, err error) {
	if s.closed.Load() {
		return answer, errClosed
	}
	type result struct {
		answer T
		err    error
	}
	done := make(chan result, 1)
	go func() {
		answer, err := command()
		done <- result{answer, err}
	}()
	select {
	case r := <-done:
		return r.answer, r.err
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}
