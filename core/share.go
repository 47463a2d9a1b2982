package core

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sync/singleflight"
)

// share runs fn once for all who ask under one name at the same time, and returns
// what it returned, or earlier when ctx ends. fn has the values of the context of
// whoever came first, but goes on without them.
func (m *Manager) share(ctx context.Context, op, name string, fn func(context.Context) (any, error)) (any, error) {
	if ctx.Err() != nil {
		return nil, waitError(ctx, op)
	}
	select {
	case <-ctx.Done():
		return nil, waitError(ctx, op)
	case result := <-m.startShared(ctx, op, name, fn):
		return result.Val, result.Err
	}
}

// startShared is share for those who do not wait.
func (m *Manager) startShared(ctx context.Context, op, name string, fn func(context.Context) (any, error)) <-chan singleflight.Result {
	values, _ := takeOptions(lasting(ctx), TokenRequest{}) // they were for one request
	return m.flights.DoChan(name, func() (any, error) {
		if !m.begin() {
			return nil, errClosed
		}
		defer m.end()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(values), refreshLimit)
		defer cancel()
		defer context.AfterFunc(m.life, cancel)()
		return m.guard(ctx, op, func() (any, error) { return fn(ctx) })
	})
}

// guard runs what may be the application's code, in a flight that nobody who waits for
// could recover from: a panic there is an error, and so is an end of its goroutine.
func (m *Manager) guard(ctx context.Context, op string, fn func() (any, error)) (result any, err error) {
	err = &Error{Op: op, Err: errors.New("the application's code ended its goroutine")}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if p := recover(); p != nil {
				m.log.ErrorContext(ctx, "tokenwell: panic while a token was retrieved", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				result, err = nil, &Error{Op: op, Err: fmt.Errorf("panic of type %T", p)}
			}
		}()
		result, err = fn()
	}()
	<-ended
	return result, err
}

// lasting returns ctx as it may be used after a handler has returned: what a
// framework recycles is replaced by the request's own context, which ends as ctx
// does.
func lasting(ctx context.Context) context.Context {
	request, ok := ctx.Value(ContextKey).(context.Context)
	if !ok {
		return ctx
	}
	if b, ok := ctx.Value(bindingKey{}).(*binding); ok {
		request = context.WithValue(request, bindingKey{}, b)
	}
	if ctx.Done() == nil {
		return request
	}
	return endingWith{request, ctx}
}

// endingWith has the values of one context and the end of another.
type endingWith struct {
	context.Context
	end context.Context
}

func (c endingWith) Deadline() (time.Time, bool) { return c.end.Deadline() }
func (c endingWith) Done() <-chan struct{}       { return c.end.Done() }
func (c endingWith) Err() error                  { return c.end.Err() }
