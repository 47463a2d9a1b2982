package core

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// clientTransport is the transport of a named client: identity from the request's
// context, and nothing else.
type clientTransport namedClient

func (t *clientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return (*namedClient)(t).roundTrip(r.Context(), r)
}

// roundTrip sends r with ctx in place of its own context.
func (c *namedClient) roundTrip(ctx context.Context, r *http.Request) (*http.Response, error) {
	target, err := c.base.resolve(r.URL, r.Host)
	if err != nil {
		closeBody(r)
		return nil, &Error{Op: opClient, Err: err}
	}
	shown := r // what retrievers and the caller see of the request: no token
	if target != r.URL {
		shown = r.WithContext(r.Context())
		shown.URL = target
	}
	ctx, req := takeOptions(ctx, TokenRequest{HTTP: shown, manager: c.m})
	if r.Response != nil {
		req.ForceRenewal = false // a redirect's next step: the renewal has been made
	}
	tok, err := c.token.RetrieveToken(ctx, req)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	resp, err := c.send(ctx, r, shown, r.Body, tok)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !renewable(r, resp) {
		return resp, err
	}
	again, err := c.renewed(ctx, req, tok)
	if err != nil {
		discard(resp)
		return nil, err
	}
	if again == nil {
		return resp, nil
	}
	body, err := replay(r)
	if err != nil {
		return resp, nil //nolint:nilerr // it cannot be sent again: the 401 is the answer
	}
	discard(resp)
	return c.send(ctx, r, shown, body, again)
}

// send makes one attempt for r, on a copy of shown with a header map of its own.
func (c *namedClient) send(ctx context.Context, r, shown *http.Request, body io.ReadCloser, tok *Token) (*http.Response, error) {
	authorization, err := tok.header()
	if err != nil {
		if body != nil {
			_ = body.Close()
		}
		return nil, &Error{Op: opClient, Err: err}
	}
	out := shown.WithContext(ctx)
	out.Body = body
	out.Header = withAuthorization(shown.Header, authorization)
	resp, err := c.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	resp.Request = shown
	if shown != r {
		absoluteLocation(resp, shown.URL)
	}
	return resp, nil
}

// withAuthorization returns a copy of h with the client's own Authorization in place
// of whatever the caller set, however it is spelled.
func withAuthorization(h http.Header, authorization []string) http.Header {
	const name = "Authorization"
	h = maps.Clone(h)
	if h == nil {
		h = make(http.Header, 1)
	}
	for other := range h {
		if len(other) == len(name) && strings.EqualFold(other, name) {
			delete(h, other)
		}
	}
	h[name] = authorization
	return h
}

// absoluteLocation resolves a redirect against where it came from (RFC 3986 section
// 5): http.Client would do so against the relative URL that the caller gave.
func absoluteLocation(resp *http.Response, from *url.URL) {
	location := resp.Header.Get("Location")
	if location == "" {
		return
	}
	if to, err := from.Parse(location); err == nil {
		resp.Header.Set("Location", to.String())
	}
}

// renewable reports whether a 401 may be answered with another token: the request
// can be sent again, and the API does not ask for another sign-in (RFC 9470).
func renewable(r *http.Request, resp *http.Response) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	for _, challenge := range resp.Header.Values("WWW-Authenticate") {
		if strings.Contains(challenge, "insufficient_user_authentication") {
			return false
		}
	}
	return true
}

// renewed returns a token in place of the one that the API rejected, or nil when
// there is no other to be had.
func (c *namedClient) renewed(ctx context.Context, req TokenRequest, rejected *Token) (*Token, error) {
	req.ForceRenewal, req.Rejected = true, rejected
	tok, err := c.token.RetrieveToken(ctx, req)
	switch {
	case errors.Is(err, errNotRenewed):
		return nil, nil
	case err != nil:
		return nil, err
	case tok.is(rejected):
		return nil, nil
	}
	return tok, nil
}

func replay(r *http.Request) (io.ReadCloser, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r.Body, nil
	}
	return r.GetBody()
}
