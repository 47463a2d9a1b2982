package core

import (
	"io"
	"net/http"
)

// releasing calls release once the body is closed. A body that can be written to,
// as after a protocol switch, stays so.
func releasing(body io.ReadCloser, release func()) io.ReadCloser {
	r := releasingBody{body, release}
	if w, ok := body.(io.Writer); ok {
		return struct {
			releasingBody
			io.Writer
		}{r, w}
	}
	return r
}

type releasingBody struct {
	io.ReadCloser
	release func()
}

func (b releasingBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// closeBody keeps the promise of a RoundTripper to close the body it was given,
// whatever happens.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// discard reads what is left of a short body, so that its connection can be used
// again, and closes it.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close()
}
