package core_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/tokenwell/tokenwell/core"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*core.Error{
		"tokenwell: store": {Op: "store"},
		"tokenwell: refresh_token: status 400: invalid_grant (gone)":             {Op: "refresh_token", Status: 400, Code: "invalid_grant", Description: "gone"},
		"tokenwell: client_credentials (\"worker\"): status 503: unexpected EOF": {Op: "client_credentials", Registration: "worker", Status: 503, Err: io.ErrUnexpectedEOF},
		"tokenwell: client: unexpected EOF":                                      {Op: "client", Err: io.ErrUnexpectedEOF, RetryAfter: time.Second},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if e := (&core.Error{Op: "store", Err: io.ErrUnexpectedEOF}); !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Error("the cause cannot be found")
	}
}

func TestTemporary(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		e    core.Error
		want bool
	}{
		{core.Error{}, false},
		{core.Error{Status: 200}, false},
		{core.Error{Status: 400, Code: "invalid_grant"}, false},
		{core.Error{Status: 500, Code: "invalid_grant"}, false},
		{core.Error{Status: 401, Code: "invalid_client"}, false},
		{core.Error{Status: 404}, false},
		{core.Error{Status: 408}, true},
		{core.Error{Status: 425}, true},
		{core.Error{Status: 429}, true},
		{core.Error{Status: 500}, true},
		{core.Error{Status: 503}, true},
		{core.Error{Status: 400, Code: "temporarily_unavailable"}, true},
		{core.Error{Status: 400, Code: "server_error"}, true},
		{core.Error{Status: 400, Code: "slow_down"}, true},
	} {
		if got := test.e.Temporary(); got != test.want {
			t.Errorf("%v: %t", &test.e, got)
		}
	}
}

func TestStatusCode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{io.EOF, 0},
		{context.DeadlineExceeded, 0}, // not ours
		{core.ErrLoginRequired, 401},
		{fmt.Errorf("orders: %w", core.ErrLoginRequired), 401},
		{fmt.Errorf("%w: %w", core.ErrLoginRequired, &core.Error{Status: 400, Code: "invalid_grant"}), 401},
		{core.ErrNoManager, 500},
		{&core.Error{Op: "configure"}, 500},
		{&core.Error{Op: "client"}, 500},
		{&core.Error{Op: "refresh_token", Status: 503}, 503},
		{&core.Error{Op: "refresh_token", Err: context.DeadlineExceeded}, 504},
		{&core.Error{Op: "refresh_token", Err: context.Canceled}, 503},
		{&core.Error{Op: "refresh_token", Status: 401, Code: "invalid_client"}, 502},
		{&core.Error{Op: "discovery", Status: 404}, 502},
	} {
		if got := core.StatusCode(test.err); got != test.want {
			t.Errorf("%v: %d, want %d", test.err, got, test.want)
		}
	}
}

// Errors keep their status on the way through a named client.
func TestStatusCodeThroughClient(t *testing.T) {
	t.Parallel()
	client := newNamedClient(t, "https://api.test", core.UserToken())
	_, _, nobody := do(t, client, newRequest(t.Context(), t, "list", nil))
	_, _, elsewhere := do(t, client, newRequest(t.Context(), t, "https://elsewhere.test", nil))
	for err, want := range map[error]int{nobody: http.StatusUnauthorized, elsewhere: http.StatusInternalServerError} {
		if got := core.StatusCode(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
