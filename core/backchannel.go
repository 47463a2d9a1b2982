package core

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// defaultMaxAnswer bounds what is read of any answer of the provider. An access
// token of a few hundred kilobytes fits.
const defaultMaxAnswer = 1 << 20

var errTooLarge = errors.New("the answer is larger than Config.MaxAnswer allows")

// backchannel talks to the provider by the rules for that: no redirects, which could
// carry a secret elsewhere, no cookies, bounded time and bounded bytes.
type backchannel struct {
	*http.Client
	refreshing *http.Client // more patient
	own        bool         // its connections are nobody else's
}

// refreshTimeout is how long an answer to a refresh is waited for: whoever hangs up
// earlier loses the only copy of the next refresh token.
const refreshTimeout = time.Minute

// newBackchannel returns one with the transport and timeout of c.
func newBackchannel(c *http.Client, maxAnswer int64) backchannel {
	own := c == nil
	if own {
		c = &http.Client{Transport: defaultTransport()}
	}
	base := c.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	client := func(timeout time.Duration) *http.Client {
		if c.Timeout > 0 {
			timeout = c.Timeout
		}
		return &http.Client{
			Transport:     boundedTransport{base, maxAnswer},
			Timeout:       timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return backchannel{client(defaultTimeout), client(refreshTimeout), own}
}

// to returns the client for an operation.
func (b backchannel) to(op string) *http.Client {
	if op == opRefresh {
		return b.refreshing
	}
	return b.Client
}

type boundedTransport struct {
	base      http.RoundTripper
	maxAnswer int64
}

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: t.maxAnswer}
	}
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t boundedTransport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// boundedBody fails, rather than ends, beyond its bound: a cut answer must not
// pass for a whole one.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}
