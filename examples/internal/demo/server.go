package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tokenwell/tokenwell/examples/internal/page"
)

// Serve runs the application until ctx ends, and lets the requests under way finish.
func (d *Demo) Serve(ctx context.Context, app http.Handler, stdout io.Writer) error {
	s := &server{listener: d.listener, url: d.AppURL}
	s.start(page.Headers(d.Issuer, app))
	defer s.stop()
	_, err := fmt.Fprintf(stdout, `The %s example is at %s
Sign in as alice with the password alice. Ctrl-C ends it.

  provider    %s
  orders API  %s
`, d.Site.Framework, d.AppURL, d.Issuer, d.OrdersURL)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	case err := <-d.provider.failed:
		return fmt.Errorf("provider: %w", err)
	case err := <-d.api.failed:
		return fmt.Errorf("orders API: %w", err)
	}
}

// patience is how long a server waits for requests under way when it ends.
const patience = 3 * time.Second

// server is an http.Server whose address is known before its handler. A nil server is one that was never made.
type server struct {
	url      string
	listener net.Listener
	http     *http.Server
	failed   chan error
}

func newServer() (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &server{url: "http://" + l.Addr().String(), listener: l}, nil
}

func (s *server) start(h http.Handler) {
	s.http = &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.failed = make(chan error, 1)
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

func (s *server) stop() {
	if s == nil {
		return
	}
	defer func() { _ = s.listener.Close() }() // which Shutdown forgets if Serve has not begun
	if s.http == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
}
