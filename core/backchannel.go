package core

import (
	"errors"
	"io"
	"net/http"
)

// defaultMaxAnswer bounds what is read of any answer of the provider. An access
// token of a few hundred kilobytes fits.
const defaultMaxAnswer = 1 << 20

var errTooLarge = errors.New("the answer is larger than Config.MaxAnswer allows")

// newBackchannel returns a client with the transport and timeout of c that keeps
// to the rules for talking to a provider: no redirects, which could carry a
// secret elsewhere, no cookies, bounded time and bounded bytes.
func newBackchannel(c *http.Client, maxAnswer int64) *http.Client {
	if c == nil {
		c = &http.Client{Transport: defaultTransport()}
	}
	base, timeout := c.Transport, c.Timeout
	if base == nil {
		base = http.DefaultTransport
	}
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &http.Client{
		Transport:     boundedTransport{base, maxAnswer},
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
