package core

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

var errNothingRetrieved = errors.New("the retriever returned neither a token nor an error")

// CacheBy keeps the tokens of r, which gets them anew every time: until shortly
// before each expires, one retrieval at a time for all who want the same one. The
// caller's tickets and every field of the request but HTTP tell one token from another;
// key adds what else r's answer depends on, such as a header of the outgoing
// request, and may be nil. An error of key fails the call.
//
// What is kept for a user ends with the session. ForceRenewal and Rejected reach r.
// After a failure r is not asked again for a while that grows from failure to failure.
//
// key and r run on a context that has the values of the caller's request, and r's does
// not end with the caller; it sees a copy of the outgoing request without its body. What
// a program hangs on a framework's own context, rather than on the request's, neither
// sees.
func CacheBy(key func(context.Context, TokenRequest) (string, error), r TokenRetriever) TokenRetriever {
	return &cacheBy{id: newSecret(), key: key, r: r}
}

type cacheBy struct {
	id  string // tells the tokens of one CacheBy from another's
	key func(context.Context, TokenRequest) (string, error)
	r   TokenRetriever
}

func (c *cacheBy) RetrieveToken(ctx context.Context, req TokenRequest) (*Token, error) {
	m, err := req.asker(ctx)
	if err != nil {
		return nil, err
	}
	if c.r == nil {
		return nil, configError("core.CacheBy: the retriever is nil")
	}
	req.manager = m
	user, known := sessions(ctx)
	if !known {
		return c.r.RetrieveToken(ctx, req) // whose token it would be cannot be said; r may know
	}
	added := ""
	if c.key != nil {
		if added, err = c.key(lasting(ctx), req); err != nil { // on what r will run on
			return nil, err
		}
	}
	// What is unset asks for something else than what is empty.
	unset := fmt.Sprint(req.Scopes == nil, req.Params == nil)
	k := digest("kept", c.id, user, req.Registration, unset, req.slot(), added)
	if tok := m.freshToken(k); tok != nil && !req.ForceRenewal {
		return tok, nil
	}
	asked := req.owned()
	asked.HTTP = withoutBody(req.HTTP)
	return m.cachedToken(ctx, wanted{
		op: opRetriever, key: k, outage: k, force: req.ForceRenewal, rejected: req.Rejected,
		get: func(ctx context.Context, w wanted) (*heldToken, bool, error) {
			asked := asked
			asked.ForceRenewal, asked.Rejected = w.force, req.Rejected
			tok, err := c.r.RetrieveToken(ctx, asked)
			if err != nil {
				return nil, true, err
			}
			held, err := m.keep(tok, &w)
			return held, true, err
		},
	})
}

// keep makes tok one that can be kept.
func (m *Manager) keep(tok *Token, w *wanted) (*heldToken, error) {
	if tok == nil {
		return nil, &Error{Op: w.op, Err: errNothingRetrieved}
	}
	if _, err := tok.header(); err != nil {
		return nil, &Error{Op: w.op, Err: err}
	}
	scheme, err := tokenType(tok.Type)
	if err != nil {
		return nil, &Error{Op: w.op, Err: err}
	}
	now := m.now()
	t := storedToken{
		AccessToken: tok.AccessToken, Type: scheme, Scopes: slices.Clone(tok.Scopes), Obtained: now.UnixMilli(),
		AfterRejection: w.rejected != nil && !w.byHand,
	}
	if !tok.Expiry.IsZero() {
		t.Expiry = tok.Expiry.UnixMilli()
		t.RenewAt = now.Add(m.renewIn(max(0, tok.Expiry.Sub(now)))).UnixMilli()
	}
	return newHeldToken(t), nil
}

// sessions names the sessions of ctx, of whatever managers: r may ask any of them. known
// is false when there should be one and it has ended, or cannot be read.
func sessions(ctx context.Context) (names string, known bool) {
	for b := range users(ctx) {
		l, err := b.m.currentLogin(ctx, b)
		switch {
		case errors.Is(err, errNoTicket):
			continue
		case err != nil || l == nil || b.m.over(ctx, b, l):
			return "", false
		}
		names += b.key + " "
	}
	return names, true
}

// withoutBody is what of an outgoing request can be read after its sender has gone.
func withoutBody(r *http.Request) *http.Request {
	if r == nil {
		return emptyRequest(context.Background())
	}
	c := r.Clone(context.WithoutCancel(r.Context()))
	c.Body, c.GetBody, c.Response = nil, nil, nil
	return c
}
