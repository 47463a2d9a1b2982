package demo_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwell/tokenwell/examples/internal/demo"
)

func start(t *testing.T, args ...string) *demo.Demo {
	t.Helper()
	d, err := demo.Start("Test", args)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestTakenPortIsAnErrorOnlyWhenAskedFor(t *testing.T) {
	first := start(t)
	second := start(t)
	if first.AppURL == second.AppURL {
		t.Errorf("both are at %s", first.AppURL)
	}
	if d, err := demo.Start("Test", []string{"-addr", strings.TrimPrefix(second.AppURL, "http://")}); err == nil {
		d.Close()
		t.Error("a taken address that was asked for is no error")
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	if d, err := demo.Start("Test", []string{"-addr", "0.0.0.0:0"}); err == nil {
		d.Close()
		t.Error("0.0.0.0 is served")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	d := start(t, "-addr", "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := d.Serve(ctx, http.NotFoundHandler(), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), d.AppURL) || strings.Contains(out.String(), d.ClientSecret) {
		t.Errorf("printed:\n%s", &out)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(d.AppURL, "http://")); err == nil {
		_ = c.Close()
		t.Error("the application still listens")
	}
}
