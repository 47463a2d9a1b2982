package core

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// ErrLoginRequired says that no token can be had until the user signs in: nobody
// is signed in, the session has ended, or its refresh token is dead. Test for it
// with errors.Is; [ServeError] turns it into a redirect to the login, or a 401.
var ErrLoginRequired = errors.New("tokenwell: login required")

// ErrNoManager says that the context carries no manager: [Middleware] (or an
// adapter's) has not run, or a nil *Manager was asked.
var ErrNoManager = errors.New("tokenwell: no manager in this context: Middleware, or an adapter's Mount, must run before this route")

// errNoTicket is the ErrLoginRequired of a browser that holds no ticket at all,
// the only one after which [FirstOf] goes on.
var errNoTicket = fmt.Errorf("%w: nobody is signed in", ErrLoginRequired)

// errNotRenewed is the answer to a forced renewal of a token that was itself the
// answer to one a moment ago.
var errNotRenewed = errors.New("the token was renewed a moment ago and refused again")

// Error is a failure of the provider, of the store, or of the configuration. It
// holds no token, code or secret.
type Error struct {
	Op           string // what was being done: "configure", "discovery", "login", "refresh_token", "revocation", "store", "client", ...
	Registration string // which OAuth client; "" is the application itself
	Code         string // the OAuth error code (RFC 6749 section 5.2), if the provider gave one
	Description  string // the provider's error_description, shortened and with what we sent taken out
	Status       int    // the HTTP status, 0 when there was no answer
	RetryAfter   time.Duration
	Err          error // the cause, if there is one
	refused      bool  // a callback that must not be believed
	transient    bool
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("tokenwell: ")
	b.WriteString(e.Op)
	if e.Registration != "" {
		fmt.Fprintf(&b, " (%q)", e.Registration)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": status %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " (%s)", e.Description)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same call may succeed later with nothing
// changed: an outage, a timeout, a busy server.
func (e *Error) Temporary() bool {
	switch {
	case e.transient, e.Code == "temporarily_unavailable", e.Code == "server_error", e.Code == "slow_down":
		return true
	case e.Code == "invalid_grant":
		return false
	}
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooEarly ||
		e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// outage reports whether e says that the provider is down or busy, or does not know the
// client, for whoever asks. Any other status may be what it, or something on the way to
// it, makes of this one request.
func (e *Error) outage() bool {
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.transient && e.Status == 0 || slices.Contains([]string{"temporarily_unavailable", "slow_down", "invalid_client"}, e.Code)
}

// ofNobody returns e for those who asked for something else: what the provider said of
// the one request is not for them.
func (e *Error) ofNobody() *Error {
	of := *e
	of.Description = ""
	return &of
}

// StatusCode returns the HTTP status with which a handler should answer err: 400
// for a callback that was refused, 401 for [ErrLoginRequired], 503 for a
// temporary failure, 504 when the deadline passed, 502 for any other fault of
// the provider, 500 for wrong configuration or a missing manager, and 0 when err
// is nil or not ours.
func StatusCode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrLoginRequired):
		return http.StatusUnauthorized
	case errors.Is(err, ErrNoManager):
		return http.StatusInternalServerError
	case !errors.As(err, &e):
		return 0
	case e.refused:
		return http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case e.Temporary(), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	case e.Op == opConfigure, e.Op == opClient:
		return http.StatusInternalServerError
	}
	return http.StatusBadGateway
}

// The operations that an Error names, beside the grant types.
const (
	opConfigure    = "configure"
	opDiscovery    = "discovery"
	opLogin        = "login"
	opRefresh      = "refresh_token"
	opRevocation   = "revocation"
	opStore        = "store"
	opSession      = "session"
	opClient       = "client"
	opCredentials  = "client_credentials"
	opExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	opRetriever    = "retriever"
	opRegistration = "registration"
)

// loginRequired is ErrLoginRequired with its reason.
func loginRequired(cause error) error {
	return fmt.Errorf("%w: %w", ErrLoginRequired, cause)
}

func configError(format string, args ...any) error {
	return &Error{Op: opConfigure, Err: fmt.Errorf(format, args...)}
}

func storeError(err error) error {
	return &Error{Op: opStore, transient: true, Err: err}
}

// waitError is what a caller gets whose own context ended before the token came.
func waitError(ctx context.Context, op string) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &Error{Op: op, transient: true, Err: err}
}
