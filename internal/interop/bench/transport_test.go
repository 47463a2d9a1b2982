// Package bench runs Tokenwell and what Go programs use today side by side, in
// one process, on the same inputs.
package bench

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokenwell/tokenwell/core"
	"github.com/tokenwell/tokenwell/core/coretest"
)

const tokenSize = 900

// api is a transport that answers at once, so that only the wrappers' own cost is
// left.
type api struct{ answer *http.Response }

func newAPI() api {
	return api{&http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", Header: http.Header{}, Body: http.NoBody}}
}

func (a api) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	answer := *a.answer
	answer.Request = r
	return &answer, nil
}

func newRequest(ctx context.Context, b *testing.B) *http.Request {
	b.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders/list?page=2", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "orders/1.0")
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	r.Header.Set("X-Request-Id", "7d0c1c3e-6c5a-4a7e-9f0b-2a1d6b8c9e10")
	return r
}

// BenchmarkTransport is what a request pays for its token on the way out: a named
// client's transport with a signed-in user, and oauth2.Transport over a
// ReuseTokenSource.
func BenchmarkTransport(b *testing.B) {
	run := func(b *testing.B, rt http.RoundTripper, r *http.Request) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				resp, err := rt.RoundTrip(r)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Error("no answer", err)
					return
				}
			}
		})
	}
	b.Run("tokenwell", func(b *testing.B) {
		p := coretest.NewProvider(b, coretest.Options{AccessTokenSize: tokenSize})
		cfg := p.Config()
		cfg.Now = time.Now
		cfg.HTTPClients = map[string]core.HTTPClient{"orders": {
			BaseURL: "https://api.example.com/orders/",
			Token:   core.UserToken(),
			Base:    &http.Client{Transport: newAPI()},
		}}
		m, err := core.New(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close(context.Background())
		run(b, m.HTTPClient("orders").Transport, newRequest(coretest.SignedIn(b, m, "alice"), b))
	})
	b.Run("oauth2", func(b *testing.B) {
		tok := &oauth2.Token{AccessToken: strings.Repeat("a", tokenSize), Expiry: time.Now().Add(time.Hour)}
		rt := &oauth2.Transport{Source: oauth2.ReuseTokenSource(tok, nil), Base: newAPI()}
		run(b, rt, newRequest(b.Context(), b))
	})
}
