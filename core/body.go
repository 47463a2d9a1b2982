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

// discard closes the body of an answer that is not wanted, after reading it where it
// is short, so that its connection can be used again: as http.Client does for a
// redirect's.
func discard(resp *http.Response) {
	const short = 2 << 10
	if resp.ContentLength <= short {
		_, _ = io.CopyN(io.Discard, resp.Body, short)
	}
	_ = resp.Body.Close()
}
