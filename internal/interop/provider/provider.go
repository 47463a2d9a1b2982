// Package provider runs OpenID Providers written by others, for tests: the certified npm oidc-provider, one for each test,
// and Keycloak, one for each test binary. Both are told to be strict: refresh tokens rotate and work once, access tokens
// live for seconds.
//
// A provider that cannot be started fails the test. Nothing here skips.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// Server is a running provider with what a test must know about it.
type Server struct {
	Name      string
	Issuer    string
	Web       Client            // confidential, client_secret_basic
	API       Client            // introspects
	Users     map[string]string // user name to password
	AccessTTL time.Duration
	Scopes    []string // what Web may ask for at login

	output func() string
	events func(context.Context) ([]Event, error)
	forget func(context.Context) error
}

// Client is an OAuth client that the provider knows.
type Client struct{ ID, Secret string }

// Kind says what an [Event] tells of.
type Kind string

// The kinds of events that both providers tell. A refused request carries an error.
const (
	Refresh       Kind = "refresh"        // a refresh token was sent to the token endpoint
	Revoked       Kind = "revoked"        // a token was revoked at the revocation endpoint
	GrantRevoked  Kind = "grant revoked"  // the provider ended a whole grant
	Introspection Kind = "introspection"  // the API asked about a token
	LoggedOut     Kind = "logged out"     // a browser was signed out at the end session endpoint
	Other         Kind = "something else" // what tests do not count
)

// Event is one thing that the provider did.
type Event struct {
	Kind         Kind
	Client       string
	RefreshToken string // names the refresh token that was sent, without being it
	Error        string // of a refused request; the OAuth code, or the provider's own word for it
	Detail       string

	// Of a token request, and told by oidc-provider alone.
	Grant    string   // its grant type
	Scope    string   // what was asked for
	Resource []string // what the token is for (RFC 8707): as asked for, or as the provider sees fit
	Issued   string   // names the refresh token that came back
}

// Events returns what the provider did since it was started or told to forget, in order. An answer that the caller has
// read is in it.
func (s *Server) Events(t testing.TB) []Event {
	t.Helper()
	events, err := s.events(t.Context())
	if err != nil {
		t.Fatalf("%s: events: %v\n%s", s.Name, err, s.output())
	}
	return events
}

// Count returns how many events of one kind there were, refused ones included.
func (s *Server) Count(t testing.TB, kind Kind) int {
	t.Helper()
	n := 0
	for _, e := range s.Events(t) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// Requests returns the token requests of one grant type, refused ones included.
func (s *Server) Requests(t testing.TB, grantType string) []Event {
	t.Helper()
	return slices.DeleteFunc(s.Events(t), func(e Event) bool { return e.Grant != grantType })
}

// Sent returns how often each refresh token came to the token endpoint, whatever the answer was.
func (s *Server) Sent(t testing.TB) map[string]int {
	t.Helper()
	sent := map[string]int{}
	for _, e := range s.Events(t) {
		if e.Kind == Refresh {
			sent[e.RefreshToken]++
		}
	}
	return sent
}

// Forget empties the list of events.
func (s *Server) Forget(t testing.TB) {
	t.Helper()
	if err := s.forget(t.Context()); err != nil {
		t.Fatalf("%s: forget events: %v\n%s", s.Name, err, s.output())
	}
}

// Output returns what the provider printed.
func (s *Server) Output() string { return s.output() }

// control speaks to the provider about itself; the ten seconds are for a machine that is busy with something else.
var control = &http.Client{Timeout: 10 * time.Second}

func postForm(ctx context.Context, endpoint string, form url.Values, c Client, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	return do(req, into)
}

func do(req *http.Request, into any) error {
	resp, err := control.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, body)
	}
	if into == nil || len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, into)
}
